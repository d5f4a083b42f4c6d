"""Which letters of one partition were handled: runs of offsets, unions of them, and where the first pending one is.

Offsets without a record (transaction markers, aborted and compacted records) count as handled where a handled letter
follows or precedes them: nothing waits there, and the floor may pass them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from brokercli.backends.dead_letters import State

_STATES = (State.REDRIVEN, State.DROPPED)
_WHAT = {State.REDRIVEN: 0, State.DROPPED: 1}
_BELOW = (State.HANDLED, State.REDRIVEN, State.DROPPED, State.HANDLED)


class Run(NamedTuple):
    """Handled offsets from `start` up to `stop`, not included, all of the same fate."""

    start: int
    stop: int
    dropped: bool


_start, _stop = itemgetter(0), itemgetter(1)


class HandledSet:
    """What was handled in one partition. Never changes: `handled` and its like return another one.

    Below `base` everything is handled, and only `below` says how (bit 0: some redriven, bit 1: some dropped; none of them:
    not known). From `base` on the runs say it, one by one. `redriven` and `dropped` count letters, all there ever were.
    """

    __slots__ = ("_starts", "base", "below", "dropped", "floor", "redriven", "runs")

    def __init__(self, base: int = 0, runs: Sequence[Run] = (), below: int = 0, redriven: int = 0, dropped: int = 0) -> None:
        """`runs` ascend, do not overlap, and begin at `base` or later; neighbours of the same fate are one run."""
        self.base = base
        self.runs = runs
        self.below = below
        self.redriven = redriven
        self.dropped = dropped
        self.floor = base
        """The first offset that is not handled."""
        for run in runs:
            if run[0] != self.floor:
                break
            self.floor = run[1]
        self._starts: list[int] | None = None

    @property
    def end(self) -> int:
        """One past the last offset that is handled."""
        return self.runs[-1][1] if self.runs else self.base

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HandledSet) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self.base, self.below, self.redriven, self.dropped, len(self.runs)))

    def __repr__(self) -> str:
        return f"HandledSet{self._parts()}"

    def _parts(self) -> tuple[object, ...]:
        return self.base, [tuple(run) for run in self.runs], self.below, self.redriven, self.dropped

    def state(self, offset: int) -> State:
        """Say what became of the letter at an offset."""
        if offset < self.base:
            return _BELOW[self.below]
        if not self.runs or offset >= self.runs[-1][1]:
            return State.PENDING
        if self._starts is None:
            self._starts = list(map(_start, self.runs))
        at = bisect_right(self._starts, offset) - 1
        if at < 0 or offset >= self.runs[at][1]:
            return State.PENDING
        return _STATES[self.runs[at][2]]

    def handled_between(self, low: int, high: int) -> int:
        """Count the handled offsets from `low` up to `high`, not included."""
        count = max(0, min(self.base, high) - low)
        return count + sum(max(0, min(stop, high) - max(start, low)) for start, stop, _ in self.runs)

    def handled(self, runs: Sequence[tuple[int, int]], state: State, letters: int) -> HandledSet:
        """Return the union with ascending runs, which hold so many letters. Where both have a run, the one that begins first says its fate."""
        what = bool(_WHAT[state])
        redriven, dropped = (self.redriven, self.dropped + letters) if what else (self.redriven + letters, self.dropped)
        if not runs:
            return HandledSet(self.base, self.runs, self.below, redriven, dropped)
        # only what lies near the new runs is put together anew
        first = bisect_left(self.runs, max(self.base, runs[0][0]), key=_stop)
        last = bisect_right(self.runs, runs[-1][1], key=_start)
        near = sorted([*self.runs[first:last], *(Run(max(start, self.base), stop, what) for start, stop in runs)], key=_start)
        return HandledSet(self.base, [*self.runs[:first], *_joined(near), *self.runs[last:]], self.below, redriven, dropped)

    def from_offset(self, low: int) -> HandledSet:
        """Return the set without what lies below `low`, where nothing is stored any more."""
        if low <= self.base:
            return self
        return HandledSet(low, [Run(max(run[0], low), run[1], run[2]) for run in self.runs if run[1] > low], 0, self.redriven, self.dropped)

    def up_to(self, high: int) -> HandledSet:
        """Return the set without what lies at `high` and above, which is not stored."""
        runs = [Run(run[0], min(run[1], high), run[2]) for run in self.runs if run[0] < high]
        return HandledSet(min(self.base, high), runs, self.below, self.redriven, self.dropped)

    def without_history(self) -> HandledSet:
        """Return the set that no longer says, one by one, what became of the letters below the floor."""
        below, kept = self.below, []
        for run in self.runs:
            if run[1] <= self.floor:
                below |= 2 if run[2] else 1
            else:
                kept.append(run)
        return HandledSet(self.floor, kept, below, self.redriven, self.dropped)


def _joined(runs: Iterable[Run]) -> list[Run]:
    """Put neighbours of the same fate together; of two that overlap the first keeps what is shared."""
    joined: list[Run] = []
    for run in runs:
        start, stop, dropped = joined[-1] if joined else (-1, -1, False)
        if run[0] > stop:
            joined.append(run)
        elif run[1] <= stop:
            continue
        elif run[2] == dropped:
            joined[-1] = Run(start, run[1], dropped)
        else:
            joined.append(Run(stop, run[1], run[2]))
    return joined
