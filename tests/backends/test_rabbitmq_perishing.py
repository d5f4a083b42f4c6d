"""Messages that RabbitMQ confirms and does not keep: whoever publishes them, or puts letters back, is told so."""

from __future__ import annotations

import socket
import uuid
from contextlib import closing
from dataclasses import replace
from time import monotonic
from typing import Any

import pika
import pytest

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.perishing import ROOM
from brokercli.model.address import Address
from brokercli.model.message import Message
from brokercli.operations.homes import Homes
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import SECONDS, Places
from tests.backends.rabbitmq_redrive import fail, make, numbered, queue, redrive, work_and_letters
from tests.brokers.server import wait_until
from tests.conformance.driving import publish


def at(number: int) -> tuple[str, int]:
    return "l", number


def notes_of(places: Places, destination: Address, *bodies: bytes) -> list[str]:
    """Publish and return what was said."""
    with places.open() as backend, backend.publisher(destination, PublishPolicy()) as publisher:
        before = list(publisher.notes)
        assert not bodies or publish(publisher, [Message(body) for body in bodies]).confirmed == len(bodies)
        assert list(publisher.notes)[:len(before)] == before
        return list(publisher.notes)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_whoever_publishes_to_a_queue_that_drops_its_oldest_is_told_before_the_first_message(places: Places, kind: str) -> None:
    name = places.queue(kind, x_max_length=at(2))
    assert notes_of(places, queue(name)) == [f"queue:{name} keeps 2 messages (max-length) and drops the oldest: what goes beyond is deleted"]
    # the default exchange leads to the queue that the routing key names
    assert notes_of(places, Address("", "exchange", name)) == notes_of(places, queue(name))


def test_messages_that_expire_soon_and_whose_dead_letters_lead_nowhere_are_said_to_be_lost(places: Places) -> None:
    exchange, soon = places.exchange("direct"), at(2000)
    nobody = places.queue(x_message_ttl=soon, x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", b"is-not-there"))
    nothing = places.queue("quorum", x_message_ttl=soon, x_dead_letter_exchange=("S", b"is-not-there"))
    unbound = places.queue(x_message_ttl=soon, x_dead_letter_exchange=("S", exchange.encode()))
    for name, then in ((nobody, "queue:is-not-there"), (nothing, "exchange:is-not-there"), (unbound, f"exchange:{exchange}")):
        assert notes_of(places, queue(name)) == [
            f"messages in queue:{name} expire after 2s (message-ttl), and are lost: they would be dead-lettered to {then}, which leads nowhere"]
    places.bind(places.queue(), exchange, unbound)
    waits = places.queue("quorum", x_message_ttl=soon, x_dead_letter_exchange=("S", b"is-not-there"), x_dead_letter_strategy=("S", b"at-least-once"),
                         x_overflow=("S", b"reject-publish"))
    for name in (unbound, waits):
        assert notes_of(places, queue(name)) == []


def test_what_is_put_into_an_mqtt_clients_queue_is_said_to_reach_it_under_another_topic(places: Places) -> None:
    name = places.queue(name=f"mqtt-subscription-{uuid.uuid4().hex[:8]}qos1")
    said = f"queue:{name} is an MQTT client's, to which what is put into it by name comes with the topic {name}, and not with the one it had"
    assert [note.partition(";")[0] for note in notes_of(places, queue(name))] == [said]
    with places.open() as backend, backend.look_letters(queue(places.queue())) as letters:
        assert [note.partition(";")[0] for note in backend.fates(letters, [(queue(name), 3)])] == [said]
    exchange = places.exchange()
    places.bind(name, exchange, "orders.#")
    assert notes_of(places, Address(exchange, "exchange", "orders.created")) == []


def test_where_what_is_dropped_goes_is_said(places: Places) -> None:
    other, exchange = places.queue(), places.exchange()
    to_queue = places.queue(x_max_length_bytes=at(1000), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", other.encode()))
    to_exchange = places.queue(x_max_length=at(1), x_dead_letter_exchange=("S", exchange.encode()))
    by_its_key = places.queue(x_max_length=at(1), x_dead_letter_exchange=("S", b""))
    assert notes_of(places, queue(by_its_key)) == [
        f"queue:{by_its_key} keeps 1 message (max-length) and drops the oldest: what goes beyond is dead-lettered to the queue that the routing key names"]
    assert notes_of(places, queue(to_queue)) == [
        f"queue:{to_queue} keeps 1,000 bytes (max-length-bytes) and drops the oldest: what goes beyond is dead-lettered to queue:{other}"]
    assert notes_of(places, queue(to_exchange)) == [
        f"queue:{to_exchange} keeps 1 message (max-length) and drops the oldest: what goes beyond is dead-lettered to exchange:{exchange}"]


def test_a_time_to_live_that_is_over_in_a_moment_is_said_and_a_long_one_is_not(places: Places) -> None:
    short, longer = places.queue(x_message_ttl=at(1)), places.queue(x_message_ttl=at(3_600_000))
    holds_back = places.queue(x_message_ttl=at(1), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", longer.encode()))
    at_once = places.queue(x_message_ttl=at(0))
    assert notes_of(places, queue(short)) == [f"messages in queue:{short} expire after 1ms (message-ttl) and are deleted"]
    assert notes_of(places, queue(at_once)) == [f"messages in queue:{at_once} expire after 0s (message-ttl) and are deleted"]
    assert notes_of(places, queue(longer)) == notes_of(places, queue(holds_back)) == []


def test_a_queue_that_goes_with_its_messages_when_nobody_uses_it_is_said(places: Places) -> None:
    name = places.queue(x_expires=at(59_000))
    assert notes_of(places, queue(name)) == [
        f"nobody consumes queue:{name}, and it is deleted with its messages after 59s without consumers (expires)"]


def test_a_queue_that_somebody_consumes_is_not_said_to_go(places: Places) -> None:
    name = places.queue(x_expires=at(59_000))
    consuming = type(places.wire)(places.broker.host, places.broker.port, places.broker.user, places.broker.password, places.broker.virtual_host)
    with closing(consuming):
        consuming.consume(name, "somebody")
        wait_until(lambda: places.api(f"queues/{places.virtual_host}/{name}").get("consumers") == 1, SECONDS, "the count of the management API")
        assert notes_of(places, queue(name)) == []


def test_what_lies_in_a_queue_leaves_less_room(places: Places) -> None:
    name = places.queue(x_max_length=at(ROOM + 1))
    places.put("", name, numbered(2))
    wait_until(lambda: backend_counts(places, name) == 2, SECONDS, "the count of the management API")
    assert notes_of(places, queue(name)) == [
        f"queue:{name} keeps {ROOM + 1:,} messages (max-length) and drops the oldest: what goes beyond is deleted"]


def test_a_limit_that_a_policy_sets_is_said(declared: Declared) -> None:
    name = declared.places.queue(name=declared.name("limited"))
    declared.policy(f"{declared.prefix}-limit", f"^{declared.prefix}", **{"max-length": 7})
    wait_until(lambda: notes_of(declared.places, queue(name)), SECONDS, "word of the policy")
    assert "keeps 7 messages (max-length)" in notes_of(declared.places, queue(name))[0]


def test_a_queue_that_keeps_everything_or_refuses_what_does_not_fit_says_nothing(places: Places) -> None:
    exchange, stream = places.exchange("fanout"), places.queue("stream", x_max_length_bytes=at(1000), x_max_age=("S", b"1s"))
    refusing = places.queue("quorum", x_max_length=at(2), x_overflow=("S", b"reject-publish"))
    roomy = places.queue(x_max_length=at(ROOM + 1))
    for address in (queue(places.queue()), queue(refusing), queue(roomy), Address(stream, "stream"), Address(exchange, "exchange")):
        assert notes_of(places, address) == [], address


def test_a_queue_with_room_for_many_is_said_to_be_full_once_it_was_given_more(places: Places) -> None:
    name = places.queue(x_max_length=at(ROOM + 1))
    with places.open() as backend, backend.publisher(queue(name), PublishPolicy()) as publisher:
        assert give(publisher, ROOM + 1) == []
        said = [f"queue:{name} keeps {ROOM + 1:,} messages (max-length) and drops the oldest: what goes beyond is deleted"]
        assert give(publisher, 1) == give(publisher, 1) == said


def backend_counts(places: Places, name: str) -> int | None:
    facts: dict[str, Any] = places.api(f"queues/{places.virtual_host}/{name}")
    return facts.get("messages_ready")


def give(publisher: Publisher, many: int) -> list[str]:
    sent = 0
    while sent < many:
        sent += publisher.send_bodies([b"y"] * min(500, many - sent))
        publisher.collect(0.1)
    publisher.finish(SECONDS)
    return list(publisher.notes)


def test_nothing_is_said_and_nothing_fails_where_the_management_api_is_away_or_refuses_the_login(declared: Declared) -> None:
    places = declared.places
    name = places.queue(x_max_length=at(2))
    for connection in (places.without_management, declared.restricted()):
        with places.open(connection) as backend, backend.publisher(queue(name), PublishPolicy()) as publisher:
            assert publish(publisher, [Message(b"x")]).confirmed == 1
            assert list(publisher.notes) == []


def test_a_management_api_that_does_not_answer_is_not_waited_for_long(places: Places) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        connection = replace(places.connection, management=f"http://127.0.0.1:{mute.getsockname()[1]}")
        patient = Management(connection, None, 600)
        with closing(patient.hurried(0.2, 0.1)) as hurried:
            began = monotonic()
            for _ in range(2):
                with pytest.raises(Away):
                    hurried.queue_that_takes("orders")
            assert monotonic() - began < SECONDS
        assert patient.preferred


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_that_go_home_into_a_queue_without_room_for_them_are_confirmed_and_what_becomes_of_them_is_said_once(places: Places, kind: str) -> None:
    work, dlq = work_and_letters(places, kind)
    small = places.queue(kind, x_max_length=at(2))
    fail(places, work, numbered(6))
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy(batch=8)) as repair:
        assert redrive(repair, queue(small)).confirmed == 6
        assert list(repair.notes) == [f"queue:{small} keeps 2 messages (max-length) and drops the oldest: what goes beyond is deleted"]


def test_letters_that_expire_at_home_at_once_are_said_to(places: Places) -> None:
    dlq, home = places.queue(), places.queue(x_message_ttl=at(1))
    work = places.queue(x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    fail(places, work, numbered(3))
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair, queue(home)).confirmed == 3
        assert list(repair.notes) == [f"messages in queue:{home} expire after 1ms (message-ttl) and are deleted"]


def test_letters_that_have_room_at_home_go_without_a_word(places: Places) -> None:
    dlq = places.queue()
    work = places.queue(x_max_length=at(6), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    fail(places, work, numbered(6))
    wait_until(lambda: backend_counts(places, work) == 0, SECONDS, "the count of the management API")
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 6
        assert list(repair.notes) == []
    assert places.taken(work) == numbered(6)


def test_letters_for_a_queue_that_only_another_connection_may_read_are_said_to_go_with_it(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, numbered(3))
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as other:
        reply = other.channel().queue_declare("", exclusive=True).method.queue
        said = [f"queue:{reply} is the exclusive queue of another connection, and deleted with its messages when that ends"]
        with places.open() as backend:
            with backend.look_letters(queue(dlq)) as letters:
                assert backend.fates(letters, [(queue(reply), 3)]) == said
            with backend.repair(queue(dlq), RepairPolicy()) as repair:
                assert redrive(repair, queue(reply)).confirmed == 3
                assert list(repair.notes) == said


def test_what_becomes_of_letters_is_told_beforehand_of_each_queue_that_would_get_more_than_it_keeps(places: Places) -> None:
    small, at_once, roomy, exchange = places.queue(x_max_length=at(3)), places.queue(x_message_ttl=at(0)), places.queue(), places.exchange()
    full = f"queue:{small} keeps 3 messages (max-length) and drops the oldest: what goes beyond is deleted"
    dlq = queue(make(places, "classic"))
    with places.open() as backend, backend.look_letters(dlq) as letters:
        assert backend.fates(letters, [(queue(small), 3), (queue(roomy), 1000), (Address(exchange, "exchange", small), 4),
                                       (Address(exchange, "exchange"), 4)]) == []
        assert backend.fates(letters, [(queue(small), 4), (queue(at_once), 1)]) == [
            full, f"messages in queue:{at_once} expire after 0s (message-ttl) and are deleted"]
        assert backend.fates(letters, [(Address("", "exchange", small), 4)]) == [full]
    with places.open(places.without_management) as backend, backend.look_letters(dlq) as letters:
        assert backend.fates(letters, [(queue(small), 4)]) == []


def refusing_with_copies(places: Places, dlq: str, most: int) -> str:
    return str(places.queue(x_max_length=at(most), x_overflow=("S", b"reject-publish-dlx"), x_dead_letter_exchange=("S", b""),
                            x_dead_letter_routing_key=("S", dlq.encode())))


def home_and_letters(places: Places, most: int, letters: int) -> tuple[str, str]:
    """Return such a queue with two messages, and the queue of so many letters where its copies go."""
    dlq = places.queue()
    home = refusing_with_copies(places, dlq, most)
    places.put("", home, numbered(2))
    places.put("", dlq, numbered(letters))
    wait_until(lambda: backend_counts(places, home) == 2, SECONDS, "the count of the management API")
    return home, dlq


def test_a_home_that_dead_letters_what_it_refuses_gets_no_more_letters_once_it_has_refused_one(places: Places) -> None:
    home, dlq = home_and_letters(places, 2, 300)
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy(batch=8)) as repair:
        receipts = redrive(repair, queue(home))
        assert list(repair.notes)[:1] == [
            f"queue:{home} keeps 2 messages (max-length) and refuses what goes beyond, and a copy of that is dead-lettered to queue:{dlq}"]
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 300, 0)
    assert f"queue:{home} is full, and a copy of what it refuses is dead-lettered to queue:{dlq}: it gets no more" in {
        receipt.reason for receipt in receipts.problems}
    # those of the first step, and of one that was under way already
    assert len(places.taken(dlq)) <= 300 + 4
    assert places.taken(home) == numbered(2)


def test_a_home_that_dead_letters_what_it_refuses_and_may_be_full_is_given_one_letter_after_the_other(places: Places) -> None:
    home, dlq = home_and_letters(places, 5, 15)
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair:
        receipts = redrive(repair, queue(home))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (3, 12, 0)
    # one copy, of the letter that showed that it is full
    assert sorted(places.taken(dlq)) == sorted([*numbered(15)[3:], numbered(15)[3]])
    assert places.taken(home) == [*numbered(2), *numbered(15)[:3]]


def test_letters_out_of_a_file_are_given_to_no_home_that_dead_letters_what_it_has_refused(places: Places) -> None:
    dlq = places.queue()
    home = refusing_with_copies(places, dlq, 2)
    places.put("", home, numbered(2))
    wait_until(lambda: backend_counts(places, home) == 2, SECONDS, "the count of the management API")
    homes = Homes(places.open(), PublishPolicy(only_wanted=True), lambda indices: None)
    receipts = homes.put([Message(body) for body in numbered(300)], [queue(home)] * 300)
    homes.close()
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 300, 0)
    assert f"it is full, and a copy of what it refuses is dead-lettered to queue:{dlq}: it gets no more" in {
        receipt.reason for receipt in receipts.problems}
    assert len(places.taken(dlq)) <= 64
    assert places.taken(home) == numbered(2)


def test_whoever_publishes_to_a_queue_that_dead_letters_what_it_refuses_is_told(places: Places) -> None:
    dlq = places.queue()
    with_copies, without = refusing_with_copies(places, dlq, 2), places.queue(x_max_length=at(2), x_overflow=("S", b"reject-publish-dlx"))
    assert notes_of(places, queue(with_copies)) == [
        f"queue:{with_copies} keeps 2 messages (max-length) and refuses what goes beyond, and a copy of that is dead-lettered to queue:{dlq}"]
    assert notes_of(places, queue(without)) == []
