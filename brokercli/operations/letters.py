"""From records to dead letters: recognised, their originals fetched, narrowed to those that are meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

from brokercli.backends.contract import Backend, Batch
from brokercli.backends.dead_letters import some_of
from brokercli.dialects import Facts, UserDialect, died_at_home, holds_another, recognise
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.facts import NO_FACTS
from brokercli.dialects.kinds import Kinds
from brokercli.dialects.reading import Decides, Reading
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Record
from brokercli.model.pattern import matches
from brokercli.operations.filed_letters import FiledRecord
from brokercli.operations.filter import Filter
from brokercli.operations.originals import Originals
from brokercli.operations.record_list import RecordList


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Reads letters of one broker. `fetch_originals` follows pointers; without it they stay incomplete. `strip` are names of headers, with * and ?,
    that do not go back either, whoever wrote them."""

    backend: Backend
    extra: Sequence[UserDialect] = ()
    facts: Facts = NO_FACTS
    fetch_originals: bool = True
    strip: tuple[str, ...] = ()
    _originals: Originals = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_originals", Originals(self.backend))

    def kinds(self, deciding: frozenset[str] = frozenset(), least: Decides = Decides.GROUP) -> Kinds:
        """Return what finds out the kinds of letters of one destination, told apart by headers that decide `least`, and by those of the
        names in `deciding`."""
        def read(record: Record, make_reading: Callable[..., Reading], tried: list[Dialect]) -> DeadLetter:
            return self._stripped(recognise(record, extra=self.extra, facts=self.facts, make_reading=make_reading, tried=tried))

        return Kinds(read, deciding, least)

    def read(self, batch: Batch) -> Iterator[list[DeadLetter]]:
        """Yield a letter for each record, in order: all of them together, and where they point at their messages, as many as there is memory
        for. Whoever reads on is done with those before. Never raises for what a record holds."""
        if batch.at_home:
            yield [self._stripped(died_at_home(record)) for record in batch.records()]
            return
        letters = [self._stripped(died_at_home(record) if isinstance(record, FiledRecord) and record.at_home else
                                  recognise(record, extra=self.extra, facts=self.facts)) for record in batch.records()]
        while letters:
            pointers = [number for number, letter in enumerate(letters) if not letter.complete] if self.fetch_originals else []
            now = pointers[:self._originals.at_once]
            if now:
                self._originals.attach([letters[number] for number in now])
                for number in now:
                    self._stripped(letters[number])
            end = pointers[len(now)] if len(now) < len(pointers) else len(letters)
            some, letters = letters[:end], letters[end:]
            yield some
            del some

    def _stripped(self, letter: DeadLetter) -> DeadLetter:
        if self.strip:
            message = letter.unwrapped or letter.record.message
            letter.stripped = _with_those_like(self.strip, letter.stripped, tuple([name for name, _ in message.headers]))
        return letter


@lru_cache(maxsize=2048)
def _with_those_like(patterns: tuple[str, ...], stripped: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is stripped of headers of these names: letters that are alike have the very same, by which they are told to be."""
    return tuple(dict.fromkeys((*stripped, *(name for name in names if any(matches(name, pattern) for pattern in patterns)))))


def identity(letter: DeadLetter) -> str:
    """Return what `--ids` calls a letter: its position, or the message id where its broker numbers nothing."""
    return letter.record.position or message_id(letter.record)


def message_id(record: Record) -> str:
    """Return a record's own message id; empty where it has none."""
    found = record.message.id or record.message.properties.get("message_id")
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found or "")


@dataclass(slots=True)
class LetterFilter:
    """Keeps the letters that pass every condition given.

    `records` looks at the message that a letter wraps or points at, where that is at hand, and else at the record as it is stored.
    `reason` looks at the reason, the exception's class, and the last part of that, and where a letter gives no reason at the dialect, as it is
    shown; `origin` at the name of the best home, or at its address, as it is shown. Both take * and ? and ignore case.
    `since` and `until` look at the last death, in nanoseconds since 1970; `until` itself is left out.
    """

    records: Filter | None = None
    reason: str | None = None
    origin: str | None = None
    since: int | None = None
    until: int | None = None
    ids: frozenset[str] | None = None
    _met: set[str] = field(default_factory=set, compare=False)
    """Those of `ids` that were met."""
    _undated: int = field(default=0, compare=False)
    """How many letters were left out because nothing says when they died."""

    @property
    def everything(self) -> bool:
        """Whether every letter passes."""
        return self == LetterFilter()

    def passes(self, letter: DeadLetter) -> bool:
        """Say whether a letter passes what can be told only from a letter: everything but `records`."""
        if self.ids is not None:
            name = identity(letter)
            if name not in self.ids:
                return False
            self._met.add(name)
        if self.reason is not None and not _matches(self.reason, (letter.reason or letter.dialect, letter.exception, letter.exception.rpartition(".")[2])):
            return False
        if self.origin is not None and (letter.home is None or not _matches(self.origin, _spellings(letter.home.address, self.origin))):
            return False
        if self.since is not None or self.until is not None:
            died = letter.died
            if died is None:
                self._undated += 1
                return False
            if (self.since is not None and died < self.since) or (self.until is not None and died >= self.until):
                return False
        return True

    def take_notes(self) -> list[str]:
        """Return what is to be said of everything that was asked since the last call: conditions that could not be evaluated, names
        that nothing has, letters without a time."""
        notes: list[str] = []
        if self.records is not None and self.records.where is not None:
            notes += [self.records.note] if self.records.note else []
            self.records.where.forget()
        if self.ids is not None:
            missing = sorted(self.ids - self._met)
            match = "matches" if len(missing) == 1 else "match"
            notes += [f"--ids: {len(missing):,} of {amount(len(self.ids), 'name')} {match} no letter that was read: {some_of(missing)}"] if missing else []
            self._met.clear()
        if undated := self._undated:
            asked = " and ".join(name for name, moment in (("--since", self.since), ("--until", self.until)) if moment is not None)
            notes.append(f"{asked}: {amount(undated, 'letter does', 'letters do')} not say when {'it' if undated == 1 else 'they'} died, "
                         f"and {'counts' if undated == 1 else 'count'} as not matching")
            self._undated = 0
        return notes


def read_matching(recogniser: Recogniser, letter_filter: LetterFilter, batch: Batch) -> Iterator[list[DeadLetter]]:
    """Yield the letters of a batch that pass the filter, in order and in parts as `Recogniser.read`. Raises what the filter raises."""
    asked = letter_filter.records
    for letters in recogniser.read(batch) if asked is None else _asked(recogniser, asked, batch):
        yield [letter for letter in letters if letter_filter.passes(letter)]


def _asked(recogniser: Recogniser, asked: Filter, batch: Batch) -> Iterator[list[DeadLetter]]:
    kept = set(asked.indices(batch))
    holding = set() if batch.at_home else {index for index, record in enumerate(batch.records()) if holds_another(record)}
    wanted = sorted(kept | holding)
    indices = iter(wanted)
    for letters in recogniser.read(batch.select(wanted)):
        inner = [replace(letter.record, message=letter.unwrapped) for letter in letters if letter.unwrapped is not None]
        passing = set(asked.indices(RecordList(inner)))
        passes = iter(range(len(inner)))
        yield [letter for index, letter in zip(islice(indices, len(letters)), letters, strict=True)
               if (index in kept if letter.unwrapped is None else next(passes) in passing)]


def read_ids(content: bytes, source: str) -> frozenset[str]:
    """Read letters' names, one a line; envelopes are not taken. Raises UsageProblem, which calls them `source`."""
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        raise UsageProblem(f"{source} is not UTF-8.") from None
    found = frozenset(line.strip() for line in lines if line.strip())
    if not found:
        raise UsageProblem(f"{source} names no letter.", hint="one a line, as dlq inspect has them in its last column and dlq show at its top: 3:1200")
    return found


def _spellings(origin: Address, pattern: str) -> tuple[str, ...]:
    """Return what an origin is called in a pattern. Its kind is part of it only where the pattern has that whole: `queue*` are names, and no
    reason to choose every letter that came from a queue."""
    said = f"{origin.kind}:"
    return (origin.name, f"{said}{origin.name}", str(origin)) if pattern.lower().startswith(said) else (origin.name,)


def _matches(pattern: str, texts: Iterable[str]) -> bool:
    wanted = pattern.lower()
    return any(matches(text.lower(), wanted) for text in texts if text)
