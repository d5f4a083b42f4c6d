"""Listening to an exchange changes no routing: what reached no queue before reaches none because of a tap, and goes where it went."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.backends.contract import Reader
from brokercli.backends.rabbitmq import tap as tap_module
from brokercli.backends.rabbitmq.management import Facts, Management
from brokercli.backends.rabbitmq.tap_routes import Ways, in_common
from brokercli.backends.rabbitmq.topology import matches
from brokercli.model.address import Address
from brokercli.model.errors import Failed, Unsupported
from brokercli.model.position import End, Span
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.rabbitmq_redrive import count
from tests.native.amqp import Refused

needs_rabbitmq = pytest.mark.rabbitmq
KINDS = ("topic", "direct", "fanout", "headers")
ASKS_FOR_K: list[Any] = [("x-match", ("S", b"all")), ("k", ("S", b"1"))]
WITH_K = (("headers", [("k", ("S", b"1"))]), ("delivery_mode", 2))
_PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=4).map(".".join)
_KEYS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=5).map(".".join)


def tap(places: Places, exchange: str, route: str | None = None) -> Reader:
    return places.open().look(Address(exchange, "exchange", route), Span(End(), None))


def quiet(reader: Reader) -> bool:
    """Whether nothing more comes for a while."""
    return reader.read(0.3) is None


def unrouted(places: Places, kind: str) -> tuple[str, str]:
    """Make an exchange with an alternate exchange, and the queue that takes what nothing is bound for."""
    other, queue = places.exchange("fanout"), places.queue()
    places.bind(queue, other, "")
    return places.exchange(kind, alternate=other), queue


def comes_back(places: Places, exchange: str, key: str) -> bool:
    """Whether a mandatory message goes back to its publisher."""
    try:
        places.put(exchange, key, [b"lost"])
    except Refused:
        places.broker.reconnect()
        places.wire = places.broker.wire
        return True
    return False


@needs_rabbitmq
@pytest.mark.parametrize("kind", ["topic", "direct", "headers"])
def test_what_nothing_is_bound_for_reaches_the_alternate_exchange_while_it_is_listened_to(versions: Places, kind: str) -> None:
    exchange, lost = unrouted(versions, kind)
    queue = versions.queue()
    versions.bind(queue, exchange, "known", ASKS_FOR_K if kind == "headers" else ())
    with tap(versions, exchange) as reader:
        assert "bound to it now" in reader.notes[0]
        versions.put(exchange, "unknown", [b"lost"])
        versions.put(exchange, "known", [b"kept"], WITH_K)
        assert bodies_of(reader, 1) == [b"kept"]
        assert quiet(reader)
    assert versions.taken(lost) == [b"lost"]
    assert versions.taken(queue) == [b"kept"]


@needs_rabbitmq
@pytest.mark.parametrize("kind", ["topic", "direct", "headers"])
def test_what_nothing_is_bound_for_goes_back_to_its_publisher_while_it_is_listened_to(places: Places, kind: str) -> None:
    exchange = places.exchange(kind)
    places.bind(places.queue(), exchange, "known", ASKS_FOR_K if kind == "headers" else ())
    with tap(places, exchange) as reader:
        assert comes_back(places, exchange, "unknown")
        assert quiet(reader)


@needs_rabbitmq
@pytest.mark.parametrize("kind", KINDS)
def test_an_exchange_that_nothing_is_bound_to_is_not_tapped(places: Places, kind: str) -> None:
    exchange = places.exchange(kind)
    for route in (None, *(["key"] if kind != "headers" else [])):
        with pytest.raises(Failed, match=f"Nothing is bound to the exchange {exchange}.*publisher") as caught:
            tap(places, exchange, route)
        assert f"brokercli declare binding {exchange}" in str(caught.value.hint)


@needs_rabbitmq
@pytest.mark.parametrize("management", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exchange_that_would_go_with_a_tap_is_not_tapped_and_stays(places: Places, kind: str, management: bool) -> None:
    exchange = places.exchange(kind, auto_delete=True)
    backend = places.open(None if management else places.without_management)
    for route in (None, *(["key"] if kind != "headers" else [])):
        with pytest.raises((Failed, Unsupported), match=exchange):
            backend.look(Address(exchange, "exchange", route), Span(End(), None))
    assert places.api(f"exchanges/%2F/{exchange}")["name"] == exchange


@needs_rabbitmq
@pytest.mark.parametrize("kind", KINDS)
def test_an_exchange_that_goes_with_its_last_binding_stays_when_a_tap_goes(places: Places, kind: str) -> None:
    exchange = places.exchange(kind, auto_delete=True)
    places.bind(places.queue(), exchange, "key")
    with tap(places, exchange) as reader:
        places.put(exchange, "key", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
    assert len(places.api(f"exchanges/%2F/{exchange}/bindings/source")) == 1


@needs_rabbitmq
@pytest.mark.parametrize("kind", ["topic", "direct"])
def test_a_key_that_nothing_is_bound_for_is_not_tapped(places: Places, kind: str) -> None:
    exchange, lost = unrouted(places, kind)
    places.bind(places.queue(), exchange, "orders.created")
    with pytest.raises(Failed, match=r"Nothing that is bound to .* takes payments\.made") as caught:
        tap(places, exchange, "payments.made")
    assert "bound now: orders.created" in str(caught.value.hint)
    with tap(places, exchange, "orders.created") as reader:
        assert list(reader.notes) == []
        places.put(exchange, "payments.made", [b"lost"])
        places.put(exchange, "orders.created", [b"kept"])
        assert bodies_of(reader, 1) == [b"kept"]
    assert places.taken(lost) == [b"lost"]


@needs_rabbitmq
def test_of_a_pattern_in_the_address_only_what_is_bound_is_shown(places: Places) -> None:
    exchange, lost = unrouted(places, "topic")
    places.bind(places.queue(), exchange, "*.created")
    with tap(places, exchange, "orders.*") as reader:
        assert "orders.created" in reader.notes[0]
        for key in ("orders.created", "orders.sent", "payments.created"):
            places.put(exchange, key, [key.encode()])
        assert bodies_of(reader, 1) == [b"orders.created"]
        assert quiet(reader)
    assert places.taken(lost) == [b"orders.sent"]


@needs_rabbitmq
def test_a_key_narrows_nothing_of_an_exchange_that_does_not_look_at_it(places: Places) -> None:
    exchange = places.exchange("fanout")
    places.bind(places.queue(), exchange, "any")
    with tap(places, exchange, "key") as reader:
        assert list(reader.notes) == []
        for key in ("key", "other"):
            places.put(exchange, key, [key.encode()])
        assert bodies_of(reader, 2) == [b"key", b"other"]


@needs_rabbitmq
@pytest.mark.parametrize(("behind", "kind"), [("fanout", "direct"), ("topic", "direct"), ("headers", "topic"), ("fanout", "headers"), ("fanout", "fanout")])
def test_what_goes_on_to_an_exchange_that_has_a_queue_for_all_of_it_is_shown(places: Places, behind: str, kind: str) -> None:
    exchange, further, queue = places.exchange(kind), places.exchange(behind), places.queue()
    places.wire.bind_exchange(further, exchange, "key")
    places.bind(queue, further, "#")
    with tap(places, exchange) as reader:
        places.put(exchange, "key", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
    assert places.taken(queue) == [b"1"]


@needs_rabbitmq
@pytest.mark.parametrize("behind", ["topic", "direct"])
def test_what_goes_on_to_another_exchange_and_is_routed_nowhere_from_there_still_goes_back_to_its_publisher(places: Places, behind: str) -> None:
    exchange, further = places.exchange(), places.exchange(behind)
    places.wire.bind_exchange(further, exchange, "orders.#")
    places.bind(places.queue(), further, "orders.created")
    with tap(places, exchange) as reader:
        assert any(further in note for note in reader.notes)
        assert comes_back(places, exchange, "orders.sent")
        places.put(exchange, "orders.created", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        assert quiet(reader)


@needs_rabbitmq
def test_what_is_handed_on_in_part_is_no_matter_where_a_queue_gets_all_of_it_before(places: Places) -> None:
    exchange, further, last = places.exchange(), places.exchange(), places.exchange()
    places.wire.bind_exchange(further, exchange, "orders.#")
    places.wire.bind_exchange(last, further, "orders.created")
    places.bind(places.queue(), exchange, "#")
    with tap(places, exchange) as reader:
        assert list(reader.notes) == []


@needs_rabbitmq
def test_what_is_handed_on_twice_and_then_in_part_is_said_to_be(places: Places) -> None:
    exchange, further, last = places.exchange("fanout"), places.exchange("fanout"), places.exchange("direct")
    places.wire.bind_exchange(further, exchange, "")
    places.wire.bind_exchange(last, further, "")
    places.bind(places.queue(), last, "key")
    with pytest.raises(Failed, match=", ".join(sorted([further, last]))):
        tap(places, exchange)


@needs_rabbitmq
def test_many_bindings_to_another_exchange_are_one_question_about_it(places: Places) -> None:
    exchange, further = places.exchange("direct"), places.exchange("direct")
    for number in range(20):
        places.wire.bind_exchange(further, exchange, f"key {number}")
    places.bind(places.queue(), further, "key 7")
    asked: list[str] = []

    class Asked(Management):
        def exchange(self, name: str) -> Facts | None:
            asked.append(name)
            return super().exchange(name)

    with closing(Asked(places.connection, None, 20)) as management:
        assert Ways(management).to_queues(exchange, "direct").ways == [("key 7", {})]
    assert asked == [further]


@needs_rabbitmq
def test_more_bindings_than_a_tap_can_copy_are_refused_before_it_is_made(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_module, "_MOST_BINDINGS", 3)
    exchange, queue = places.exchange("direct"), places.queue()
    for number in range(4):
        places.bind(queue, exchange, f"key {number}")
    with pytest.raises(Failed, match="4 different bindings") as caught:
        tap(places, exchange)
    assert caught.value.hint == f"say which messages: exchange:{exchange}/KEY"
    assert len(places.api(f"exchanges/%2F/{exchange}/bindings/source")) == 4
    with tap(places, exchange, "key 2") as reader:
        places.put(exchange, "key 2", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]


@needs_rabbitmq
@pytest.mark.parametrize("kind", ["fanout", "headers"])
def test_what_may_be_routed_nowhere_from_another_exchange_is_not_shown_where_no_binding_can_tell_it_apart(places: Places, kind: str) -> None:
    exchange, further = places.exchange(kind), places.exchange("direct")
    places.wire.bind_exchange(further, exchange, "")
    places.bind(places.queue(), further, "key")
    with pytest.raises(Failed, match="may reach no queue") as caught:
        tap(places, exchange)
    assert caught.value.hint == f"tap what it is handed on to: exchange:{further}"


@needs_rabbitmq
def test_exchanges_that_are_bound_in_a_circle_are_followed_once(places: Places) -> None:
    one, two, queue = places.exchange(), places.exchange(), places.queue()
    places.wire.bind_exchange(two, one, "a.*")
    places.wire.bind_exchange(one, two, "#")
    places.wire.bind_exchange(one, one, "loop")
    places.bind(queue, two, "*.b")
    with tap(places, one) as reader:
        places.put(one, "a.b", [b"1"])
        assert comes_back(places, one, "a.c")
        assert bodies_of(reader, 1) == [b"1"]
    assert count(places, queue) == 1


@needs_rabbitmq
def test_what_rabbitmq_itself_publishes_is_listened_to_though_nothing_is_bound(places: Places) -> None:
    with tap(places, "amq.rabbitmq.trace") as reader:
        assert quiet(reader)


@needs_rabbitmq
@pytest.mark.parametrize("pattern", ["*", "#", "*.*", "#.*", "a.#"])
def test_patterns_match_as_rabbitmq_matches_them(places: Places, pattern: str) -> None:
    exchange, queue = places.exchange(), places.queue()
    places.bind(queue, exchange, pattern)
    for key in ("", ".", "a", "a.", ".a", "a.b", "a.b.c"):
        assert comes_back(places, exchange, key) is not matches("topic", pattern, key), f"{pattern} and {key!r}"


@given(_PATTERNS, _PATTERNS, _KEYS)
def test_what_two_patterns_have_in_common_is_what_both_match(one: str, two: str, key: str) -> None:
    found = in_common("topic", one, "topic", two)
    together = any(matches("topic", pattern, key) for pattern in found)
    both = matches("topic", one, key) and matches("topic", two, key)
    assert together <= both
    assert together == both or (f"{one}.{two}").count("#") > 4


@given(_PATTERNS, _PATTERNS, _KEYS)
def test_what_a_key_and_a_pattern_have_in_common_is_no_more_than_both_take(one: str, two: str, key: str) -> None:
    for kind, other in (("topic", "direct"), ("direct", "topic"), ("direct", "direct")):
        if any(matches(kind, pattern, key) for pattern in in_common(kind, one, other, two)):
            assert matches(kind, one, key)
            assert matches(other, two, key)


class Bound:
    """Exchanges that are bound to each other and to queues, as the management API tells it, and how RabbitMQ routes through them."""

    def __init__(self, types: Sequence[str], bindings: Sequence[tuple[int, int, str]]) -> None:
        """A binding is from an exchange, by its number, to another, or to a queue where there is none of that number."""
        self._types = types
        self._bindings = [{"source": str(source), "destination": str(to), "destination_type": "exchange" if to < len(types) else "queue", "routing_key": key}
                          for source, to, key in bindings if source < len(types)]

    def exchange(self, name: str) -> Facts:
        return {"type": self._types[int(name)]}

    def bindings_from(self, name: str) -> list[Facts]:
        return [binding for binding in self._bindings if binding["source"] == name]

    def reaches_a_queue(self, key: str, name: str = "0", passed: frozenset[str] = frozenset()) -> bool:
        """Whether what is published to the first exchange certainly does."""
        kind = self._types[int(name)]
        taken = [binding for binding in self.bindings_from(name) if matches(kind, binding["routing_key"], key)]
        reaching = [binding["destination_type"] == "queue" or (binding["destination"] not in passed | {name}
                    and self.reaches_a_queue(key, binding["destination"], passed | {name})) for binding in taken]
        return all(reaching) and bool(taken) if kind == "x-random" else any(reaching)


@pytest.mark.parametrize(("behind", "bound_to", "shown"), [
    ("x-consistent-hash", [5], True), ("x-random", [5, 6], True), ("x-modulus-hash", [5], True), ("x-recent-history", [5, 2], True),
    ("x-random", [5, 2], False), ("x-random", [], False), ("x-local-random", [5], False), ("x-unheard-of", [5], False)])
def test_what_goes_on_to_an_exchange_of_another_type_is_shown_where_a_queue_gets_each_of_its_messages(behind: str, bound_to: list[int], shown: bool) -> None:
    bound = Bound(["topic", behind, "topic"], [(0, 1, "orders.#"), *[(1, to, "1") for to in bound_to]])
    routes = Ways(cast("Management", bound)).to_queues("0", "topic")
    assert routes == (([("orders.#", {})], frozenset(), True) if shown else ([], frozenset({"1"}), True))


@settings(max_examples=500)
@given(st.tuples(st.sampled_from(["direct", "topic", "fanout"])),
       st.lists(st.sampled_from(["direct", "topic", "fanout", "x-random", "x-recent-history", "x-unheard-of"]), max_size=3),
       st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), _PATTERNS), max_size=7), _KEYS)
def test_a_tap_takes_nothing_that_reaches_no_queue_and_all_that_does_unless_it_says_so(
        first: tuple[str], others: list[str], bindings: list[tuple[int, int, str]], key: str) -> None:
    types = [*first, *others]
    bound = Bound(types, bindings)
    routes = Ways(cast("Management", bound)).to_queues("0", types[0])
    taken = any(matches(types[0], way.key, key) for way in routes.ways)
    assert taken <= bound.reaches_a_queue(key)
    assert taken == bound.reaches_a_queue(key) or routes.in_part
