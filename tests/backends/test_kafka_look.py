"""Looking at Kafka: what is there is read, what is not there is neither waited for nor made up, and nothing is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import pytest

from brokercli.backends.contract import Reader
from brokercli.backends.kafka import look as look_module
from brokercli.backends.kafka.reading import PROMISED
from brokercli.model.address import Address
from brokercli.model.errors import NotFound, OutOfRange, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start
from tests.backends.kafka_topics import PATIENCE, Topics, bodies, everything
from tests.brokers.server import wait_until
from tests.native.kafka import listed_groups

MILLISECOND = 1_000_000
ALL = Span(Start(), End())


@pytest.fixture
def ten(topics: Topics) -> Address:
    """One partition with the bodies 0 to 9, a second apart from 1,000 s after 1970."""
    topic = topics.make(retention_ms="-1")
    topics.fill(topic, [b"%d" % number for number in range(10)], times=[(1000 + number) * 1000 for number in range(10)])
    return topic


def at(seconds: float) -> Moment:
    return Moment(int(seconds * 1000) * MILLISECOND)


@pytest.mark.parametrize(("start", "end", "expected"), [
    (Start(), End(), "0123456789"),
    (Number(3), End(), "3456789"),
    (Number(3), Number(6), "345"),
    (Start(), Number(4), "0123"),
    (Number(10), End(), ""),
    (Number(4), Number(4), ""),
    (Start(), Number(5000), "0123456789"),
    (End(), End(), ""),
    (Last(3), End(), "789"),
    (Last(0), End(), ""),
    (Last(10), End(), "0123456789"),
    (Last(5000), End(), "0123456789"),
    (Last(4), Number(8), "67"),
    (Start(), Last(7), "012"),
    (at(1004), End(), "456789"),
    (at(1003.001), End(), "456789"),
    (Moment(1004_000_000_001), End(), "56789"),
    (at(1004), at(1007), "456"),
    (at(0), End(), "0123456789"),
    (Moment(-5_000_000_000), End(), "0123456789"),
    (at(5000), End(), ""),
    (Start(), at(1000), ""),
    (at(1007), at(1004), ""),
    (PerPartition(((0, 7),)), End(), "789"),
    (Start(), PerPartition(((0, 2),)), "01"),
], ids=lambda value: str(value) or "none")
def test_a_span_holds_exactly_what_lies_between_its_ends(topics: Topics, ten: Address, start: Position, end: Position, expected: str) -> None:
    reader = topics.look(ten, start, end)
    assert reader.expected == len(expected)
    assert b"".join(body or b"" for body in bodies(everything(reader))) == expected.encode()
    assert reader.finished
    assert reader.read(0) is None


@pytest.mark.parametrize("start", [Number(11), PerPartition(((0, 11),))], ids=str)
def test_a_start_beyond_the_end_says_what_there_is(topics: Topics, ten: Address, start: Position) -> None:
    with pytest.raises(OutOfRange, match="0:0 to 0:10"):
        topics.look(ten, start)


def test_a_start_that_was_deleted_says_what_there_is(topics: Topics, ten: Address) -> None:
    topics.delete_before(ten, 4)
    with pytest.raises(OutOfRange, match="0:4 to 0:10"):
        topics.look(ten, Number(3))
    assert bodies(everything(topics.look(ten))) == [b"4", b"5", b"6", b"7", b"8", b"9"]


def test_a_partition_that_does_not_exist_is_named(topics: Topics, ten: Address) -> None:
    with pytest.raises(UsageProblem, match="no partition 3, 7; it has 1"):
        topics.look(ten, PerPartition(((0, 1), (3, 1), (7, 2))))


def test_a_range_that_ends_before_it_starts_is_a_usage_problem(topics: Topics, ten: Address) -> None:
    with pytest.raises(UsageProblem, match="ends at 3 before it starts at 5"):
        topics.look(ten, Number(5), Number(3))


def test_a_topic_that_does_not_exist_is_not_created(topics: Topics) -> None:
    name = topics.name()
    with pytest.raises(NotFound):
        topics.look(Address(name, "topic"))
    assert name not in topics.admin.list_topics(timeout=10).topics


def test_every_partition_is_read_and_each_in_its_order(topics: Topics) -> None:
    topic = topics.make(partitions=5)
    for partition in range(5):
        topics.fill(topic, [b"%d" % number for number in range(200)], partition)
    records = topics.read(topic)
    for partition in range(5):
        assert [record.message.body for record in records if record.place["partition"] == partition] == [b"%d" % number for number in range(200)]
    assert len(records) == 1000


def test_an_empty_topic_ends(topics: Topics) -> None:
    reader = topics.look(topics.make(partitions=3))
    assert reader.expected == 0
    assert reader.read(30) is None
    assert reader.finished


def test_partitions_that_are_not_named_are_left_out(topics: Topics) -> None:
    topic = topics.make(partitions=3)
    for partition in range(3):
        topics.fill(topic, [b"%d-%d" % (partition, number) for number in range(4)], partition)
    reader = topics.look(topic, PerPartition(((0, 3), (2, 2))))
    assert sorted(body or b"" for body in bodies(everything(reader))) == [b"0-3", b"2-2", b"2-3"]
    assert sorted(body or b"" for body in bodies(everything(topics.look(topic, Start(), PerPartition(((1, 1),)))))) == [b"1-0"]


def test_what_arrives_after_the_end_was_looked_up_is_not_read(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    topics.fill(topic, [b"before"] * 20, 0)
    topics.fill(topic, [b"before"] * 20, 1)
    reader = topics.look(topic)
    for partition in (0, 1):
        topics.fill(topic, [b"after"] * 500, partition)
    assert bodies(everything(reader)) == [b"before"] * 40


def test_a_topic_that_never_rests_still_ends(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    topics.fill(topic, [b"x"] * 100)
    stop = threading.Event()
    producer = topics.producer(linger_ms=0)

    def produce() -> None:
        while not stop.is_set():
            producer.produce(topic.name, b"y", partition=0)
            producer.poll(0.001)
        producer.flush(60)

    busy = threading.Thread(target=produce)
    busy.start()
    try:
        reader = topics.look(topic)
        assert len(everything(reader)) == reader.expected
    finally:
        stop.set()
        busy.join()


# --- the newest N

def interleaved(topics: Topics, times: Sequence[Sequence[int]]) -> Address:
    topic = topics.make(partitions=len(times), retention_ms="-1")
    for partition, stamps in enumerate(times):
        topics.fill(topic, [b"%d" % stamp for stamp in stamps], partition, [1_000_000 + stamp for stamp in stamps])
    return topic


def test_the_newest_are_the_newest_by_time_over_all_partitions(topics: Topics) -> None:
    topic = interleaved(topics, [[1, 4, 7, 10], [2, 5, 8], [], [3, 6, 9, 11, 12]])
    for count, expected in ((1, [12]), (4, [9, 10, 11, 12]), (7, [6, 7, 8, 9, 10, 11, 12]), (12, list(range(1, 13))), (99, list(range(1, 13)))):
        found = sorted(int(body or b"") for body in bodies(everything(topics.look(topic, Last(count)))))
        assert found == expected, count


def test_the_newest_may_all_lie_in_one_of_many_partitions(topics: Topics) -> None:
    topic = interleaved(topics, [list(range(1000, 1300)), list(range(300)), list(range(300))])
    assert sorted(int(body or b"") for body in bodies(everything(topics.look(topic, Last(250))))) == list(range(1050, 1300))


def test_of_equal_times_the_higher_partition_is_newer(topics: Topics) -> None:
    topic = interleaved(topics, [[5, 5], [5, 5]])
    assert [record.position for record in everything(topics.look(topic, Last(1)))] == ["1:1"]
    assert sorted(record.position for record in everything(topics.look(topic, Last(3)))) == ["0:1", "1:0", "1:1"]


# --- transactions, compaction, deletion

def test_a_finished_topic_has_nothing_to_note(topics: Topics, ten: Address) -> None:
    reader = topics.look(ten)
    everything(reader)
    assert list(reader.notes) == []


def test_a_compacted_topic_ends_whatever_is_missing(guarded_topics: Topics) -> None:
    topics = guarded_topics
    topic = topics.make(cleanup_policy="compact", segment_bytes="1048576", min_cleanable_dirty_ratio="0.01")
    producer = topics.producer(linger_ms=0)
    for number in range(300):
        # three segments and a bit; the last is never compacted
        producer.produce(topic.name, b"%d" % number + bytes(13_000), key=b"k%d" % (number % 3))
        producer.poll(0)
    assert producer.flush(60) == 0
    wait_until(lambda: len(topics.read(topic)) < 300, 60, "the compaction")
    records = topics.read(topic)
    offsets = [int(record.place["offset"] or 0) for record in records]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == 299
    assert [record.position for record in everything(topics.look(topic, Last(2)))] == ["0:298", "0:299"]


def test_records_deleted_while_they_are_read_are_an_error_and_not_an_end(topics: Topics) -> None:
    topic = topics.make()
    # more than the client fetches ahead
    topics.fill(topic, [bytes(1_000_000)] * 80)
    reader = topics.look(topic)
    assert reader.read(20) is not None
    topics.delete_before(topic, 79)
    with pytest.raises(OutOfRange, match="0:79 to 0:80"):
        everything(reader)


def test_a_topic_deleted_while_it_is_followed_is_an_error(topics: Topics, ten: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "NEW_PARTITIONS_SECONDS", 0.2)
    reader = topics.look(ten, follow=True)
    read = 0
    while read < 10:
        batch = reader.read(20)
        assert batch is not None
        read += len(batch)
    topics.delete(ten)
    with pytest.raises(NotFound):
        follow(reader, 60)


def test_a_topic_deleted_while_it_is_read_is_an_error_and_not_waited_for(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "NEW_PARTITIONS_SECONDS", 0.2)
    topic = topics.make()
    # more than the client fetches ahead
    topics.fill(topic, [bytes(1_000_000)] * 40)
    reader = topics.look(topic)
    assert reader.read(20) is not None
    topics.delete(topic)
    with pytest.raises(NotFound):
        everything(reader)


# --- following

def follow(reader: Reader, seconds: float) -> list[bytes]:
    """Return the first bodies that come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        batch = reader.read(1)
        if batch is not None:
            return batch.bodies()
    return []


def test_following_from_the_end_shows_what_comes_and_nothing_before(topics: Topics, ten: Address) -> None:
    reader = topics.look(ten, End(), follow=True)
    assert reader.read(0) is None
    topics.fill(ten, [b"new"])
    batch = reader.read(20)
    assert batch is not None
    assert batch.bodies() == [b"new"]
    assert not reader.finished
    assert reader.expected is None


def test_partitions_added_while_following_are_read_from_their_start(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "NEW_PARTITIONS_SECONDS", 0.2)
    topic = topics.make()
    reader = topics.look(topic, End(), follow=True)
    assert reader.read(0) is None
    topics.add_partitions(topic, 3)
    topics.fill(topic, [b"in the new one"], 2)
    assert follow(reader, 30) == [b"in the new one"]


def test_partitions_added_while_others_are_never_idle_are_read_from_their_start(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "NEW_PARTITIONS_SECONDS", 0.2)
    topic = topics.make()
    reader = topics.look(topic, End(), follow=True)
    topics.add_partitions(topic, 2)
    topics.fill(topic, [b"in the new one"], 1)
    seen: list[bytes] = []
    deadline = time.monotonic() + 10
    while b"in the new one" not in seen and time.monotonic() < deadline:
        # there is always something to read
        topics.fill(topic, [b"in the old one"], 0)
        seen += read(reader)
    assert b"in the new one" in seen


def read(reader: Reader) -> list[bytes]:
    batch = reader.read(20)
    assert batch is not None
    return batch.bodies()


def test_looking_leaves_no_group_and_no_offset_behind(topics: Topics, ten: Address) -> None:
    with topics.look(ten) as reader:
        everything(reader)
    assert PROMISED["group.id"] not in listed_groups(topics.admin)


def test_two_looks_at_once_do_not_disturb_each_other(topics: Topics, ten: Address) -> None:
    other = topics.make()
    topics.fill(other, [b"other"] * 5)
    backend = topics.backend()
    first = backend.look(ten, ALL)
    second = backend.look(other, ALL)
    assert bodies(everything(second)) == [b"other"] * 5
    assert len(everything(first)) == 10
    first.close()
    second.close()
    with backend.look(ten, ALL) as third:
        assert len(everything(third)) == 10


def test_looks_follow_one_another_on_one_connection(topics: Topics) -> None:
    topic = interleaved(topics, [list(range(1000, 1100)), list(range(100)), list(range(100))])
    backend = topics.backend()
    for _ in range(20):
        with backend.look(topic, Span(Last(70), End())) as newest:
            assert len(everything(newest)) == 70
        with backend.look(topic, ALL) as whole:
            assert len(everything(whole)) == 300


def test_a_look_may_be_closed_in_the_middle_and_twice(topics: Topics, ten: Address) -> None:
    backend = topics.backend()
    reader = backend.look(ten, ALL)
    reader.close()
    reader.close()
    with backend.look(ten, ALL) as again:
        assert len(everything(again)) == 10


def test_large_records_come_a_few_at_a_time_however_small_they_are_on_their_way(topics: Topics) -> None:
    topic = topics.make()
    producer = topics.producer(compression_type="zstd", linger_ms=1000, batch_size=50_000_000)
    for number in range(20):
        # what is in its headers is what makes a dead letter large
        producer.produce(topic.name, b"%d" % number, headers=[("x-exception-stacktrace", bytes(1_000_000))])
    assert producer.flush(60) == 0
    reader = topics.look(topic)
    came: list[list[bytes | None]] = []
    while not reader.finished:
        batch = reader.read(20)
        assert batch is not None or reader.finished, "nothing came for 20 s"
        came.append([] if batch is None else bodies(batch.records()))
    assert [body for some in came for body in some] == [b"%d" % number for number in range(20)]
    assert max(map(len, came)) <= 9


def test_small_records_come_many_at_a_time(topics: Topics) -> None:
    topic = topics.make()
    producer = topics.producer(linger_ms=1000)
    for number in range(1000):
        producer.produce(topic.name, b"%d" % number, headers=[("x-exception-stacktrace", b"short")])
    assert producer.flush(60) == 0
    batch = topics.look(topic).read(20)
    assert batch is not None
    assert len(batch) > 100


@pytest.mark.parametrize("start", [End(), Start(), Last(2)], ids=str)
def test_whoever_waits_for_what_comes_asks_the_broker_seldom_and_nobody_else_goes_on_asking(
        topics: Topics, monkeypatch: pytest.MonkeyPatch, start: Position) -> None:
    topic = topics.make(partitions=3)
    topics.fill(topic, [b"1", b"2", b"3"])
    backend = topics.backend()
    opened: list[Mapping[str, int]] = []
    monkeypatch.setattr(backend, "_open_consumer", lambda troubles, reading, really=backend._open_consumer: opened.append(reading) or really(troubles, reading))
    with backend.look(topic, Span(start, None)) as reader:
        assert [reading["fetch.wait.max.ms"] >= 250 for reading in opened] == [True]
        assert backend._consumer.assignment() == []
        topics.fill(topic, [b"4"], partition=2)
        came: list[bytes] = []
        while b"4" not in came:
            batch = reader.read(PATIENCE)
            assert batch is not None
            came += batch.bodies()
        assert len(came) == {"end": 1, "start": 4}.get(str(start), 3)
