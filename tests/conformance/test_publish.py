"""Publishing is confirmed, in order, and one by one.

Confirmed means stored: after `finish`, another client finds exactly the confirmed messages, in the order given, and none of
the refused. Every accepted message gets one verdict. A message that cannot be sent is refused alone, and its neighbours
arrive. A destination that cannot take anything is refused before the first message, and nothing is created on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.errors import Failed, UsageProblem
from brokercli.model.message import Message
from brokercli.model.position import End, Span, Start
from brokercli.model.receipt import Receipts, Verdict
from tests.brokers.server import wait_until
from tests.conformance.driving import PATIENCE, publish, read
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs
SECOND = 1_000_000_000
EVERYTHING = Span(Start(), End())


@needs(Capability.PUBLISH)
def test_what_is_confirmed_is_stored_once_and_in_the_order_given(broker: Broker, resource: Resource) -> None:
    sent = [b"message %d" % number for number in range(500)]
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        receipts = publish(publisher, [Message(body) for body in sent])
        assert publisher.in_flight == 0
    assert (receipts.confirmed, receipts.refused, receipts.unknown, receipts.problems) == (500, 0, 0, [])
    assert [stored.body for stored in resource.stored(500)] == sent


@needs(Capability.PUBLISH)
def test_by_way_of_what_carries_others_too_messages_arrive_where_they_were_to_go_and_in_order(broker: Broker, resource: Resource) -> None:
    sent = [b"message %d" % number for number in range(100)]
    with broker.open() as backend:
        way, route = backend.by_way_of(backend.resolve(resource.destination, "publish"))
        with backend.publisher(way, PublishPolicy()) as publisher:
            receipts = publish(publisher, [Message(body, route=route) for body in sent])
        backend.require_answer()
    assert (receipts.confirmed, receipts.problems) == (100, [])
    assert [stored.body for stored in resource.stored(100)] == sent


@needs(Capability.PUBLISH)
def test_bare_bodies_are_published_with_the_headers_of_the_template(broker: Broker, resource: Resource) -> None:
    policy = PublishPolicy(template=Message(b"", headers=(("x-origin-service", b"tests"),)))
    sent = [b"", b"one line", b"\x00\xff" * 500]
    with broker.open() as backend, backend.publisher(resource.destination, policy) as publisher:
        taken = publisher.send_bodies(sent)
        receipts = publisher.finish(PATIENCE)
    assert (taken, receipts.confirmed) == (3, 3)
    stored = resource.stored(3)
    assert [one.body for one in stored] == sent
    assert all("x-origin-service" in str(one.headers) and "tests" in str(one.headers) for one in stored)


@needs(Capability.PUBLISH)
def test_each_confirmed_message_has_one_receipt_with_the_place_where_it_lies(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy(positions=True)) as publisher:
        receipts = publish(publisher, [Message(b"%d" % number) for number in range(20)])
    assert sorted(receipt.index for receipt in receipts.confirmations) == list(range(20))
    assert all(receipt.verdict is Verdict.CONFIRMED for receipt in receipts.confirmations)
    places = [receipt.position for receipt in sorted(receipts.confirmations, key=lambda receipt: receipt.index)]
    assert places == ([stored.position for stored in resource.stored(20)] if broker.confirms_positions else [""] * 20)


@needs(Capability.PUBLISH)
def test_an_oversized_message_is_refused_alone_and_its_neighbours_arrive(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        receipts = publish(publisher, [Message(b"before"), Message(broker.oversized()), Message(b"after")])
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (2, 1, 0)
    assert [(problem.index, problem.verdict) for problem in receipts.problems] == [(1, Verdict.REFUSED)]
    assert receipts.problems[0].reason
    assert [stored.body for stored in resource.stored(2)] == [b"before", b"after"]


@needs(Capability.PUBLISH)
def test_the_window_bounds_what_is_in_flight_and_everything_still_arrives_in_order(broker: Broker, resource: Resource) -> None:
    sent = [b"%d" % number for number in range(60)]
    receipts, left = Receipts(), sent
    deadline = time.monotonic() + PATIENCE
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy(maximum_in_flight=8)) as publisher:
        while left:
            taken = publisher.send_bodies(left)
            assert publisher.in_flight <= 8
            left = left[taken:]
            receipts.add(publisher.collect(0.1))
            assert time.monotonic() < deadline
        receipts.add(publisher.finish(PATIENCE))
    assert len(receipts) == receipts.confirmed == 60
    assert [stored.body for stored in resource.stored(60)] == sent


@needs(Capability.PUBLISH)
def test_publishing_goes_on_after_finish_and_numbers_go_on_too(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy(positions=True)) as publisher:
        first = publish(publisher, [Message(b"one")])
        second = publish(publisher, [Message(b"two")])
        assert len(publisher.finish(0)) == 0
    assert [receipt.index for receipt in first.confirmations + second.confirmations] == [0, 1]
    assert [stored.body for stored in resource.stored(2)] == [b"one", b"two"]


@needs(Capability.PUBLISH)
def test_two_publishers_of_one_connection_keep_their_verdicts_apart(broker: Broker, resource: Resource, row: str) -> None:
    other = broker.make(row)
    policy = PublishPolicy()
    with broker.open() as backend, backend.publisher(resource.destination, policy) as one, backend.publisher(other.destination, policy) as two:
        one.send_bodies([b"a", b"b"])
        two.send_bodies([b"c"])
        assert (one.finish(PATIENCE).confirmed, two.finish(PATIENCE).confirmed) == (2, 1)
    assert [stored.body for stored in resource.stored(2)] == [b"a", b"b"]
    assert [stored.body for stored in other.stored(1)] == [b"c"]


@needs(Capability.PUBLISH)
def test_a_destination_that_does_not_exist_is_refused_and_not_created(broker: Broker, row: str) -> None:
    missing = broker.missing(row)
    with broker.open() as backend:
        for _ in range(2):
            with pytest.raises(Failed):
                backend.publisher(backend.resolve(missing, "publish"), PublishPolicy())
        names = [listing.name for listing in backend.list()]
    assert missing.name not in names


@needs(Capability.PUBLISH)
def test_a_name_that_nothing_can_have_is_refused_as_a_mistake(broker: Broker, row: str) -> None:
    kind = broker.missing(row).kind
    with broker.open() as backend:
        for name in broker.impossible_names(row):
            with pytest.raises(UsageProblem):
                backend.resolve(Address(name, kind), "publish")


@needs(Capability.PUBLISH, Capability.TOMBSTONE)
def test_a_null_body_is_not_an_empty_one(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        assert publish(publisher, [Message(None), Message(b"")]).confirmed == 2
    assert [stored.body for stored in resource.stored(2)] == [None, b""]


@needs(Capability.PUBLISH, Capability.KEY)
def test_a_null_key_is_not_an_empty_one(broker: Broker, resource: Resource) -> None:
    keys = [None, b"", b"c-7", b"\x00\xff"]
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        assert publish(publisher, [Message(b"", key=key) for key in keys]).confirmed == 4
    assert [stored.key for stored in resource.stored(4)] == keys


@needs(Capability.PUBLISH, Capability.PARTITION)
def test_a_message_goes_to_the_partition_it_names(broker: Broker, row: str) -> None:
    resource = broker.make(row, partitions=3)
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        receipts = publish(publisher, [Message(b"%d" % partition, partition=partition) for partition in (2, 0, 1, 2)] + [Message(b"nowhere", partition=3)])
    assert [stored.body for stored in resource.stored(4)] == [b"0", b"1", b"2", b"2"]
    assert (receipts.confirmed, receipts.refused, [problem.index for problem in receipts.problems]) == (4, 1, [4])


@needs(Capability.PUBLISH, Capability.MESSAGE_TIME, Capability.LOOK_STORED)
def test_a_message_keeps_the_time_it_was_given(broker: Broker, resource: Resource) -> None:
    given = (time.time_ns() // SECOND - 60) * SECOND
    with broker.open() as backend:
        with backend.publisher(resource.destination, PublishPolicy()) as publisher:
            assert publish(publisher, [Message(b"timed", time=given)]).confirmed == 1
        with backend.look(resource.address, EVERYTHING) as reader:
            assert [record.time for record in read(reader)] == [given]


@needs(Capability.PUBLISH, Capability.DEDUPLICATE)
def test_a_second_message_with_the_same_id_is_called_a_duplicate_and_not_stored(broker: Broker, resource: Resource, unique: Callable[[str], str]) -> None:
    identity = unique("id")
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        receipts = publish(publisher, [Message(b"first", id=identity), Message(b"second", id=identity), Message(b"third", id=unique("id"))])
    assert (receipts.confirmed, receipts.duplicates) == (3, 1)
    assert [(problem.index, problem.verdict, problem.duplicate) for problem in receipts.problems] == [(1, Verdict.CONFIRMED, True)]
    assert [stored.body for stored in resource.stored(2)] == [b"first", b"third"]


@needs(Capability.PUBLISH, Capability.FIRE_AND_FORGET)
def test_fire_and_forget_arrives_where_somebody_listens(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy(fire_and_forget=True)) as publisher:
        publish(publisher, [Message(b"one"), Message(b"two")])
        wait_until(lambda: [stored.body for stored in resource.stored(2)] == [b"one", b"two"], PATIENCE, "both messages")


@needs(Capability.PUBLISH)
def test_closing_twice_is_no_error_and_an_unused_publisher_leaves_nothing(broker: Broker, resource: Resource) -> None:
    before = resource.state()
    with broker.open() as backend:
        publisher = backend.publisher(resource.destination, PublishPolicy())
        assert len(publisher.collect(0)) == len(publisher.finish(0)) == 0
        publisher.close()
        publisher.close()
        backend.close()
    assert resource.state() == before
    assert resource.stored() == []
