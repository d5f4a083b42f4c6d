"""Listening to exchanges and to what reaches a queue: a copy for us, nothing else changed, nothing left behind, losses said."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import pytest

from brokercli.backends.contract import Reader
from brokercli.backends.rabbitmq import tap_reader
from brokercli.model.address import Address
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import Failed, NotAuthorised, Unsupported, UsageProblem
from brokercli.model.position import End, Last, Number, Position, Span, Start
from tests.backends.rabbitmq_places import SECONDS, Places, bodies_of, records_of
from tests.brokers.rabbitmq import RabbitMQ

NEW = Span(End(), None)


def kept(places: Places, kind: str = "topic", key: str = "#") -> str:
    """Make an exchange with a queue behind it: what reaches no queue is not shown."""
    exchange = places.exchange(kind)
    places.bind(places.queue(), exchange, key)
    return exchange


def tap(places: Places, name: str, kind: str, route: str | None = None, connection: Connection | None = None) -> Reader:
    return places.open(connection).look(Address(name, kind, route), NEW)


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = monotonic() + SECONDS
    while not (found := condition()) and monotonic() < deadline:
        sleep(0.02)
    return found


def bound(places: Places, exchange: str) -> set[str]:
    """The queues that are bound to an exchange."""
    return {binding["destination"] for binding in places.api(f"exchanges/%2F/{exchange}/bindings/source")}


def quiet(reader: Reader) -> bool:
    """Whether nothing more comes for a while."""
    return reader.read(0.3) is None


def up_to(reader: Reader, last: bytes) -> list[bytes]:
    """Read bodies until one comes."""
    found: list[bytes] = []
    deadline = monotonic() + SECONDS
    while found[-1:] != [last]:
        if batch := reader.read(0.2):
            found += batch.bodies()
        assert monotonic() < deadline, f"the last of {len(found)} that came is not the last that was sent"
    return found


@pytest.fixture
def little_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tap at which few messages may wait, and that is given few at a time."""
    monkeypatch.setattr(tap_reader, "MOST_WAITING", 20)
    monkeypatch.setattr(tap_reader, "PREFETCH", 5)
    monkeypatch.setattr(tap_reader, "_HELD_BYTES", 10)


@pytest.mark.parametrize(("kind", "keys"), [("topic", ["a.b", ""]), ("fanout", ["x", "y"]), ("headers", ["", "z"])])
def test_an_exchange_shows_everything_that_is_published_to_it(places: Places, kind: str, keys: list[str]) -> None:
    exchange = kept(places, kind)
    with tap(places, exchange, "exchange") as reader:
        assert list(reader.notes) == []
        for number, key in enumerate(keys):
            places.put_anywhere(exchange, key, b"%d" % number)
        records = records_of(reader, len(keys))
        assert [(record.place["exchange"], record.place["routing_key"], record.message.body) for record in records] == [
            (exchange, key, b"%d" % number) for number, key in enumerate(keys)]
        assert records[0].position == ""


def test_a_routing_key_in_the_address_narrows_the_tap(places: Places) -> None:
    exchange = kept(places)
    with tap(places, exchange, "exchange", "orders.*") as reader:
        for key in ("orders.created", "orders.a.b", "payments.created", "orders.sent"):
            places.put_anywhere(exchange, key, key.encode())
        assert bodies_of(reader, 2) == [b"orders.created", b"orders.sent"]
        assert quiet(reader)


def test_a_direct_exchange_shows_the_keys_that_are_bound(places: Places) -> None:
    exchange, queue = places.exchange("direct"), places.queue()
    places.bind(queue, exchange, "one")
    places.bind(queue, exchange, "two")
    with tap(places, exchange, "exchange") as reader:
        assert "one, two" in reader.notes[0]
        places.put(exchange, "one", [b"1"])
        places.put_anywhere(exchange, "three", b"3")
        places.put(exchange, "two", [b"2"])
        assert bodies_of(reader, 2) == [b"1", b"2"]
    assert places.taken(queue) == [b"1", b"2"]


def test_a_queue_shows_what_reaches_it_through_its_bindings_and_keeps_all_of_it(places: Places) -> None:
    queue, topic, headers = places.queue("quorum"), places.exchange("topic"), places.exchange("headers")
    places.bind(queue, topic, "orders.#")
    places.bind(queue, headers, "", [("x-match", ("S", b"all")), ("kind", ("S", b"order"))])
    with tap(places, queue, "queue") as reader:
        places.put(topic, "orders.created", [b"1"])
        places.put_anywhere(topic, "payments.created", b"not for it")
        places.put(headers, "", [b"2"], (("headers", [("kind", ("S", b"order"))]), ("delivery_mode", 2)))
        places.put("", queue, [b"3"])
        records = records_of(reader, 2)
        assert [record.message.body for record in records] == [b"1", b"2"]
        assert {record.place["queue"] for record in records} == {queue}
        assert quiet(reader)
        assert "by its name (the default exchange) cannot be seen" in reader.notes[0]
    found = [places.wire.get(queue) for _ in range(3)]
    assert [(message[0], message[2]) for message in found if message] == [(b"1", False), (b"2", False), (b"3", False)]


def test_what_was_published_before_is_not_shown(places: Places) -> None:
    exchange, queue = places.exchange("fanout"), places.queue()
    places.bind(queue, exchange, "")
    places.put(exchange, "", [b"before"])
    with tap(places, queue, "queue") as reader:
        places.put(exchange, "", [b"after"])
        assert bodies_of(reader, 1) == [b"after"]


def test_a_tap_leaves_no_queue_and_no_binding(places: Places) -> None:
    exchange, queue = places.exchange("topic"), places.queue()
    places.bind(queue, exchange, "#")
    before = places.api(f"exchanges/%2F/{exchange}/bindings/source")
    with tap(places, exchange, "exchange") as reader:
        during = places.api(f"exchanges/%2F/{exchange}/bindings/source")
        assert len(during) == len(before) + 1
        made = next(binding["destination"] for binding in during if binding not in before)
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
    assert places.api(f"exchanges/%2F/{exchange}/bindings/source") == before
    with pytest.raises(HTTPError, match="Not Found"):
        places.api(f"queues/%2F/{made}")
    reader.close()


@pytest.mark.parametrize("span", [Span(Start(), None), Span(Start(), End()), Span(Number(5), None), Span(Last(3), End()), Span(End(), End())], ids=str)
@pytest.mark.parametrize("kind", ["classic", "quorum", "exchange"])
def test_what_is_stored_is_not_looked_at_where_that_would_change_it(places: Places, kind: str, span: Span) -> None:
    address = Address(places.exchange(), "exchange") if kind == "exchange" else Address(places.queue(kind), "queue")
    with pytest.raises(Unsupported, match="keeps nothing" if kind == "exchange" else "takes its messages out"):
        places.open().look(address, span)


def test_a_queue_that_only_the_default_exchange_leads_to_cannot_be_tapped(places: Places) -> None:
    queue = places.queue()
    with pytest.raises(Unsupported, match="default exchange only") as caught:
        tap(places, queue, "queue")
    assert "stream" in str(caught.value.hint)


def test_the_default_exchange_cannot_be_tapped(places: Places) -> None:
    with pytest.raises(Unsupported, match="default exchange cannot be tapped"):
        tap(places, "", "exchange", places.queue())


def test_an_exchange_that_shares_its_messages_out_is_not_tapped(places: Places) -> None:
    exchange, queue = places.exchange("x-local-random"), places.queue()
    places.bind(queue, exchange, "")
    with pytest.raises(Unsupported, match="x-local-random, which gives each message to one of the queues"):
        tap(places, exchange, "exchange")
    with pytest.raises(Unsupported, match="cannot be tapped"):
        tap(places, queue, "queue")
    front = places.exchange()
    places.wire.bind_exchange(exchange, front, "#")
    with pytest.raises(Failed, match="may reach no queue from there") as caught:
        tap(places, front, "exchange")
    # what cannot be tapped either is no way out
    assert exchange not in str(caught.value.hint)
    assert len(places.api(f"exchanges/%2F/{exchange}/bindings/source")) == 1


def test_a_headers_exchange_takes_no_routing_key(places: Places) -> None:
    with pytest.raises(UsageProblem, match="routes by headers"):
        tap(places, places.exchange("headers"), "exchange", "key")


def test_without_the_management_api_what_it_takes_to_tap_a_queue_is_said(places: Places) -> None:
    exchange, queue = places.exchange("direct"), places.queue()
    places.bind(queue, exchange, "key")
    with pytest.raises(Unsupported, match="only the management API says"):
        tap(places, queue, "queue", connection=places.without_management)


@pytest.mark.parametrize("route", [None, "key"])
@pytest.mark.parametrize("kind", ["topic", "direct", "fanout"])
def test_without_the_management_api_an_exchange_is_not_tapped(places: Places, kind: str, route: str | None) -> None:
    exchange = kept(places, kind, "key")
    with pytest.raises(Unsupported, match=r"only the management API says.*alternate exchange"):
        tap(places, exchange, "exchange", route, connection=places.without_management)
    assert len(bound(places, exchange)) == 1


@pytest.fixture
def login(places: Places) -> Iterator[Callable[..., Connection]]:
    users: list[str] = []

    def make(**permissions: str) -> Connection:
        users.append(f"user-{uuid.uuid4().hex[:12]}")
        places.api(f"users/{users[-1]}", "PUT", password="secret", tags="management")
        places.api(f"permissions/%2F/{users[-1]}", "PUT", **permissions)
        return replace(places.connection, user=users[-1], password=Secret("secret"))

    yield make
    for user in users:
        places.api(f"users/{user}", "DELETE")


def test_without_the_permission_to_dead_letter_a_tap_works_and_says_that_drops_would_not_show(places: Places, login: Callable[..., Connection]) -> None:
    exchange = kept(places)
    connection = login(configure="^amq\\.gen.*", write="^amq\\.gen.*", read=f"^(amq\\.gen.*|{exchange})$")
    with tap(places, exchange, "exchange", "#", connection=connection) as reader:
        assert "cannot be told when messages are dropped" in reader.notes[0]
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]


def test_without_the_permission_to_bind_it_is_a_question_of_permission(places: Places, login: Callable[..., Connection]) -> None:
    connection = login(configure=".*", write=".*", read="^amq\\.gen.*")
    with pytest.raises(NotAuthorised, match="No permission for tapping"):
        tap(places, kept(places), "exchange", connection=connection)


@pytest.mark.usefixtures("little_waits")
def test_what_a_slow_reader_misses_is_said(places: Places) -> None:
    exchange = kept(places)
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "a", [b"%05d" % number for number in range(200)])
        assert eventually(lambda: reader.notes), "the drop was not noticed"
        assert "the oldest were dropped" in reader.notes[0]
        found = up_to(reader, b"00199")
        assert found == sorted(found)
        assert 20 <= len(found) < 200
        places.put(exchange, "a", [b"later"])
        assert bodies_of(reader, 1) == [b"later"]


@pytest.mark.usefixtures("little_waits")
def test_what_was_missed_just_before_the_end_is_said_as_well(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "_CHECK_SECONDS", 3600.0)
    exchange = kept(places)
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "a", [b"%05d" % number for number in range(200)])
        found = up_to(reader, b"00199")
        assert len(found) < 200
        assert reader.notes == []
    assert "the oldest were dropped" in reader.notes[0]


def test_messages_that_expired_while_they_waited_are_not_said_to_have_been_too_many(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "PREFETCH", 5)
    monkeypatch.setattr(tap_reader, "_HELD_BYTES", 10)
    exchange = kept(places)
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "a", [b"%05d" % number for number in range(200)], [("expiration", b"1")])
        assert eventually(lambda: reader.notes), "what expired was not noticed"
        assert "or expired" in reader.notes[0]


def test_a_reader_that_stalls_gets_everything_that_fits(places: Places) -> None:
    exchange = kept(places, "fanout")
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "", [b"%05d" % number for number in range(3000)])
        assert bodies_of(reader, 3000) == [b"%05d" % number for number in range(3000)]
        assert list(reader.notes) == []


@pytest.mark.parametrize("start", [End()], ids=str)
def test_nothing_came_is_not_the_end(places: Places, start: Position) -> None:
    with tap(places, kept(places), "exchange") as reader:
        assert reader.read(0) is None
        assert not reader.finished


def test_a_lost_connection_is_said_and_the_tap_made_again(private_rabbitmq: RabbitMQ) -> None:
    places = Places(private_rabbitmq.address, private_rabbitmq.management)
    exchange = kept(places)

    def connections() -> set[str]:
        return {one["name"] for one in places.api("connections") if (one.get("client_properties") or {}).get("product") == "brokercli"}

    # those of earlier tests are listed for a while
    earlier = connections()
    before = bound(places, exchange)
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        (tapped,) = bound(places, exchange) - before
        ours = eventually(lambda: connections() - earlier)
        assert ours, "the broker does not list the connection"
        for name in ours:
            places.api(f"connections/{quote(name, safe='')}", "DELETE")
        assert eventually(lambda: [note for note in reader.notes if "is missed" in note])
        # the tap from before goes a moment later than its connection
        assert eventually(lambda: bound(places, exchange) - {tapped} - before)
        places.put(exchange, "a", [b"2"])
        assert bodies_of(reader, 1) == [b"2"]
    places.close()
