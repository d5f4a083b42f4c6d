"""Looks: a place in the log that moves; the broker keeps nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.envelope import decode_envelope, encode_record
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.errors import OutOfRange, Unsupported
from brokercli.model.message import Record
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start
from brokercli_memory import SUPPORT
from brokercli_memory.wire import Line

_MOST = 1000
_SEEKS = {Number: Capability.SEEK_NUMBER, Moment: Capability.SEEK_TIME, Last: Capability.SEEK_LAST, PerPartition: Capability.PARTITION}


class MemoryBatch(Batch):
    """Entries as the wire has them: offset, time, envelope."""

    def __init__(self, source: Address, entries: Sequence[tuple[int, int, str]]) -> None:
        self._source = source
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def bodies(self) -> list[bytes]:
        return [decode_envelope(text.encode(), 1).body or b"" for _, _, text in self._entries]

    def envelopes(self) -> list[bytes]:
        return [encode_record(record) for record in self.records()]

    def records(self) -> list[Record]:
        return [self._record(*entry) for entry in self._entries]

    def select(self, indices: Sequence[int]) -> MemoryBatch:
        return MemoryBatch(self._source, [self._entries[index] for index in indices])

    def _record(self, offset: int, time: int, text: str) -> Record:
        message = decode_envelope(text.encode(), 1)
        assert self._source.kind is not None
        return Record("memory", {self._source.kind: self._source.name, "offset": offset}, str(offset), time, message)


class MemoryReader(Reader):
    """One look at one log, from one offset to another or for ever."""

    def __init__(self, line: Line, source: Address, row: str, span: Span) -> None:
        self._line = line
        self._source = source
        self._check(row, span)
        state = self._ask("state")
        self._first: int = state["first"]
        self._end: int = state["next"]
        self._next = self.begin = self._offset_of(span.start)
        self._until = None if span.end is None else self._offset_of(span.end, end=True)
        self.expected = None if self._until is None else max(0, self._until - self._next)

    def read(self, timeout: float) -> Batch | None:
        if self.finished:
            return None
        most = _MOST if self._until is None else min(_MOST, self._until - self._next)
        entries: list[tuple[int, int, str]] = self._ask("read", **{"from": self._next, "most": most, "wait": timeout})["entries"]
        if not entries:
            return None
        self._next = entries[-1][0] + 1
        return MemoryBatch(self._source, entries)

    @property
    def finished(self) -> bool:
        return self._until is not None and self._next >= self._until

    def close(self) -> None:
        self._line.close()

    @staticmethod
    def _check(row: str, span: Span) -> None:
        following = isinstance(span.start, End) and span.end is None
        wanted = [Capability.LOOK_NEW if following else Capability.LOOK_STORED]
        wanted += [_SEEKS[type(position)] for position in (span.start, span.end) if type(position) in _SEEKS]
        for capability in wanted:
            support = SUPPORT[row][capability]
            if not support:
                raise Unsupported(f"A memory {row} cannot do that: {support.note}.")

    def _offset_of(self, position: Position, *, end: bool = False) -> int:
        match position:
            case Start():
                return self._first
            case End():
                return self._end
            case Last(count):
                return max(self._first, self._end - count)
            case Number(value):
                if not end and not self._first <= value <= self._end:
                    if self._first == self._end:
                        raise OutOfRange(f"{self._source} is empty, and its next offset is {self._end}; {value} is not stored.")
                    raise OutOfRange(f"{self._source} holds {self._first} to {self._end - 1}; {value} is not stored.", hint="start and end are positions too")
                return min(value, self._end)
            case Moment(nanoseconds):
                entries: list[tuple[int, int, str]] = self._ask("read", **{"from": self._first, "most": self._end - self._first, "wait": 0})["entries"]
                return next((offset for offset, time, _ in entries if time >= nanoseconds), self._end)
        raise AssertionError(position)

    def _ask(self, verb: str, **question: Any) -> dict[str, Any]:
        return self._line.ask({"do": verb, "kind": self._source.kind, "name": self._source.name, **question})
