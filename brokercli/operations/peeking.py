"""The records around the position a consumer is at: what it did last, what it is stuck on, what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from brokercli.backends.contract import Backend
from brokercli.model.address import Address
from brokercli.model.consumption import Lag
from brokercli.model.message import Record
from brokercli.model.position import Number, PerPartition, Position, Span
from brokercli.operations.reading import Reading

# numbers may be missing between two records (compaction, deletions, transactions): a window that holds too few is widened
# so often, each time this many times as far
WIDENINGS = 4
FACTOR = 16


@dataclass(slots=True)
class Around:
    """The records around one position, in the order of the broker."""

    lag: Lag
    before: list[Record] = field(default_factory=list)
    following: list[Record] = field(default_factory=list)
    """The first of them is the next to be read."""

    @property
    def lost(self) -> int:
        """How many numbers from the position on are not stored any more."""
        return max(0, (self.lag.start or 0) - (self.lag.position or 0))


def worth_a_look(lags: Sequence[Lag], everything: bool = False) -> list[Lag]:
    """Return the lines that have a position: those that are behind, or all where none is, and with `everything`."""
    placed = [lag for lag in lags if lag.position is not None]
    behind = [lag for lag in placed if lag.lag != 0]
    return placed if everything or not behind else behind


def around(backend: Backend, source: Address, lags: Sequence[Lag], before: int, after: int,
           stopping: Callable[[], bool] = lambda: False) -> list[Around]:
    """Look at up to `before` records in front of the position of each of `lags`, at the one it is at, and `after` behind it.

    All are lines of `source`, a resolved address, and have a position. Changes nothing. Raises as `Backend.look`.
    """
    found = {lag.partition: Around(lag) for lag in lags}
    reach = {lag.partition: (before, after + 1) for lag in lags}
    for _ in range(WIDENINGS):
        windows = {partition: _window(found[partition].lag, *wanted) for partition, wanted in reach.items()}
        for partition in windows:
            found[partition].before.clear()
            found[partition].following.clear()
        for record in _read(backend, source, windows, stopping):
            partition, number = _number(record)
            one = found[partition]
            (one.before if number < _mark(one.lag) else one.following).append(record)
        reach = {partition: wanted for partition, wanted in ((partition, _wider(found[partition], windows[partition], reach[partition], before, after))
                                                             for partition in reach) if wanted is not None}
        if not reach or stopping():
            break
    for one in found.values():
        one.before = one.before[-before:] if before else []
        one.following = one.following[:after + 1]
    return list(found.values())


def _mark(lag: Lag) -> int:
    return lag.next if lag.next is not None else lag.position or 0


def _window(lag: Lag, before: int, after: int) -> tuple[int, int]:
    """Return the numbers to look at, the second not included."""
    first, position = lag.start or 0, _mark(lag)
    begin = max(position - before, first)
    # what is lost of the numbers after the position is not looked for
    end = max(position, first) + after
    there = _end(lag)
    return begin, min(end, there) if there is not None else end


def _end(lag: Lag) -> int | None:
    return lag.end if lag.readable is None else lag.readable


def _wider(one: Around, window: tuple[int, int], reach: tuple[int, int], before: int, after: int) -> tuple[int, int] | None:
    short_before = len(one.before) < before and window[0] > (one.lag.start or 0)
    end = _end(one.lag)
    short_after = len(one.following) < after + 1 and (end is None or window[1] < end)
    if not short_before and not short_after:
        return None
    return reach[0] * FACTOR if short_before else reach[0], reach[1] * FACTOR if short_after else reach[1]


def _read(backend: Backend, source: Address, windows: dict[int | None, tuple[int, int]], stopping: Callable[[], bool]) -> Iterator[Record]:
    windows = {partition: window for partition, window in windows.items() if window[0] < window[1]}
    if not windows:
        return
    begin, end = _position(windows, 0), _position(windows, 1)
    with backend.look(source, Span(begin, end)) as reader:
        for batch in Reading(reader, stopping=stopping):
            yield from batch.records()


def _position(windows: dict[int | None, tuple[int, int]], end: int) -> Position:
    if None in windows:
        return Number(windows[None][end])
    return PerPartition(tuple((partition, window[end]) for partition, window in windows.items() if partition is not None))


def _number(record: Record) -> tuple[int | None, int]:
    partition, colon, number = record.position.rpartition(":")
    return int(partition) if colon else None, int(number)
