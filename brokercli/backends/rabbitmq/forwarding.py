"""What goes around the bodies of letters that go on as they are but for their headers.

It is worked out once for letters that are alike, and once for those that only have other values in headers and properties of the same
names and types: where no value matters, and the octets put together are those that were worked out, they are right for the others too.
Of letters in which those values stand in the same places, what goes along is taken out of those places.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Literal, Self, cast

from brokercli.backends.dead_letters import Goal
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.convert import CannotCarry
from brokercli.backends.rabbitmq.encoded_headers import EncodedName, join_table
from brokercli.backends.rabbitmq.exact_properties import HEADERS, around_headers
from brokercli.backends.rabbitmq.layouts import Layout, taking
from brokercli.model.message import Header

Envelope = tuple[str, bytes, bytes, str, tuple[str, ...]]
"""What goes around a body: exchange, routing key, encoded properties, the risk there is in them, and the names of what does not go along."""
_Alike = tuple[int, bytes, tuple[str, ...], bytes]
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
        self._ways: dict[_Alike, tuple[str, bytes] | Literal[False]] = {}
        self._courses: dict[tuple[int, int], _Course | None] = {}
        self._added: dict[tuple[Header, ...], tuple[tuple[str, ...], bytes] | None] = {}

    def envelope(self, delivery: Delivery, layout: Layout | None, goal: Goal, headers: tuple[Header, ...]) -> Envelope | CannotCarry:
        """Return what goes around its body, or why it cannot go. `layout` is that of its properties."""
        known = self._known.get(about := (delivery.properties, id(goal), id(headers)))
        if known is not None:
            return known
        course = self._courses.get((id(layout), id(goal)))
        if course is not None and course.is_of(headers):
            return (*course.way, course.template % course.take(delivery.properties), "", ())
        own = cast("list[tuple[EncodedName, bytes]]", [header for header in headers if type(header[0]) is EncodedName])
        added = self._names_and_octets(headers[len(own):])
        # a letter's own ones are in front of those that were put on it
        if added is None or (own and own[-1] is not headers[len(own) - 1]):
            return self._remembered(about, delivery, goal, headers)
        octets = _octets(delivery.properties, b"".join([name.octets + value for name, value in own]) + added[1])
        alike = (id(goal), delivery.properties[:2], (*[name for name, _ in own], *added[0]), bytes([value[0] for _, value in own]))
        way = self._ways.get(alike)
        if way and len(octets) <= self._largest:
            if layout is not None and (id(layout), id(goal)) not in self._courses:
                self._courses[id(layout), id(goal)] = _Course.of(layout, way, delivery.properties, headers, len(own), octets)
            return (*way, octets, "", ())
        found = self._remembered(about, delivery, goal, headers)
        if way is None:
            self._ways[alike] = False
            if not isinstance(found, CannotCarry) and found[2:] == (octets, "", ()) and _is_plain(alike):
                self._ways[alike] = found[:2]
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


_NAME = itemgetter(0)


class _Course:
    """How letters of one layout go to one goal: which octets of theirs go along, and what is put between those."""

    __slots__ = ("_added", "_layout", "_names", "_own", "take", "template", "way")

    def __init__(self, layout: Layout, way: tuple[str, bytes], headers: tuple[Header, ...], own: int, spans: list[tuple[int, int]], template: bytes) -> None:
        self.way = way
        self.take = taking(spans, layout.size).unpack
        self.template = template
        # it is known by where it is in memory, and is to stay there
        self._layout = layout
        self._own = own
        self._names = tuple(map(_NAME, headers))
        self._added = headers[own:]

    @classmethod
    def of(cls, layout: Layout, way: tuple[str, bytes], properties: bytes, headers: tuple[Header, ...], own: int, octets: bytes) -> Self | None:
        """Return that of a letter with such properties, whose first `own` headers are among its own and which `octets` were put together for.
        None where its headers do not go in their order, or one of them is there more than once."""
        names = layout.form.names
        begin, end = layout.table
        spans: list[tuple[int, int]] = []
        for name, _ in headers[:own]:
            if names.count(name) != 1:
                return None
            start, stop = layout.headers_at[names.index(name)]
            if spans and start < spans[-1][1]:
                return None
            if spans and start == spans[-1][1]:
                start = spans.pop()[0]
            spans.append((start, stop))
        table = b"".join([properties[start:stop] for start, stop in spans])
        added = octets[begin + 4 + len(table):len(octets) - (len(properties) - end)] if headers else b""
        template = _constant(octets[:2]) + b"%b"
        if headers:
            template += _constant(octets[begin:begin + 4]) + b"%b" * len(spans) + _constant(added)
        made = cls(layout, way, headers, own, [(2, begin), *spans, (end, layout.size)], template + b"%b")
        return made if made.template % made.take(properties) == octets else None

    def is_of(self, headers: tuple[Header, ...]) -> bool:
        """Whether these headers are the same ones of the letter's own, and the same that are put on it."""
        return headers[self._own:] == self._added and tuple(map(_NAME, headers)) == self._names and (
            not self._own or type(headers[0][0]) is EncodedName)


def _constant(octets: bytes) -> bytes:
    return octets.replace(b"%", b"%%")


def _octets(properties: bytes, table: bytes) -> bytes:
    """Return encoded properties with other headers in them."""
    flags, before, after = around_headers(properties)
    if not table:
        return (flags & ~HEADERS).to_bytes(2, "big") + before + after
    return b"%b%b%b%b%b" % ((flags | HEADERS).to_bytes(2, "big"), before, len(table).to_bytes(4, "big"), table, after)


def _is_plain(alike: _Alike) -> bool:
    _, properties, names, types = alike
    flags = int.from_bytes(properties, "big")
    return (flags & _DELIVERY_MODE != 0 and not flags & (_REPLY_TO | _EXPIRATION | _USER_ID) and _PLAIN.issuperset(types)
            and _LOOKED_INTO.isdisjoint(names) and len(set(names)) == len(names))
