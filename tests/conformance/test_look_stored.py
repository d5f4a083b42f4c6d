"""A look at what is stored reads exactly the span asked for, in order, and ends.

The end is looked up once, when reading starts: a source that grows while it is read still ends. A position that is not
stored is refused with the range that is, never replaced by another. Positions are the broker's own numbers.
"""

from __future__ import annotations

import re
import time

import pytest

from brokercli.model.capability import Capability
from brokercli.model.errors import OutOfRange, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start
from tests.conformance.driving import bodies, read, read_batches
from tests.native.harness import Broker, Resource, Stored

needs = pytest.mark.needs
STORED = Capability.LOOK_STORED
EVERYTHING = Span(Start(), End())
SECOND = 1_000_000_000


def nothing_up_to(number: object) -> re.Pattern[str]:
    """Match what says that nothing is stored, and that the next record gets this number."""
    return re.compile(rf"(is empty, and its next offset is|holds no messages; the next one gets the sequence) {number}[;,.]")


def look(broker: Broker, resource: Resource, start: Position, end: Position | None = None) -> list[bytes | None]:
    """Return the bodies of a span, read with a connection of its own; up to the end of now without `end`."""
    with broker.open() as backend, backend.look(resource.address, Span(start, end or End())) as reader:
        return bodies(read(reader))


@needs(STORED)
def test_everything_is_read_in_order_with_the_numbers_the_broker_gave(broker: Broker, resource: Resource) -> None:
    sent = [b"%d" % number for number in range(2500)]
    resource.put(sent)
    with broker.open() as backend, backend.look(resource.address, EVERYTHING) as reader:
        records = read(reader)
        assert reader.finished
        assert reader.read(0) is None
    assert bodies(records) == sent
    assert [record.position for record in records] == [stored.position for stored in resource.stored(2500)]
    assert {record.broker for record in records} == {broker.name}


@needs(STORED)
def test_an_empty_source_ends_at_once_with_no_record_and_no_error(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.look(resource.address, EVERYTHING) as reader:
        assert read_batches(reader) == []
        assert reader.finished
        assert not reader.expected


@needs(STORED)
def test_a_source_that_grows_while_it_is_read_ends_where_it_ended_at_the_start(broker: Broker, resource: Resource) -> None:
    resource.put([b"%d" % number for number in range(300)])
    with broker.open() as backend, backend.look(resource.address, EVERYTHING) as reader:
        found: list[bytes | None] = []
        while not reader.finished:
            resource.put([b"later"])
            batch = reader.read(1)
            found += bodies(batch.records()) if batch else []
    assert found == [b"%d" % number for number in range(300)]


@needs(STORED)
def test_without_an_end_a_look_goes_on_with_what_arrives(broker: Broker, resource: Resource) -> None:
    resource.put([b"stored 1", b"stored 2"])
    with broker.open() as backend, backend.look(resource.address, Span(Start(), None)) as reader:
        assert bodies(read(reader, at_least=2)) == [b"stored 1", b"stored 2"]
        assert not reader.finished
        resource.put([b"new"])
        assert bodies(read(reader, at_least=1)) == [b"new"]
        assert not reader.finished


@needs(STORED)
def test_from_the_end_to_the_end_is_nothing(broker: Broker, resource: Resource) -> None:
    resource.put([b"one", b"two"])
    assert look(broker, resource, End(), End()) == []


@needs(STORED)
def test_two_looks_of_one_connection_read_side_by_side(broker: Broker, resource: Resource) -> None:
    sent = [b"%d" % number for number in range(50)]
    resource.put(sent)
    with broker.open() as backend, backend.look(resource.address, EVERYTHING) as one, backend.look(resource.address, EVERYTHING) as two:
        assert bodies(read(two)) == sent
        assert bodies(read(one)) == sent


@needs(STORED)
def test_large_and_empty_bodies_come_back_whole(broker: Broker, resource: Resource) -> None:
    sent = [b"", b"x" * 700_000, b"\x00\r\n\xff", b""]
    resource.put(sent)
    assert look(broker, resource, Start()) == sent


@needs(STORED, Capability.SEEK_NUMBER)
def test_a_number_is_where_reading_starts_and_a_second_one_where_it_ends(broker: Broker, resource: Resource) -> None:
    resource.put([b"a", b"b", b"c", b"d", b"e"])
    numbers = [int(stored.position.rpartition(":")[2]) for stored in resource.stored(5)]
    assert look(broker, resource, Number(numbers[2])) == [b"c", b"d", b"e"]
    assert look(broker, resource, Number(numbers[1]), Number(numbers[3])) == [b"b", b"c"]
    assert look(broker, resource, Start(), Number(numbers[4])) == [b"a", b"b", b"c", b"d"]
    assert look(broker, resource, Number(numbers[4])) == [b"e"]


@needs(STORED, Capability.SEEK_NUMBER)
def test_a_number_that_is_not_stored_yet_is_refused_with_the_range_that_is(broker: Broker, resource: Resource) -> None:
    resource.put([b"%d" % number for number in range(7)])
    last = int(resource.stored(7)[-1].position.rpartition(":")[2])
    with broker.open() as backend, pytest.raises(OutOfRange) as refusal:
        backend.look(resource.address, Span(Number(last + 1000), End()))
    assert str(last) in str(refusal.value) or str(last + 1) in str(refusal.value)


@needs(STORED, Capability.SEEK_NUMBER, where=lambda broker, row: broker != "memory")
def test_a_range_of_numbers_that_ends_before_it_starts_is_refused(broker: Broker, resource: Resource) -> None:
    resource.put([b"%d" % number for number in range(7)])
    with broker.open() as backend, pytest.raises(UsageProblem, match="ends at 2 before it starts at 5"):
        backend.look(resource.address, Span(Number(5), Number(2)))


@needs(STORED, Capability.SEEK_NUMBER)
def test_where_nothing_is_stored_that_is_said_and_where_the_next_record_will_be(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, pytest.raises(OutOfRange) as refusal:
        backend.look(resource.address, Span(Number(1000), End()))
    assert nothing_up_to(r"[01]").search(str(refusal.value)), str(refusal.value)


@needs(STORED, Capability.SEEK_NUMBER, where=lambda broker, row: row not in ("stream",))
def test_where_everything_was_deleted_the_next_number_is_said(broker: Broker, resource: Resource) -> None:
    resource.put([b"%d" % number for number in range(3)])
    numbers = [int(stored.position.rpartition(":")[2]) for stored in resource.stored(3)]
    resource.forget_before(numbers[-1] + 1)
    with broker.open() as backend, pytest.raises(OutOfRange) as refusal:
        backend.look(resource.address, Span(Number(numbers[0]), End()))
    assert nothing_up_to(numbers[-1] + 1).search(str(refusal.value)), str(refusal.value)


@needs(STORED, Capability.SEEK_NUMBER, where=lambda broker, row: row not in ("stream",))
def test_a_number_that_is_no_longer_stored_is_refused_and_the_start_moves_up(broker: Broker, resource: Resource) -> None:
    resource.put([b"%d" % number for number in range(7)])
    numbers = [int(stored.position.rpartition(":")[2]) for stored in resource.stored(7)]
    resource.forget_before(numbers[3])
    assert look(broker, resource, Start()) == [b"3", b"4", b"5", b"6"]
    with broker.open() as backend, pytest.raises(OutOfRange) as refusal:
        backend.look(resource.address, Span(Number(numbers[1]), End()))
    assert str(numbers[3]) in str(refusal.value)


@needs(STORED, Capability.SEEK_LAST)
def test_the_last_n_are_the_newest_and_more_than_there_are_is_all(broker: Broker, resource: Resource) -> None:
    assert look(broker, resource, Last(3)) == []
    resource.put([b"a", b"b", b"c", b"d"])
    assert look(broker, resource, Last(3)) == [b"b", b"c", b"d"]
    assert look(broker, resource, Last(0)) == []
    assert look(broker, resource, Last(1000)) == [b"a", b"b", b"c", b"d"]


@needs(STORED, Capability.SEEK_TIME)
def test_a_moment_starts_at_the_first_record_stored_then_or_later(broker: Broker, resource: Resource) -> None:
    resource.put([b"before 1", b"before 2"])
    # brokers may round to whole seconds
    time.sleep(1.1 - time.time() % 1)
    moment = time.time_ns()
    time.sleep(1.05)
    resource.put([b"after 1", b"after 2"])
    found = look(broker, resource, Moment(moment))
    assert found == [b"after 1", b"after 2"]
    assert look(broker, resource, Start(), Moment(moment)) == [b"before 1", b"before 2"]
    assert look(broker, resource, Moment(moment - 3600 * SECOND)) == [b"before 1", b"before 2", b"after 1", b"after 2"]
    assert look(broker, resource, Moment(time.time_ns() + 3600 * SECOND)) == []


@needs(STORED, Capability.PARTITION)
def test_each_partition_is_read_from_its_own_offset_and_those_not_named_are_left_out(broker: Broker, row: str) -> None:
    resource = broker.make(row, partitions=3)
    resource.put_messages([Stored(b"%d:%d" % (partition, number), position=f"{partition}:") for partition in range(3) for number in range(4)])
    assert sorted(filter(None, look(broker, resource, PerPartition(((0, 3), (2, 1)))))) == [b"0:3", b"2:1", b"2:2", b"2:3"]
    assert sorted(filter(None, look(broker, resource, PerPartition(((1, 0),)), PerPartition(((1, 2),))))) == [b"1:0", b"1:1"]
    assert len(look(broker, resource, Start())) == 12
    assert len(look(broker, resource, Last(5))) == 5


@needs(STORED, Capability.PARTITION)
def test_order_is_kept_inside_each_partition(broker: Broker, row: str) -> None:
    resource = broker.make(row, partitions=4)
    resource.put_messages([Stored(b"%d" % number, position=f"{number % 4}:") for number in range(400)])
    with broker.open() as backend, backend.look(resource.address, EVERYTHING) as reader:
        records = read(reader)
    for partition in range(4):
        assert [record.message.body for record in records if record.place["partition"] == partition] == [b"%d" % number for number in range(partition, 400, 4)]
