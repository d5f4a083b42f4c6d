"""One record while a dialect reads it: its headers by name, and what there is to remark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum

from brokercli.dialects.facts import NO_FACTS, Facts
from brokercli.dialects.names import problem_with, shown
from brokercli.dialects.values import big_endian_of, count_of, integer_of, offset_of, partition_of, text_of
from brokercli.model.address import Address
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import Header, HeaderValue, Place, Record

KIND_OF = {"kafka": "topic", "nats": "subject", "rabbitmq": "queue"}
"""Broker → kind of address its letters go home to."""
NO_HOME = "as its origin; it cannot go there"
"""In the remark on a letter that names an origin and is given no home."""


class Decides(IntEnum):
    """What may follow from the value of a header."""

    NOTHING = 0
    """What is shown of the one letter, like its place in the original topic."""
    GROUP = 1
    """What letters are counted by too: reason, exception, consumer, attempts, time of death."""
    HOME = 2
    """Anything: where it goes, what does not go along, whether it is a letter of this dialect at all."""


class Reading:
    """A record's headers by name, repeats in order. Names are compared exactly unless a method says otherwise."""

    __slots__ = ("_by_folded_name", "_record", "facts", "headers", "lost", "remarks")

    def __init__(self, record: Record, facts: Facts = NO_FACTS) -> None:
        self._record = record
        self.facts = facts
        self.remarks: list[str] = []
        self.lost: list[str] = []
        self.headers: dict[str, list[HeaderValue]] = {}
        for name, value in record.message.headers:
            self.headers.setdefault(name, []).append(value)
        self._by_folded_name: dict[str, list[HeaderValue]] | None = None

    @property
    def record(self) -> Record:
        """The record itself, for what is neither in its headers nor the same for all records of a destination."""
        return self._record

    @property
    def broker(self) -> str:
        """The broker the record lies on."""
        return self._record.broker

    @property
    def stored(self) -> int | None:
        """When the record was stored, nanoseconds since 1970. Decides nothing: not to be taken for a time of death."""
        return self._record.time

    @property
    def folded_names(self) -> tuple[str, ...]:
        """The names in lower case, in order, each once."""
        Reading.folded(self, "")
        return tuple(self._by_folded_name or ())

    def folded(self, name: str, *, decides: Decides = Decides.HOME) -> list[HeaderValue]:
        """Return the values of a lower-case name, however it is spelled in the record; see `all`."""
        if self._by_folded_name is None:
            self._by_folded_name = {}
            for spelled, values in self.headers.items():
                self._by_folded_name.setdefault(spelled.lower(), []).extend(values)
        return self._by_folded_name.get(name, [])

    def all(self, name: str, *, decides: Decides = Decides.HOME) -> list[HeaderValue]:
        """Return a header's values in order. Nothing more may follow from them than `decides` says, but for whether there are any."""
        return self.headers.get(name, [])

    def in_order(self, names: Mapping[str, Decides]) -> list[Header]:
        """Return the headers of these names in the order they were written, of all of them together; each name says what it decides,
        see `all`."""
        for name, decides in names.items():
            self.all(name, decides=decides)
        return [header for header in self._record.message.headers if header[0] in names]

    def time_of_death(self, name: str, read: Callable[[HeaderValue], int | None], *, folded: bool = False, first: bool = False) -> int | None:
        """Return what `read` makes of a header's last value, or of its `first`; None where it is absent. Only for who makes a letter: it is
        to be its last death, and nothing else that letters are counted by may follow from it."""
        values = self.folded(name, decides=Decides.GROUP) if folded else self.all(name, decides=Decides.GROUP)
        return read(values[0 if first else -1]) if values else None

    def last(self, name: str, *, decides: Decides = Decides.HOME) -> HeaderValue:
        """Return a header's last value; None where it is null or absent."""
        values = self.all(name, decides=decides)
        return values[-1] if values else None

    def text(self, name: str, *, decides: Decides = Decides.HOME) -> str:
        """Return the text of a header's last value; empty where it is null or absent."""
        values = self.all(name, decides=decides)
        return text_of(values[-1]) if values else ""

    def first_text(self, *folded_names: str, decides: Decides = Decides.HOME) -> str:
        """Return the text of the first of these lower-case names that is there and not empty, its last value."""
        for name in folded_names:
            values = self.folded(name, decides=decides)
            if values and (text := text_of(values[-1])):
                return text
        return ""

    def count(self, what: str, value: HeaderValue | object, shortest: int = 0, longest: int = 0) -> int | None:
        """Return a count that can be true. One that cannot is None, and remarked on as `what`."""
        if value is None:
            return None
        number = big_endian_of(value, shortest, longest) if longest else integer_of(value)
        count = count_of(number)
        if count is None:
            self.remarks.append(f"{what} is {_abridged(value, number)}, which is no believable count; it is ignored")
        return count

    def partition(self, what: str, value: HeaderValue | object, *, binary: bool = False) -> int | None:
        """Return a partition, or None with a remark."""
        number = big_endian_of(value, 4, 4) if binary else integer_of(value)
        return self._coordinate(what, value, number, partition_of(number))

    def offset(self, what: str, value: HeaderValue | object, *, binary: bool = False) -> int | None:
        """Return an offset or sequence, or None with a remark."""
        number = big_endian_of(value, 8, 8) if binary else integer_of(value)
        return self._coordinate(what, value, number, offset_of(number))

    def home(self, name: str, derived: str, confidence: Confidence = Confidence.CERTAIN, *, kind: str | None = None,
             route: str | None = None, place: Place | None = None) -> Home | None:
        """Return the home of that name, or None with a remark where no message can go there, or it lies there now."""
        kind = kind or KIND_OF.get(self._record.broker, "topic")
        problem = problem_with(kind, name)
        if problem is None and route:
            problem = problem_with("exchange", route)
        if problem is None and kind != "exchange" and name == self.lies_in:
            problem = "that is where it lies now"
        if problem is None and name in self.facts.dead_letter_destinations:
            problem = "that holds dead letters too"
        if problem is not None:
            self.remarks.append(f"{derived} names {shown(name)!r} {NO_HOME}: {problem}")
            return None
        return Home(Address(name, kind, route), derived, confidence, {key: value for key, value in (place or {}).items() if value is not None})

    def without_body(self, derived: str, origin: Hop, why: str) -> None:
        """Say that the body of what died is not in the letter, and where it lay (`place`: partition and offset), if that is known; for a
        letter that is given no home."""
        self.lost.append(f"the original's body: {why}")
        there = ":".join(shown(str(number)) for number in origin.place.values())
        self.remarks.append(f"{derived} names {shown(origin.where)!r} {NO_HOME}: its body is not here"
                            + (f". The record itself lay at {there} there, where replay reads it" if there else ""))

    @property
    def lies_in(self) -> str:
        """The name of the topic, subject or queue the record lies in; empty where that is not known."""
        return lies_in(self._record)

    def letter(self, dialect: str, homes: Iterable[Home | None] = ()) -> DeadLetter:
        """Return a letter of these homes, each once, the best first; the dialect fills in the rest."""
        found: list[Home] = []
        for home in homes:
            if home is not None and all(home.address != other.address for other in found):
                found.append(home)
        return DeadLetter(self._record, dialect, homes=tuple(found))

    def _coordinate(self, what: str, value: HeaderValue | object, number: int | None, accepted: int | None) -> int | None:
        if accepted is None and value is not None:
            self.remarks.append(f"{what} is {_abridged(value, number)}, which no broker counts; it is ignored")
        return accepted


def lies_in(record: Record) -> str:
    """Return the name of the topic, subject or queue a record lies in; empty where that is not known."""
    name = record.place.get(KIND_OF.get(record.broker, "topic"))
    return name if isinstance(name, str) else ""


def _abridged(value: HeaderValue | object, number: int | None) -> str:
    # str of an int beyond 4300 digits raises
    if number is not None and -(10**30) < number < 10**30:
        return str(number)
    return repr(shown(text_of(value))) if not isinstance(value, int) else "a number of more than 30 digits"
