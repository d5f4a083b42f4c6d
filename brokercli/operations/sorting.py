"""Decide on dead letters by their kind: what the rules say of the first letter of a kind goes for all of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Goal
from brokercli.dialects.kinds import Kind, Kinds
from brokercli.dialects.reading import Decides, lies_in
from brokercli.dialects.redrive_headers import COUNT, FROM, stamps
from brokercli.model.message import Header, Record, size_of
from brokercli.model.remembered import Room
from brokercli.operations.decisions import Decision, Rules
from brokercli.operations.letters import Recogniser

_TRIALS = 1000
"""So many letters are sorted before it is judged whether that pays."""
_MANY_ALIKE = 4
"""So many letters have the same around their bodies where it pays to look at that as a whole."""
_WAYS_REMEMBERED, _WAYS_BYTES = 10_000, 8 << 20
"""The first letter of a kind is remembered with it."""


@dataclass(slots=True, eq=False)
class Way:
    """What becomes of the letters of one kind."""

    decision: Decision
    """On the first one that was met."""
    goal: Goal | None
    """None where they are left, or go for good."""
    kept: Callable[[Sequence[Header]], tuple[Header, ...]] = tuple
    """Takes from a letter's headers those that go along."""
    lead: bytes | None = None
    """What our header `FROM` says before the letter's position; None where they go on unstamped."""
    times: int = 0
    """How often such a letter will then have been put back."""

    @classmethod
    def of(cls, decision: Decision, at: int) -> Way | None:
        """Return the way of letters of this one's kind. None where what goes back is not just the record with other headers."""
        letter, message = decision.letter, decision.message
        record = letter.record
        if not letter.complete or letter.unwrapped is not None or decision.original is not None:
            return None
        if message is None or decision.left or decision.destination is None:
            return cls(decision, None)
        if message is record.message:
            return cls(decision, Goal(decision.destination, message.route))
        goal = Goal(decision.destination, message.route, letter.stripped_properties)
        names = frozenset(letter.stripped)
        kept = [place for place, (name, _) in enumerate(record.message.headers) if name not in names]
        way = cls(decision, goal, _picking(kept), times=(letter.redrives or 0) + 1)
        stamped = next((value for name, value in reversed(message.headers) if name == FROM), None)
        if isinstance(stamped, bytes) and stamped.endswith(record.position.encode()):
            way.lead = stamped[:len(stamped) - len(record.position)]
        # what is done for all of them has to come to the same for this one
        properties = {name: value for name, value in record.message.properties.items() if name not in goal.without}
        alike = (message.body, message.key, message.properties) == (record.message.body, record.message.key, properties)
        same = way.headers(record.message.headers, record.position, way.behind(at)) == message.headers
        return way if alike and same and way.lead is not None else None

    def behind(self, at: int) -> tuple[Header, ...]:
        """Return the headers at the end, which all letters have that go back at the same moment."""
        return stamps("", at, self.times)[1:] if self.lead is not None else ()

    def headers(self, headers: Sequence[Header], position: str, behind: tuple[Header, ...]) -> tuple[Header, ...]:
        """Return the headers of the message to put back for a letter with these headers, at this position."""
        return self.stamped(self.kept(headers), position, behind)

    def stamped(self, kept: tuple[Header, ...], position: str, behind: tuple[Header, ...]) -> tuple[Header, ...]:
        """The same, for headers that go along."""
        return kept if self.lead is None else (*kept, (FROM, self.lead + position.encode()), *behind)


@dataclass(slots=True)
class Sorted:
    """What becomes of the letters of a batch: `indices` are those that go, each to its goal with its headers; the rest is left."""

    indices: list[int] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    headers: list[tuple[Header, ...]] = field(default_factory=list)
    decisions: list[tuple[Decision, int]] = field(default_factory=list)
    """One decision of each kind, and how many letters it is about."""


_Signs = tuple[tuple[bytes, ...], tuple[Callable[[bytes | None, bytes | None], bool], ...]]
_Wrapped = tuple[Way, tuple[Header, ...], _Signs]
"""What becomes of letters of which everything but the body is the same; their headers; what in a body, or which one, would make it another
kind."""


@dataclass(slots=True)
class _Met:
    """Letters of a batch that go one way."""

    way: Way
    headers: tuple[Header, ...] = ()
    """What each of them gets behind its own; of wrapped ones everything that it gets."""
    signs: _Signs = ((), ())
    letters: int = 0
    own: Sequence[Header] | None = None
    """The headers of the letter before, the very object."""
    kept: tuple[Header, ...] = ()
    """Those of them that go along."""

    def copied(self, own: Sequence[Header], position: str) -> tuple[Header, ...]:
        """Return the headers of the message to put back for a letter with headers of its own, at this position."""
        if own is not self.own:
            self.own, self.kept = own, self.way.kept(own)
        return self.way.stamped(self.kept, position, self.headers)


class Sorter:
    """Sorts the letters of one destination. Every letter's fate is the one that the rules decide on for it alone."""

    def __init__(self, recogniser: Recogniser, rules: Rules) -> None:
        self._rules = rules
        # how often it was put back decides whether it may go
        self._kinds = recogniser.kinds(frozenset({COUNT}), Decides.HOME)
        self._encoded_kinds = recogniser.kinds(frozenset({COUNT}), Decides.HOME)
        self._ways: dict[int, tuple[Kind, Way | None]] = {}
        self._wrapped: dict[bytes, _Wrapped] = {}
        self._room = Room(_WAYS_REMEMBERED, _WAYS_BYTES)
        self._sorted = 0
        self._learned = 0

    def sort(self, batch: Batch, at: int) -> Sorted | None:
        """Sort a batch; `at` (nanoseconds since 1970) is stamped on what goes back. None where its letters have to be read one by one:
        pointers, wrapped ones, letters that are all different, and where that costs no more."""
        if batch.at_home or self._learned > max(_TRIALS, self._sorted // 2):
            return None
        wrappings = batch.wrappings()
        if wrappings is not None and len(set(wrappings)) * _MANY_ALIKE <= len(wrappings):
            return self._sort_wrapped(batch, wrappings, at)
        kinds, outlines = self._kinds, batch.outlines()
        if outlines is None:
            kinds, outlines = self._encoded_kinds, batch.encoded_outlines()
        if outlines is None:
            return None if wrappings is None else self._sort_wrapped(batch, wrappings, at)
        self._sorted += len(outlines)
        found = Sorted()
        met: dict[int, _Met] = {}
        find, known = kinds.find, self._ways
        indices, goals, copies = found.indices, found.goals, found.headers
        for index, ((headers, key, body, _, name), position) in enumerate(zip(outlines, batch.positions(), strict=True)):
            kind = find(headers, key, body, name)
            entry = known.get(id(kind))
            way = entry[1] if entry is not None and entry[0] is kind else self._learn(batch, index, at, kinds, headers, name)
            if way is None:
                return None
            group = met.get(id(way))
            if group is None:
                group = met[id(way)] = _Met(way, way.behind(at))
            group.letters += 1
            if way.goal is not None:
                indices.append(index)
                goals.append(way.goal)
                copies.append(group.copied(headers, position))
        found.decisions = [(group.way.decision, group.letters) for group in met.values()]
        return found

    def _sort_wrapped(self, batch: Batch, wrappings: Sequence[bytes], at: int) -> Sorted | None:
        self._sorted += len(wrappings)
        found = Sorted()
        met: dict[bytes, _Met] = {}
        indices, goals, copies = found.indices, found.goals, found.headers
        for index, (wrapping, body) in enumerate(zip(wrappings, batch.bodies(), strict=True)):
            group = met.get(wrapping)
            if group is None:
                known = self._wrapped.get(wrapping) or self._unwrap(batch, index, wrapping, at)
                if known is None:
                    return None
                way, headers, signs = known
                group = met[wrapping] = _Met(way, () if way.goal is None else way.headers(headers, "", way.behind(at)), signs)
            held, may_be = group.signs
            for sign in held:
                if sign in body:
                    return None
            for is_another in may_be:
                if is_another(None, body):
                    return None
            group.letters += 1
            if group.way.goal is not None:
                indices.append(index)
                goals.append(group.way.goal)
                copies.append(group.headers)
        found.decisions = [(group.way.decision, group.letters) for group in met.values()]
        return found

    def _unwrap(self, batch: Batch, index: int, wrapping: bytes, at: int) -> _Wrapped | None:
        """Read a letter to know those that are wrapped the same; None where something else decides as well."""
        record = batch.select([index]).records()[0]
        self._learned += 1
        letter, kind = self._kinds.learn(record)
        message, name = record.message, lies_in(record)
        way = Way.of(self._rules.decide(letter, at), at)
        by_more = self._kinds.find(message.headers, message.key, message.body, name) is not kind
        # one that goes on as it is has its own routing key, which is not in the wrapping
        if way is None or by_more or record.position or way.decision.message is message:
            return None
        self._make_room(record, len(wrapping))
        known = self._wrapped[wrapping] = way, message.headers, self._kinds.signs(message.headers, name)
        return known

    def _learn(self, batch: Batch, index: int, at: int, kinds: Kinds, headers: Sequence[Header], under: Hashable) -> Way | None:
        self._learned += 1
        record = batch.select([index]).records()[0]
        letter, kind = kinds.learn(record, headers, under)
        way = Way.of(self._rules.decide(letter, at), at)
        if way is not None and kinds is self._encoded_kinds and way.decision.message is record.message:
            way = None  # one that goes on as it is has its own routing key, by which it is told from no other
        self._make_room(record)
        self._ways[id(kind)] = kind, way
        return way

    def _make_room(self, record: Record, more: int = 0) -> None:
        if not self._room.take(size_of(record.message) + more):
            self._ways.clear()
            self._wrapped.clear()


def _picking(places: Sequence[int]) -> Callable[[Sequence[Header]], tuple[Header, ...]]:
    if not places:
        return lambda headers: ()
    if len(places) == 1:
        only = places[0]
        return lambda headers: (headers[only],)
    return itemgetter(*places)
