"""A look at letters that are in memory, some of which were handled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import LetterReader, State
from brokercli.model.message import Record


class Looked(LetterReader):
    """Hands out batches as they are; `handled` says of which letters somebody was here before."""

    side_effects = "none"

    def __init__(self, batches: Iterable[Batch], handled: Callable[[Record], bool] = lambda record: False) -> None:
        self._rest = iter(batches)
        self._next = next(self._rest, None)
        self._handled = handled
        self.read_batches = 0

    def read(self, timeout: float) -> Batch | None:
        self.read_batches += 1
        batch, self._next = self._next, next(self._rest, None)
        return batch

    @property
    def finished(self) -> bool:
        return self._next is None

    def close(self) -> None:
        """Nothing was opened."""

    def state(self, record: Record) -> State:
        return State.REDRIVEN if self._handled(record) else State.PENDING

    def states(self, batch: Batch) -> Sequence[State]:
        return [self.state(record) for record in batch.records()]
