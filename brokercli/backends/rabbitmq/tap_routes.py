"""Which of an exchange's messages are routed to a queue at all, as bindings that take those and no others.

To RabbitMQ a tap is a queue like any other: what is routed to a tap only counts as routed, so that it neither reaches the alternate
exchange nor goes back to its publisher (verified on 4.0.5 and 4.3.6). So a tap is bound with nothing that is not bound to a queue
already: by copies of the bindings there are, and of those to another exchange by what both let through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.management import Management
from brokercli.backends.rabbitmq.told_arguments import as_meant
from brokercli.backends.rabbitmq.topology import matches, words_of

COPYING = ("direct", "fanout", "topic", "headers")
"""Types of exchange that give every bound queue its own copy."""
SHARING = ("x-consistent-hash", "x-random", "x-modulus-hash", "x-local-random")
"""Types that give each message to one of what is bound."""
REPEATING = "x-recent-history"
"""Gives every bound queue its own copy, and whatever is bound its last messages once more."""
_ALWAYS_TO_ONE = SHARING[:3]
"""Whatever the message is like, and whatever it is bound with (verified on 4.3.6); the other only to what is on the publisher's node."""
_KEYED = ("direct", "topic")
_WILD = {"*", "#"}
_MOST_HASHES = 4
"""In two patterns together; what more of them have in common is too many patterns."""
_MOST_HOPS = 10


class Way(NamedTuple):
    """How messages leave an exchange: a binding without its ends."""

    key: str
    arguments: dict[str, Any]


class Routes(NamedTuple):
    """What certainly leads from an exchange to a queue; one way that takes everything stands for all."""

    ways: list[Way]
    in_part: frozenset[str] = frozenset()
    """Exchanges that messages are handed on to, where these ways do not say of all of them that a queue gets them."""
    bound: bool = True
    """Whether anything is bound to it."""


class Ways:
    """Asks the management API, of each exchange once; everything raises Away."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._found: dict[str, Routes] = {}
        self._types: dict[str, str] = {}

    def to_queues(self, exchange: str, kind: str, hops: int = _MOST_HOPS) -> Routes:
        """Return by what an exchange of a type routes to queues."""
        if exchange in self._found:
            return self._found[exchange]
        # what leads round to itself leads nowhere that way
        self._found[exchange] = Routes([])
        bindings = self._management.bindings_from(exchange)
        in_part: set[str] = set()
        ways: dict[str, Way] = {}
        for binding in bindings:
            way = Way(str(binding.get("routing_key", "")), as_meant(binding.get("arguments") or {}))
            further = [way] if binding.get("destination_type") == "queue" else self._through(kind, way, str(binding["destination"]), hops, in_part)
            ways |= {f"{one.key} {sorted(one.arguments.items(), key=str)}": one for one in further}
        if kind == "fanout" and ways:
            ways = {"": Way("", {})}
        everything = [way for way in ways.values() if takes_everything(kind, way)]
        self._found[exchange] = Routes(everything[:1]) if everything else Routes(sorted(ways.values(), key=str), frozenset(in_part), bool(bindings))
        return self._found[exchange]

    def _through(self, kind: str, way: Way, target: str, hops: int, in_part: set[str]) -> list[Way]:
        """Return what of a way to another exchange that one routes to a queue."""
        further_kind = self.type_of(target) if hops else ""
        if self._routes_all(target, further_kind):
            return [way]
        further = self.to_queues(target, further_kind, hops - 1) if further_kind in COPYING else Routes([])
        if any(takes_everything(further_kind, one) for one in further.ways):
            return [way]
        in_part |= {target, *further.in_part}
        if kind in _KEYED and further_kind in _KEYED:
            return [Way(key, way.arguments) for one in further.ways for key in in_common(kind, way.key, further_kind, one.key)]
        return further.ways if kind == further_kind == "headers" and takes_everything(kind, way) else []

    def _routes_all(self, exchange: str, kind: str) -> bool:
        """Whether an exchange of a type that no tap is bound to gives each of its messages to a queue."""
        if kind not in (*_ALWAYS_TO_ONE, REPEATING):
            return False
        to_queues = [binding.get("destination_type") == "queue" for binding in self._management.bindings_from(exchange)]
        return any(to_queues) and (kind == REPEATING or all(to_queues))

    def type_of(self, exchange: str) -> str:
        """Return of what type an exchange is."""
        if exchange not in self._types:
            self._types[exchange] = str((self._management.exchange(exchange) or {}).get("type"))
        return self._types[exchange]


def takes_everything(kind: str, way: Way) -> bool:
    """Whether a binding to an exchange of a type takes all its messages. One of a headers exchange that asks for nothing does."""
    return kind == "fanout" or (kind == "headers" and not way.arguments) or (kind == "topic" and set(words_of(way.key)) == {"#"})


def in_common(kind: str, key: str, other_kind: str, other: str) -> list[str]:
    """Return keys for an exchange of the first type that take what both take; what cannot be said so is left out. Both types are direct or
    topic."""
    if kind == "direct":
        return [key] if matches(other_kind, other, key) else []
    if other_kind == "direct":
        # a word that is a star is one in a direct exchange, and any in a topic exchange
        return [other] if matches(kind, key, other) and not _WILD & set(words_of(other)) else []
    one, two = words_of(key), words_of(other)
    if one == two:
        return [key]
    return sorted(".".join(words) for words in _meet(one, two)) if (one + two).count("#") <= _MOST_HASHES else []


def _meet(one: tuple[str, ...], two: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return patterns that together match what both match."""
    if not one or not two:
        return {()} if set(one or two) <= {"#"} else set()
    if two[0] == "#":
        one, two = two, one
    if one[0] != "#":
        if one[0] == two[0] or "*" in (one[0], two[0]):
            return _after(two[0] if one[0] == "*" else one[0], _meet(one[1:], two[1:]))
        return set()
    if two[0] == "#":
        # the one that ends first has taken any words, and so has the other up to there
        return _after("#", _meet(one[1:], two) | _meet(one, two[1:]))
    return _meet(one[1:], two) | _after(two[0], _meet(one, two[1:]))


def _after(word: str, rest: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {(word, *words) for words in rest}
