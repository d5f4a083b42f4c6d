"""The letters that a run has read: which are pending still, on their way, or out; and taking them out, by one purge where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from brokercli.backends.nats.letter_counts import LetterCounts
from brokercli.backends.nats.letters import Passed
from brokercli.backends.nats.removing import Removed, Remover


class InHand:
    """Knows letters by their sequences."""

    def __init__(self, remover: Remover, counts: LetterCounts) -> None:
        self._remover = remover
        self._counts = counts
        self._open: set[int] = set()
        """Read last and not out yet."""
        self._out: set[int] = set()
        """Read last, and out."""
        self._moving: set[int] = set()
        """On their way, until they are out or stay."""
        self._read_to = 0
        self._may_purge = True

    def take(self, passed: Passed) -> None:
        """Take in what was read next."""
        # a letter that was left, or a message that is none: what lies behind it cannot be purged with what lies before
        self._may_purge = self._may_purge and self._open <= self._moving and not passed.left_out
        self._open.update(passed.sequences)
        self._out.clear()
        self._read_to = max(self._read_to, passed.sequences[-1]) if passed.sequences else self._read_to

    def are_new(self, sequences: Sequence[int]) -> bool:
        """Whether none of these was given before, nor is here twice."""
        distinct = set(sequences)
        return len(distinct) == len(sequences) and distinct.isdisjoint(self._out) and distinct.isdisjoint(self._moving)

    def repeated(self, sequence: int, seen: set[int]) -> str:
        """Say so where a letter was given before, in this run or among those `seen`; empty where it was not. It is among them then."""
        if sequence in seen or sequence in self._out or sequence in self._moving:
            return "it was given twice"
        seen.add(sequence)
        return ""

    def send_off(self, sequences: Iterable[int]) -> None:
        """Note that these are on their way."""
        self._moving.update(sequences)

    def keep(self, sequence: int) -> None:
        """Note that one stays where it is."""
        self._moving.discard(sequence)

    def begin_to_take_out(self, sequences: Sequence[int]) -> Callable[[], Removed]:
        """Begin to take these out, and return what waits until it is done."""
        left = self._open.difference(sequences)
        below = min(left, default=self._read_to + 1) if self._may_purge else 0
        remove = self._remover.begin(sequences, below)
        return lambda: self._taken_out(sequences, remove())

    def _taken_out(self, sequences: Sequence[int], removed: Removed) -> Removed:
        out = set(sequences).difference(removed.failed)
        self._open -= out
        self._moving.difference_update(sequences)
        self._out |= out
        self._counts.taken += len(out) - len(removed.gone_before)
        return removed
