"""What letters of one kind have in common, found once for each kind instead of once for each letter.

A dialect is a pure function of what it asks its `Reading` for. So two records that lie under the same name, with headers of
the same names, and the same values in those that a dialect asked for and that decide anything, are of the same kind; offsets,
times and messages of the original decide nothing and are asked for as such (`Decides`). Where only homes are to be told apart, whatever
decides no more than what letters are counted by is left aside too. A time of death is read of each letter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading, lies_in
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.message import Header, HeaderValue, Record, bytes_in
from brokercli.model.remembered import Room

_KINDS_REMEMBERED, _KINDS_BYTES = 4096, 2 << 20
_NAMES_REMEMBERED, _NAMES_BYTES = 512, 1 << 20
_TRIALS = 1000
"""So many letters with headers of the same names are looked up before it is judged whether that pays."""


_Clock = tuple[int, Callable[[HeaderValue], int | None]]
"""Which of the headers tells the time of death, and what reads it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is counted of a letter."""

    group: tuple[str, str, str, str, str]
    """Dialect, reason, exception, origin, and consumer, group or connector."""
    homeless: bool
    attempts: int | None
    death: int | None
    """The time of death that its headers say, nanoseconds since 1970."""
    clock: _Clock | None = None
    """What tells the last death of each letter of the kind; `death` is for those where it does not."""

    @classmethod
    def of(cls, letter: DeadLetter, clock: _Clock | None = None) -> Kind:
        """Return the kind of a letter, whose last death is what `clock` says."""
        home = letter.home
        origin = "" if home is None else str(home.address)
        return cls((letter.dialect, letter.reason, letter.exception, origin, letter.consumer or letter.group or letter.connector), home is None,
                   letter.attempts, letter.last_death if letter.last_death is not None and clock is None else letter.first_death, clock)

    def died(self, headers: Sequence[Header], stored: int | None) -> int | None:
        """Return when a letter of this kind died, with these headers and stored then: that is when it died where no header says it."""
        written = None if self.clock is None else self.clock[1](headers[self.clock[0]][1])
        return next((time for time in (written, self.death) if time is not None), stored)


class WatchedReading(Reading):
    """A reading that notes what is asked for."""

    __slots__ = ("asked", "asked_beyond", "clock")

    def __init__(self, *arguments: Any) -> None:
        self.asked: dict[str, Decides] = {}
        """The headers that were asked for, and what each decides."""
        self.clock: _Clock | None = None
        self.asked_beyond = False
        """Whether more was asked for than headers and what all letters of a destination share."""
        super().__init__(*arguments)

    @property
    def record(self) -> Record:
        """The whole record: whatever is done with it, another letter may hold something else there."""
        self.asked_beyond = True
        return self._record

    def all(self, name: str, *, decides: Decides = Decides.HOME) -> list[HeaderValue]:
        self._note(name, decides)
        return super().all(name)

    def folded(self, name: str, *, decides: Decides = Decides.HOME) -> list[HeaderValue]:
        for spelled in self.headers:
            if spelled.lower() == name:
                self._note(spelled, decides)
        return super().folded(name)

    def time_of_death(self, name: str, read: Callable[[HeaderValue], int | None], *, folded: bool = False, first: bool = False) -> int | None:
        places = [place for place, (spelled, _) in enumerate(self._record.message.headers) if (spelled.lower() if folded else spelled) == name]
        if len(places) != 1:
            return super().time_of_death(name, read, folded=folded, first=first)
        self.clock = places[0], read
        return read(self._record.message.headers[places[0]][1])

    def _note(self, name: str, decides: Decides) -> None:
        self.asked[name] = max(decides, self.asked.get(name, decides))


@dataclass(slots=True)
class _Names:
    """What is known of records under the same name, with headers of the same names."""

    asked: frozenset[str] = frozenset()
    by_content: tuple[Callable[[bytes | None, bytes | None], bool], ...] = ()
    """Which keys and bodies make another dialect possible."""
    by_body: tuple[bytes, ...] = ()
    """What in a record's body does."""
    pick: Callable[[Sequence[Header]], object] = lambda headers: ()
    kinds: dict[object, Kind] = field(default_factory=dict)
    lookups: int = 0
    hits: int = 0
    useless: bool = False


class Kinds:
    """The kinds of the letters of one destination, by header names and values. `read` is what recognises a letter, given
    what makes its readings and a list that takes every dialect that was tried; `deciding` are headers that tell kinds apart
    whoever asked for them. Headers that decide `least` do; less does not."""

    def __init__(self, read: Callable[[Record, Callable[..., Reading], list[Dialect]], DeadLetter], deciding: frozenset[str] = frozenset(),
                 least: Decides = Decides.GROUP) -> None:
        self._read = read
        self._deciding = deciding
        self._least = least
        self._names: dict[tuple[Hashable, ...], _Names] = {}
        self._room_for_names = Room(_NAMES_REMEMBERED, _NAMES_BYTES)
        self._room = Room(_KINDS_REMEMBERED, _KINDS_BYTES)
        self._last: tuple[Sequence[Header], Hashable, _Names, Kind] | None = None
        """The headers that were found last, the very object, and under which name, until something is learnt."""

    def find(self, headers: Sequence[Header], key: bytes | None, body: bytes | None, lies_in: Hashable) -> Kind | None:
        """Return the kind of a record with these headers, key and body, under this name; None where it has to be read. Header values may be
        as the broker encodes them, where those of all records are."""
        last, found = self._last, None
        if last is not None and headers is last[0] and lies_in == last[1]:
            _, _, known, found = last
        else:
            looked_up = self._names.get((lies_in, *[name for name, _ in headers]))
            if looked_up is None or looked_up.useless:
                return None
            known = looked_up
        for may_hold in known.by_content:
            if may_hold(key, body):
                return None
        for sign in known.by_body:
            if body and sign in body:
                return None
        known.lookups += 1
        if found is None:
            found = known.kinds.get(known.pick(headers))
            if found is None:
                return None
            self._last = headers, lies_in, known, found
        known.hits += 1
        return found

    def signs(self, headers: Sequence[Header], lies_in: str) -> tuple[tuple[bytes, ...], tuple[Callable[[bytes | None, bytes | None], bool], ...]]:
        """Return what makes records with headers of these names, under this name, worth reading: what their body holds, and which keys and bodies."""
        known = self._names.get((lies_in, *[name for name, _ in headers]))
        return ((), ()) if known is None else (known.by_body, known.by_content)

    def learn(self, record: Record, headers: Sequence[Header] | None = None, under: Hashable = None) -> tuple[DeadLetter, Kind]:
        """Read a record and remember its kind where that can be done: then `find` returns that very object for others of it. `headers` and
        `under` are what it is found by, where that is not as the record says."""
        self._last = None
        readings: list[WatchedReading] = []

        def watched(*arguments: Any) -> Reading:
            readings.append(WatchedReading(*arguments))
            return readings[-1]

        tried: list[Dialect] = []
        letter = self._read(record, watched, tried)
        kind = Kind.of(letter, readings[-1].clock if readings else None)
        headers = record.message.headers if headers is None else headers
        known = self._known((lies_in(record) if under is None else under, *[name for name, _ in headers]))
        body = record.message.body or b""
        by_more = any(reading.asked_beyond for reading in readings) or any(dialect.body_sign and dialect.body_sign in body for dialect in tried)
        if by_more or not letter.complete or letter.unwrapped is not None:
            return letter, kind
        if known.lookups > _TRIALS and known.hits < known.lookups // 2:
            known.useless = True
            known.kinds.clear()
        if not known.useless:
            asked = {name for reading in readings for name, decides in reading.asked.items() if decides >= self._least}
            self._remember(known, headers, self._deciding | asked, tried, kind)
        return letter, kind

    def _known(self, names: tuple[Hashable, ...]) -> _Names:
        """Return what is known of records under the same name, with headers of the same names, from here on."""
        known = self._names.get(names)
        if known is None:
            if not self._room_for_names.take(sum([len(name) for name in names if isinstance(name, str)])):
                self._names.clear()
            known = self._names[names] = _Names()
        return known

    def _remember(self, known: _Names, headers: Sequence[Header], asked: frozenset[str], tried: Sequence[Dialect], kind: Kind) -> None:
        if not asked <= known.asked:
            # kinds are told apart by everything that any of them was asked for
            known.kinds.clear()
            known.asked |= asked
            places = [index for index, (name, _) in enumerate(headers) if name in known.asked]
            known.pick = itemgetter(*places) if places else lambda headers: ()
        known.by_body = tuple({*known.by_body, *(dialect.body_sign for dialect in tried if dialect.body_sign)})
        known.by_content = tuple({*known.by_content, *(dialect.may_hold for dialect in tried if dialect.may_hold is not None)})
        # a kind's words come out of the headers that decide
        if not self._room.take(bytes_in([header for header in headers if header[0] in known.asked])):
            for names in self._names.values():
                names.kinds.clear()
        known.kinds[known.pick(headers)] = kind
