"""Dead letters out of a file of envelopes (an export, the journal of a drop): read, put back, remembered by line.

The file is only read. What was put back is kept in a journal of its own, by ranges of lines, so that the same command goes
on where it stopped.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from brokercli.backends.contract import Backend, Batch, PublishPolicy
from brokercli.backends.dead_letters import LetterReader, Move, Repair, State
from brokercli.backends.envelope import decode_original, decode_record, is_dead_at_home
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, InputRefused, UsageProblem
from brokercli.model.message import Record
from brokercli.model.receipt import Receipts
from brokercli.operations.homes import Homes
from brokercli.operations.journal import Journal
from brokercli.operations.record_list import RecordList

_PART = 1000
_PART_BYTES = 8 << 20
"""How much of the file is read at once, unless one letter is larger."""


@dataclass(slots=True)
class FiledRecord(Record):
    """A record that a file holds."""

    line: int = 0
    size: int = 0
    """How many bytes that line has."""
    original: Record | None = None
    """The message that it points at, where the file has it as well."""
    at_home: bool = False
    """Whether it was dead where it was published, as its broker alone knew."""


class LetterFileContent:
    """A file of letters that was checked as a whole: every line an envelope of one broker. Reading it changes nothing."""

    def __init__(self, path: str, broker: str, on_read: Callable[[int], None] = lambda size: None) -> None:
        """Check the file; `on_read` is told the size of each line that is done.

        Raises UsageProblem where it cannot be read, or holds something else or letters of another broker.
        """
        self.path = path
        digest = hashlib.sha256()
        self.count = 0
        self.torn = 0
        """Number of the last line where it is half of one; 0 where it is whole."""
        try:
            with Path(path).open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    digest.update(line)
                    if self.count and not line.endswith(b"\n") and _is_torn(line):
                        self.torn = number
                        break
                    if line.strip():
                        self.count += 1
                        self._check(decode_record(line, number), number, broker)
                    decode_original(line)
                    on_read(len(line))
        except OSError as problem:
            raise UsageProblem(f"{path} cannot be read: {problem.strerror}. Nothing was sent.") from None
        except InputRefused as problem:
            raise UsageProblem(f"{path} is no file of letters: {problem}. Nothing was sent.",
                               hint="dlq export writes such files, and so does every dlq redrive, drop and park before it changes anything") from None
        self.digest = digest.hexdigest()

    def _check(self, record: Record, number: int, broker: str) -> None:
        if record.broker != broker:
            raise UsageProblem(f"line {number} of {self.path} is a letter of {record.broker}, and this context is {broker}. Nothing was sent.",
                               hint=f"--context chooses a broker that is {record.broker}; publish --input json goes anywhere")

    def records(self, passed_over: Handled) -> Generator[FiledRecord]:
        """Yield the records that are not handled yet, in the order of the file."""
        with Path(self.path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip() and number != self.torn and number not in passed_over:
                    record = decode_record(line, number)
                    yield FiledRecord(record.broker, record.place, record.position, record.time, record.message, number, len(line),
                                      decode_original(line), is_dead_at_home(line))


def _is_torn(line: bytes) -> bool:
    """Whether a line without an end is the beginning of an envelope: whoever wrote it was killed, or the disk was full."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.startswith(b"{")
    return False


class Handled:
    """Which lines were put back, by the journal of the file."""

    def __init__(self, ranges: dict[int, int]) -> None:
        self._firsts = sorted(ranges)
        self._ranges = dict(ranges)

    def __contains__(self, line: int) -> bool:
        at = bisect_right(self._firsts, line)
        return at > 0 and line <= self._ranges[self._firsts[at - 1]]


class FiledReader(LetterReader):
    """A look at the letters of a file that are not handled yet."""

    def __init__(self, content: LetterFileContent, journal: Journal) -> None:
        self._records = content.records(Handled(journal.done))
        self._finished = False
        self.expected = content.count
        self.side_effects = "none"
        torn = [f"line {content.torn:,} of {content.path} is half a letter and passed over; its writer was stopped there"] if content.torn else []
        delivered = f"{journal.delivered:,} of the {amount(content.count, 'letter')} {'was' if journal.delivered == 1 else 'were'} put back there"
        before = f"{delivered} by earlier runs, and passed over now ({journal.path}); with a new file for --resume nothing is passed over"
        self.notes: list[str] = [*torn, *([before] if journal.delivered else ())]

    def read(self, timeout: float) -> Batch | None:
        part: list[FiledRecord] = []
        size = 0
        for record in self._records:
            part.append(record)
            size += record.size
            if len(part) >= _PART or size >= _PART_BYTES:
                break
        else:
            self._finished = True
        return RecordList(part) if part else None

    @property
    def finished(self) -> bool:
        return self._finished

    def close(self) -> None:
        self._records.close()


class FiledRepair(Repair):
    """A run over the letters of a file."""

    def __init__(self, content: LetterFileContent, journal: Journal, backend: Backend, delivery_timeout: float) -> None:
        self._journal = journal
        self._reader = FiledReader(content, journal)
        self._homes = Homes(backend, PublishPolicy(delivery_timeout=delivery_timeout, only_wanted=True), self._enter_confirmed)
        self._moves: Sequence[Move] = ()
        """Those of the call that is at work."""
        self._settled = 0
        """How many of them are put back and written down."""
        self.expected = content.count
        self.guarantee = (f"at least once: each letter is confirmed before it is written down in {journal.path}; a run that is killed between the two repeats"
                          " at most one batch")
        self.notes: list[str] = self._reader.notes

    def read(self, timeout: float) -> Batch | None:
        return self._reader.read(timeout)

    @property
    def finished(self) -> bool:
        return self._reader.finished

    @property
    def failure(self) -> BrokercliError | None:  # type: ignore[override]
        """As promised."""
        return self._homes.failure

    def check(self) -> None:
        if self._homes.ended is not None:
            raise self._homes.ended

    def settle(self, moves: Sequence[Move]) -> Receipts:
        self.check()
        self._moves, self._settled = moves, 0
        receipts = self._homes.put([move.message for move in moves], [move.destination for move in moves])
        self._moves, self._settled = (), 0
        return receipts

    def confirmed_at_stop(self) -> int:
        return self._settled

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        self._enter(records)
        return Receipts(confirmed=len(records))

    def arrived(self) -> int | None:
        return None

    def close(self) -> None:
        self._reader.close()
        try:
            # after a second Ctrl-C, which comes while verdicts are waited for: those that had come
            self._enter_confirmed(self._homes.confirmed_so_far())
        except BrokercliError as problem:
            self.notes.append(str(problem))
        self._homes.close()
        self.notes += [note for note in self._homes.notes if note not in self.notes]

    def _enter_confirmed(self, indices: Iterable[int]) -> None:
        """Write down which letters of the call at work are done."""
        done = [self._moves[index].record for index in indices]
        self._enter(done)
        self._settled += len(done)

    def _enter(self, records: Sequence[Record]) -> None:
        """Write down which lines are done, as ranges."""
        ranges: dict[int, int] = {}
        first = last = 0
        for line in sorted(record.line for record in records if isinstance(record, FiledRecord)):
            if line != last + 1 or not first:
                first = line
            ranges[first] = last = line
        if ranges:
            self._journal.enter(ranges, len(records))
