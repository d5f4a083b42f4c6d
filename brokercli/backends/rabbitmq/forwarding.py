"""What goes around the bodies of letters that go on as they are but for their headers.

It is worked out once for letters that are alike, and once for those that only have other values in headers and properties of the same
names and types: where no value matters, and the octets put together are those that were worked out, they are right for the others too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from brokercli.backends.dead_letters import Goal
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.convert import CannotCarry
from brokercli.backends.rabbitmq.encoded_headers import EncodedName, join_table
from brokercli.backends.rabbitmq.exact_properties import HEADERS, around_headers
from brokercli.model.message import Header

Envelope = tuple[str, bytes, bytes, str, tuple[str, ...]]
"""What goes around a body: exchange, routing key, encoded properties, the risk there is in them, and the names of what does not go along."""
_Layout = tuple[int, bytes, tuple[str, ...], bytes]
"""A goal, which properties there are, the headers' names, and the types of those that were the letter's own."""

_PLAIN = frozenset(b"SxlITVtbBsui")
"""Types of which every value goes everywhere: neither a float, which may be no number, nor what may hold one or a stream does not keep."""
_LOOKED_INTO = frozenset({"CC", "BCC", "x-stream-filter-value"})
_DELIVERY_MODE, _REPLY_TO, _EXPIRATION, _USER_ID = 0x1000, 0x0200, 0x0100, 0x0010


class Forwarding:
    """The letters of one batch. `work_out` makes what goes around one of them; goals and headers live as long as this."""

    def __init__(self, work_out: Callable[[Delivery, Goal, tuple[Header, ...]], Envelope], largest: int) -> None:
        """`largest`: so many octets of properties fit into a frame."""
        self._work_out = work_out
        self._largest = largest
        self._known: dict[tuple[bytes, int, int], Envelope | CannotCarry] = {}
        self._layouts: dict[_Layout, tuple[str, bytes] | Literal[False]] = {}
        self._added: dict[tuple[Header, ...], tuple[tuple[str, ...], bytes] | None] = {}

    def envelope(self, delivery: Delivery, goal: Goal, headers: tuple[Header, ...]) -> Envelope | CannotCarry:
        """Return what goes around its body, or why it cannot go."""
        known = self._known.get(about := (delivery.properties, id(goal), id(headers)))
        if known is not None:
            return known
        own = cast("list[tuple[EncodedName, bytes]]", [header for header in headers if type(header[0]) is EncodedName])
        added = self._names_and_octets(headers[len(own):])
        # a letter's own ones are in front of those that were put on it
        if added is None or (own and own[-1] is not headers[len(own) - 1]):
            return self._remembered(about, delivery, goal, headers)
        octets = _octets(delivery.properties, b"".join([name.octets + value for name, value in own]) + added[1])
        layout = (id(goal), delivery.properties[:2], (*[name for name, _ in own], *added[0]), bytes([value[0] for _, value in own]))
        way = self._layouts.get(layout)
        if way and len(octets) <= self._largest:
            return (*way, octets, "", ())
        found = self._remembered(about, delivery, goal, headers)
        if way is None:
            self._layouts[layout] = False
            if not isinstance(found, CannotCarry) and found[2:] == (octets, "", ()) and _is_plain(layout):
                self._layouts[layout] = found[:2]
        return found

    def _names_and_octets(self, added: tuple[Header, ...]) -> tuple[tuple[str, ...], bytes] | None:
        """Return the names of headers that are put behind those of a letter, and all of them as they are encoded. None where one of them has
        a value that is no octets."""
        if added not in self._added:
            plain = all(isinstance(value, bytes) for _, value in added)
            self._added[added] = (tuple([name for name, _ in added]), join_table(added)[4:]) if plain else None
        return self._added[added]

    def _remembered(self, about: tuple[bytes, int, int], delivery: Delivery, goal: Goal, headers: tuple[Header, ...]) -> Envelope | CannotCarry:
        try:
            found: Envelope | CannotCarry = self._work_out(delivery, goal, headers)
        except CannotCarry as problem:
            found = problem
        self._known[about] = found
        return found


def _octets(properties: bytes, table: bytes) -> bytes:
    """Return encoded properties with other headers in them."""
    flags, before, after = around_headers(properties)
    if not table:
        return (flags & ~HEADERS).to_bytes(2, "big") + before + after
    return b"%b%b%b%b%b" % ((flags | HEADERS).to_bytes(2, "big"), before, len(table).to_bytes(4, "big"), table, after)


def _is_plain(layout: _Layout) -> bool:
    _, properties, names, types = layout
    flags = int.from_bytes(properties, "big")
    return (flags & _DELIVERY_MODE != 0 and not flags & (_REPLY_TO | _EXPIRATION | _USER_ID) and _PLAIN.issuperset(types)
            and _LOOKED_INTO.isdisjoint(names) and len(set(names)) == len(names))
