"""Publishing to RabbitMQ: confirmed means routed and stored, and a message that is refused is refused alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.model.address import Address
from brokercli.model.connection import Secret
from brokercli.model.errors import NotFound
from brokercli.model.message import Message, Typed
from brokercli.model.receipt import Receipts, Verdict
from tests.backends.rabbitmq_places import Places
from tests.conformance.driving import publish

PATIENCE = 30.0


def sent(places: Places, destination: Address, *messages: Message, **policy: bool) -> Receipts:
    """Publish messages with a connection of their own."""
    with places.open() as backend, backend.publisher(destination, PublishPolicy(**policy)) as publisher:
        return publish(publisher, messages)


def test_a_message_that_no_queue_is_bound_for_is_refused_and_its_neighbours_arrive(places: Places) -> None:
    exchange, queue = places.exchange("topic"), places.queue()
    places.bind(queue, exchange, "orders.#")
    messages = [Message(b"%d" % number, route="nowhere" if number % 3 == 1 else "orders.new") for number in range(30)]
    receipts = sent(places, Address(exchange, "exchange"), *messages)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (20, 10, 0)
    assert [problem.index for problem in receipts.problems] == [number for number in range(30) if number % 3 == 1]
    assert all("no queue is bound" in problem.reason and exchange in problem.reason for problem in receipts.problems)
    assert places.taken(queue) == [b"%d" % number for number in range(30) if number % 3 != 1]


def test_messages_that_differ_in_their_headers_only_are_told_apart_when_one_comes_back(places: Places) -> None:
    exchange, queue = places.exchange("headers"), places.queue()
    places.bind(queue, exchange, "", [("kind", ("S", b"wanted"))])
    # RabbitMQ returns the headers sorted by name
    messages = [Message(b"same", headers=(("z", b"1"), ("kind", b"wanted" if number in (0, 2, 3) else b"other"))) for number in range(6)]
    receipts = sent(places, Address(exchange, "exchange"), *messages)
    assert [problem.index for problem in receipts.problems] == [1, 4, 5]
    assert len(places.taken(queue)) == receipts.confirmed == 3


def test_of_messages_that_are_the_same_once_the_broker_has_sorted_their_headers_each_that_comes_back_is_refused(places: Places) -> None:
    exchange, queue = places.exchange("headers"), places.queue()
    places.bind(queue, exchange, "", [("kind", ("S", b"wanted"))])
    # in flight together are only those behind one that was confirmed
    first = Message(b"first", headers=(("kind", b"wanted"),))
    unsorted = Message(b"same", headers=(("z", b"1"), ("kind", b"other")))
    as_returned = Message(b"same", headers=(("kind", b"other"), ("z", b"1")))
    receipts = sent(places, Address(exchange, "exchange"), first, unsorted, as_returned, unsorted, as_returned)
    assert (receipts.confirmed, [problem.index for problem in receipts.problems]) == (1, [1, 2, 3, 4])
    assert places.taken(queue) == [b"first"]


def test_of_messages_that_differ_in_whom_else_they_go_to_the_one_that_comes_back_is_refused(places: Places) -> None:
    exchange, queue = places.exchange("topic"), places.queue()
    places.bind(queue, exchange, "there")

    def also_to(key: bytes) -> Message:
        # RabbitMQ takes BCC off, also where it returns the message
        return Message(b"same", headers=(("BCC", Typed("array", (key,))),), route="nowhere")

    messages = [Message(b"first", route="there"), also_to(b"there"), also_to(b"elsewhere"), also_to(b"there"), also_to(b"elsewhere")]
    receipts = sent(places, Address(exchange, "exchange"), *messages)
    assert (receipts.confirmed, [problem.index for problem in receipts.problems]) == (3, [2, 4])
    assert places.taken(queue) == [b"first", b"same", b"same"]


@pytest.mark.parametrize("expiration", [b"soon", b"-1", b"99999999999999", b"", b"\xff"])
def test_an_expiration_that_the_broker_does_not_take_costs_that_message_alone(places: Places, expiration: bytes) -> None:
    queue = places.queue()
    messages = [Message(b"%d" % number, properties={"expiration": expiration} if number == 3 else {}) for number in range(6)]
    receipts = sent(places, Address(queue), *messages)
    assert [(problem.index, problem.verdict) for problem in receipts.problems] == [(3, Verdict.REFUSED)]
    assert places.taken(queue) == [b"0", b"1", b"2", b"4", b"5"]


def test_all_of_a_window_can_come_back(places: Places) -> None:
    exchange = places.exchange("direct")
    with places.open() as backend, backend.publisher(Address(exchange, "exchange", "k"), PublishPolicy()) as publisher:
        assert publisher.send_bodies([b"%d" % (number % 7) for number in range(1500)]) == 1500
        receipts = publisher.finish(PATIENCE)
    assert (receipts.confirmed, receipts.refused) == (0, 1500)
    assert [problem.index for problem in receipts.problems] == list(range(1500))


def test_a_full_queue_that_rejects_publishers_refuses_what_does_not_fit(places: Places) -> None:
    queue = places.queue("quorum", x_max_length=("l", 3), x_overflow=("S", b"reject-publish"))
    receipts = sent(places, Address(queue, "queue"), *[Message(b"x")] * 500)
    # a quorum queue may take a few more than its limit before it says so
    assert receipts.confirmed == len(places.taken(queue)) < 500
    assert receipts.refused == 500 - receipts.confirmed
    assert {problem.verdict for problem in receipts.problems} == {Verdict.REFUSED}
    assert "full" in receipts.problems[0].reason


def test_what_one_of_several_queues_rejects_is_in_doubt_because_the_others_have_it(places: Places) -> None:
    exchange, full, other = places.exchange("fanout"), places.queue(x_max_length=("l", 0), x_overflow=("S", b"reject-publish")), places.queue()
    places.bind(full, exchange)
    places.bind(other, exchange)
    receipts = sent(places, Address(exchange, "exchange"), Message(b"half"))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 0, 1)
    assert places.taken(other) == [b"half"]


def test_an_exchange_that_is_deleted_under_a_publisher_ends_it_and_nothing_is_called_confirmed_that_was_not_stored(places: Places) -> None:
    exchange, queue = places.exchange("fanout"), places.queue()
    places.bind(queue, exchange)
    with places.open() as backend, backend.publisher(Address(exchange, "exchange"), PublishPolicy()) as publisher:
        assert publish(publisher, [Message(b"before")]).confirmed == 1
        places.wire.delete_exchange(exchange)
        publisher.send_bodies([b"after"])
        receipts = publisher.collect(PATIENCE)
        assert (receipts.confirmed, receipts.refused) == (0, 1)
        with pytest.raises(NotFound) as gone:
            publisher.collect(PATIENCE)
        assert exchange in str(gone.value)
        assert publisher.send_bodies([b"more"]) == 0
    places.wire.declare_exchange(exchange, "fanout")
    assert places.taken(queue) == [b"before"]


def test_another_logins_user_id_is_refused_alone(places: Places) -> None:
    queue = places.queue()
    receipts = sent(places, Address(queue, "queue"), Message(b"1"), Message(b"2", properties={"user_id": b"somebody"}),
                    Message(b"3", properties={"user_id": places.connection.user.encode() if places.connection.user else b"guest"}), Message(b"4"))
    assert [(problem.index, problem.verdict) for problem in receipts.problems] == [(1, Verdict.REFUSED)]
    assert places.taken(queue) == [b"1", b"3", b"4"]


def test_a_copy_carbon_header_sends_nothing_anywhere_unless_it_is_asked_for(places: Places) -> None:
    queue, other = places.queue(), places.queue()
    message = Message(b"x", headers=(("CC", Typed("array", (other.encode(),))), ("kept", b"1")), origin="rabbitmq")
    with places.open() as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        assert publish(publisher, [message, message]).confirmed == 2
        assert publisher.withheld == {"CC": 2}
    assert (len(places.taken(queue)), places.taken(other)) == (2, [])
    assert sent(places, Address(queue, "queue"), message, keep_control_headers=True).confirmed == 1
    assert (len(places.taken(queue)), places.taken(other)) == (1, [b"x"])


def test_a_decimal_on_its_way_into_a_stream_is_refused_alone_and_the_connection_lives(places: Places) -> None:
    stream = places.stream()
    decimal = Message(b"2", headers=(("price", Typed("decimal", (2, 125))),))
    receipts = sent(places, Address(stream, "stream"), Message(b"1"), decimal, Message(b"3"))
    assert [(problem.index, problem.verdict) for problem in receipts.problems] == [(1, Verdict.REFUSED)]
    assert "decimal" in receipts.problems[0].reason
    with places.open() as backend:
        # also where the address does not say that it is one
        assert backend.resolve(Address(stream), "publish") == Address(stream, "stream")
        with backend.publisher(Address(stream, "queue"), PublishPolicy()) as publisher:
            assert publish(publisher, [decimal]).refused == 1


def test_a_decimal_that_an_exchange_leads_into_a_stream_takes_no_neighbour_along(places: Places) -> None:
    exchange, stream = places.exchange("fanout"), places.stream()
    places.bind(stream, exchange)
    receipts = sent(places, Address(exchange, "exchange"), *[Message(b"%d" % number) for number in range(5)],
                    Message(b"bad", headers=(("price", Typed("decimal", (2, 125))),)), *[Message(b"%d" % number) for number in range(5, 10)])
    assert (receipts.confirmed, receipts.unknown, [problem.index for problem in receipts.problems]) == (10, 1, [5])
    assert [body for body, _ in places.wire.read_stream(stream, 10)] == [b"%d" % number for number in range(10)]


def test_headers_that_do_not_fit_a_frame_are_refused_alone(places: Places) -> None:
    queue = places.queue()
    receipts = sent(places, Address(queue, "queue"), Message(b"1"), Message(b"2", headers=(("big", b"x" * 200_000),)),
                    Message(b"3", headers=(("big", b"x" * 100_000),)))
    assert [problem.index for problem in receipts.problems] == [1]
    assert places.taken(queue) == [b"1", b"3"]


def test_large_messages_fill_the_window_by_their_size(places: Places) -> None:
    queue = places.queue()
    with places.open() as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        body = b"x" * 1_000_000
        accepted = publisher.send_bodies([body] * 200)
        assert 20 < accepted < 50
        receipts = publisher.finish(PATIENCE)
    assert receipts.confirmed == accepted
    assert len(places.taken(queue)) == accepted


def test_a_message_goes_by_its_own_route_where_the_address_leaves_it_open_and_by_the_addresss_where_it_does_not(places: Places) -> None:
    exchange, one, two = places.exchange("direct"), places.queue(), places.queue()
    places.bind(one, exchange, "one")
    places.bind(two, exchange, "two")
    assert sent(places, Address(exchange, "exchange"), Message(b"a", route="one"), Message(b"b", route="two")).confirmed == 2
    assert sent(places, Address(exchange, "exchange", "two"), Message(b"c", route="one")).confirmed == 1
    assert sent(places, Address("", "exchange", one), Message(b"d", route="two")).confirmed == 1
    assert sent(places, Address(two, "queue"), Message(b"e", route="one")).confirmed == 1
    assert (places.taken(one), places.taken(two)) == ([b"a", b"d"], [b"b", b"c", b"e"])


def test_times_in_milliseconds_neither_lose_the_connection_nor_a_digit(places: Places) -> None:
    queue = places.queue()
    milliseconds = Typed("timestamp", 1_700_000_000_123)
    message = Message(b"x", headers=(("at", milliseconds), ("ratio", 3.75)), properties={"timestamp": milliseconds})
    assert sent(places, Address(queue, "queue"), message, message).confirmed == 2
    taken = places.wire.get(queue)
    assert taken is not None
    properties = dict(taken[1])
    assert properties["timestamp"] == 1_700_000_000_123
    assert (b"at", ("T", 1_700_000_000_123)) in properties["headers"]


def test_publishing_needs_no_permission_for_the_queue_itself(places: Places, unique: Callable[[str], str]) -> None:
    queue, user = places.queue(), unique("writer")
    places.api(f"users/{user}", "PUT", password="secret", tags="")
    try:
        places.api(f"permissions/%2F/{user}", "PUT", configure="^$", write=r"^amq\.default$", read="^$")
        connection = replace(places.without_management, user=user, password=Secret("secret"))
        with RabbitMQBackend(connection) as backend:
            address = backend.resolve(Address(queue, "queue"), "publish")
            with backend.publisher(address, PublishPolicy()) as publisher:
                assert publish(publisher, [Message(b"x")]).confirmed == 1
        assert places.taken(queue) == [b"x"]
    finally:
        places.api(f"users/{user}", "DELETE")


def test_a_login_that_may_not_write_is_told_so_and_nothing_is_in_doubt(places: Places, unique: Callable[[str], str]) -> None:
    queue, user = places.queue(), unique("reader")
    places.api(f"users/{user}", "PUT", password="secret", tags="")
    try:
        places.api(f"permissions/%2F/{user}", "PUT", configure="^$", write="^$", read=".*")
        connection = replace(places.without_management, user=user, password=Secret("secret"))
        with RabbitMQBackend(connection) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
            publisher.send_bodies([b"1", b"2", b"3"])
            receipts = publisher.finish(PATIENCE)
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 3, 0)
        assert places.taken(queue) == []
    finally:
        places.api(f"users/{user}", "DELETE")
