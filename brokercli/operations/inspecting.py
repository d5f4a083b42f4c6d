"""Why letters died, counted: grouped by reason, exception, origin and consumer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import LetterReader, State
from brokercli.backends.envelope import mark_dead_at_home
from brokercli.dialects.kinds import Kind, Kinds
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import NotFound
from brokercli.model.position import NANOSECONDS
from brokercli.operations.letter_file import letter_line
from brokercli.operations.letters import LetterFilter, Recogniser, identity, message_id, read_matching
from brokercli.operations.reading import batches

MOST_GROUPS, MOST_BYTES = 10_000, 4 << 20
"""So many are told apart, and fewer where their words are long: where the text of a reason holds an id, every letter has a group of its own."""
_VARIOUS = ("various", "various", "", "various", "")
_MOST_MOMENTS = 20_000


@dataclass(slots=True)
class Group:
    """Letters that died of the same thing in the same place. Times are nanoseconds since 1970."""

    dialect: str
    reason: str
    exception: str
    origin: str
    consumer: str
    sample_name: str
    """What `dlq show` calls the first pending one met, or the first where none is; empty where nothing names it and it was not counted because
    of a filter. The letter itself is not kept: there may be many groups, and megabytes in each letter."""
    exception_message: str
    """Of that letter."""
    remarks: tuple[str, ...]
    """On that letter."""
    count: int = 0
    states: Counter[State] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None
    fewest_attempts: int | None = None
    most_attempts: int | None = None
    sample_pending: bool = False

    def take(self, died: int | None, attempts: int | None, state: State) -> None:
        """Count one more."""
        self.count += 1
        self.states[state] += 1
        if died is not None:
            self.first = died if self.first is None or died < self.first else self.first
            self.last = died if self.last is None or died > self.last else self.last
        if attempts is not None:
            self.fewest_attempts = attempts if self.fewest_attempts is None else min(self.fewest_attempts, attempts)
            self.most_attempts = attempts if self.most_attempts is None else max(self.most_attempts, attempts)


@dataclass(slots=True)
class Inspection:
    """All letters of one destination that passed the filter."""

    groups: dict[tuple[str, str, str, str, str], Group] = field(default_factory=dict)
    read: int = 0
    matched: int = 0
    states: Counter[State] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)
    """Second since 1970 → letters that died in it; the source of the histogram. Where there are very many, in it and those that follow."""
    homeless: int = 0
    """Letters of which nobody wrote down where they came from: redriving them takes `--to`. Those that are `gone` or `unread` are not
    among them."""
    gone: int = 0
    """Pointers whose original is no longer stored."""
    unread: int = 0
    """Pointers whose original cannot be read now."""
    _share: int = 1
    """How many seconds are counted as one."""
    _bytes: int = 0
    """How long the words of the groups are."""

    @property
    def together(self) -> int:
        """How many letters are counted in one group because there are too many of them."""
        return self.groups[_VARIOUS].count if _VARIOUS in self.groups else 0

    def group_of(self, kind: Kind, sample: DeadLetter | None, number: int = 0) -> Group:
        """Return the group that letters of a kind are counted in; `sample` is one of them, unless one was counted before, and the
        `number`th that was read."""
        found = self.groups.get(kind.group)
        if found is not None:
            return found
        # for good: shorter words that are shown later may make room again, and those of a kind that was counted together have no sample any more
        room = _VARIOUS not in self.groups and len(self.groups) < MOST_GROUPS and self._bytes < MOST_BYTES
        key = kind.group if room else _VARIOUS
        found = self.groups.get(key)
        if found is None:
            assert sample is not None
            found = self.groups[key] = Group(*key, _shown(sample, number), sample.exception_message, sample.remarks)
            self._bytes += sum(map(len, (*key, sample.exception_message, *sample.remarks)))
        return found

    def show_pending(self, group: Group, sample: DeadLetter, number: int = 0) -> None:
        """Have a group show a letter that is pending, the `number`th that was read, in place of one that was handled."""
        self._bytes += sum(map(len, (sample.exception_message, *sample.remarks))) - sum(map(len, (group.exception_message, *group.remarks)))
        group.sample_name, group.exception_message, group.remarks = _shown(sample, number), sample.exception_message, sample.remarks
        group.sample_pending = True

    def count_seconds(self, seconds: Iterable[int]) -> None:
        """Count letters that died in these seconds."""
        share = self._share
        self.seconds.update(seconds if share == 1 else [second - second % share for second in seconds])
        while len(self.seconds) > _MOST_MOMENTS:
            self._share *= 2
            counted, self.seconds = self.seconds, Counter()
            for second, count in counted.items():
                self.seconds[second - second % self._share] += count

    def by_count(self) -> list[Group]:
        """Return the groups, the largest first."""
        return sorted(self.groups.values(), key=lambda group: (-group.count, group.reason, group.exception, group.origin))


def _shown(sample: DeadLetter, number: int) -> str:
    return identity(sample) or (f"#{number}" if number else "")


def inspect(reader: LetterReader, recogniser: Recogniser, letter_filter: LetterFilter, *, stopping: Callable[[], bool] = lambda: False,
            on_progress: Callable[[int], None] = lambda count: None) -> Inspection:
    """Read every letter up to the end there was, or until it is stopped, and count. Memory grows with groups, not letters."""
    inspection = Inspection()
    kinds = recogniser.kinds() if letter_filter.everything else None
    for batch in batches(reader, stopping):
        inspection.read += len(batch)
        if kinds is not None and _take_by_kind(inspection, reader, kinds, batch):
            on_progress(len(batch))
            continue
        number = inspection.read - len(batch)
        for letter in chain.from_iterable(read_matching(recogniser, letter_filter, batch)):
            number += 1
            _take(inspection, letter, reader.state(letter.record), 0 if kinds is None else number)
        on_progress(len(batch))
    return inspection


def pending_envelopes(reader: LetterReader, recogniser: Recogniser, letter_filter: LetterFilter, *, on_handled: Callable[[int], None] = lambda count: None,
                      stopping: Callable[[], bool] = lambda: False) -> Iterator[list[bytes]]:
    """Yield the pending letters that pass as envelopes, in order, a batch at a time, up to the end there was. Letters that were handled and
    are still stored are passed over, and counted to `on_handled`: whoever puts letters back from the export would put them back a second
    time."""
    for read in batches(reader, stopping):
        pending = [index for index, state in enumerate(reader.states(read)) if state is State.PENDING]
        on_handled(len(read) - len(pending))
        if not pending:
            continue
        batch = read if len(pending) == len(read) else read.select(pending)
        if letter_filter.everything:
            yield [mark_dead_at_home(line) for line in batch.envelopes()] if batch.at_home else batch.envelopes()
            continue
        for letters in read_matching(recogniser, letter_filter, batch):
            if letters:
                yield [letter_line(letter) for letter in letters]


def _take_by_kind(inspection: Inspection, reader: LetterReader, kinds: Kinds, batch: Batch) -> bool:
    """Count the letters of a batch, reading only the first one of each kind. Returns False, having counted none, where
    they have to be read one by one: a pointer is complete only with its original."""
    outlines = None if batch.at_home else batch.outlines()
    if outlines is None:
        return False
    samples: dict[tuple[str, str, str, str, str], tuple[DeadLetter, int]] = {}
    before = inspection.read - len(batch)
    found: list[Kind] = []
    for index, (headers, key, body, _, name) in enumerate(outlines):
        kind = kinds.find(headers, key, body, name)
        if kind is None:
            letter, kind = kinds.learn(batch.select([index]).records()[0])
            if not letter.complete:
                return False
            samples.setdefault(kind.group, (letter, before + index + 1))
        found.append(kind)
    seconds = []
    states = reader.states(batch)
    for kind, (headers, _, _, stored, _), state in zip(found, outlines, states, strict=True):
        died = kind.died(headers, stored)
        inspection.group_of(kind, *samples.get(kind.group, (None,))).take(died, kind.attempts, state)
        inspection.states[state] += 1
        inspection.homeless += kind.homeless
        if died is not None:
            seconds.append(died // NANOSECONDS)
    inspection.matched += len(found)
    inspection.count_seconds(seconds)
    # most batches hold nothing of a group that shows none yet, and are not gone through a second time
    if not all(inspection.group_of(kind, None).sample_pending for kind in {id(kind): kind for kind in found}.values()):
        for index, (kind, state) in enumerate(zip(found, states, strict=True)):
            if state is State.PENDING and not (group := inspection.group_of(kind, None)).sample_pending:
                number = before + index + 1
                sample, place = samples.get(kind.group, (None, 0))
                inspection.show_pending(group, sample if sample and place == number else kinds.learn(batch.select([index]).records()[0])[0], number)
    return True


def _take(inspection: Inspection, letter: DeadLetter, state: State, number: int) -> None:
    kind = Kind.of(letter)
    inspection.matched += 1
    inspection.states[state] += 1
    group = inspection.group_of(kind, letter, number)
    if state is State.PENDING and not group.sample_pending:
        inspection.show_pending(group, letter, number)
    group.take(letter.died, letter.attempts, state)
    if letter.died is not None:
        inspection.count_seconds((letter.died // NANOSECONDS,))
    without = letter.pointer is not None and not letter.fetched
    inspection.homeless += kind.homeless and not without
    inspection.gone += without and not letter.unread
    inspection.unread += bool(letter.unread)


def find_letter(reader: LetterReader, recogniser: Recogniser, wanted: str, *,
                stopping: Callable[[], bool] = lambda: False) -> tuple[DeadLetter, State] | None:
    """Return the letter of a position or message id, or the Nth pending one (`#N`, from 1); what is both is the position. None where it was
    stopped first; raises NotFound."""
    # one with more digits is no number of a letter, as there are not so many
    left = int(wanted[1:]) if re.fullmatch(r"#\d{1,19}", wanted) else None
    by_id: tuple[DeadLetter, State] | None = None
    for batch in batches(reader, stopping):
        for index, record in enumerate(batch.records()):
            if left is not None:
                pending = reader.state(record) is State.PENDING
                left -= pending
                found = pending and left == 0
            else:
                found = wanted != "" and (wanted == record.position or (by_id is None and wanted == message_id(record)))
            if found:
                ((letter,),) = recogniser.read(batch.select([index]))
                chosen = letter, reader.state(record)
                if left is not None or record.position in (wanted, "") or not wanted.replace(":", "").isdecimal():
                    return chosen
                # ids are numbers, too: one further on may lie there
                by_id = chosen
    if stopping():
        return None
    if by_id is not None:
        return by_id
    if reader.left_out is not None:
        raise reader.left_out
    raise NotFound(f"There is no letter {wanted}.", hint="brokercli dlq inspect shows one position of each kind; #1 is the first pending one")
