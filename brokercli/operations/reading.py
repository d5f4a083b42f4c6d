"""Read from a look until it ends, is enough, or is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from brokercli.backends.contract import Batch, Reader
from brokercli.operations.filter import Filter, left

SLICE = 0.1
"""Seconds one wait may last before the stop flag is looked at again."""


class Ended(StrEnum):
    """Why a reading ended."""

    AT_THE_END = "end"
    ENOUGH = "limit"
    IDLE = "idle"
    OUT_OF_TIME = "timeout"
    STOPPED = "stopped"


class Reading:
    """An iteration over non-empty batches; `ended` says afterwards why it stopped.

    `limit` counts records that match, and what lies behind the last of them counts as not read; `idle_timeout` and `timeout` are seconds
    without a record and in all. `waiting` is called again and again while nothing comes, for whatever the reader has to tell of that.
    """

    def __init__(self, reader: Reader, *, narrowing: Filter | None = None, limit: int | None = None, idle_timeout: float | None = None,
                 timeout: float | None = None, stopping: Callable[[], bool] = lambda: False, waiting: Callable[[], None] = lambda: None) -> None:
        self._reader = reader
        self._narrowing = narrowing
        self._limit = limit
        self._idle_timeout = idle_timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._stopping = stopping
        self._waiting = waiting
        self.read = 0
        self.matched = 0
        self.ended: Ended | None = None

    @property
    def out_of_time(self) -> bool:
        """Whether the time given is over; for whoever takes long over a batch."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def __iter__(self) -> Iterator[Batch]:
        if self._limit == 0:
            self.ended = Ended.ENOUGH
            return
        last_seen = time.monotonic()
        while True:
            if self._stopping():
                self.ended = Ended.STOPPED
                return
            batch = self._reader.read(SLICE)
            if batch is None or not len(batch):
                if self._reader.finished:
                    self.ended = Ended.AT_THE_END
                    return
                self._waiting()
                now = time.monotonic()
                if self._idle_timeout is not None and now - last_seen >= self._idle_timeout:
                    self.ended = Ended.IDLE
                    return
            else:
                kept: Sequence[int] = range(len(batch)) if self._narrowing is None else self._narrowing.indices(batch)
                seen = len(batch)
                if self._limit is not None and self.matched + len(kept) >= self._limit:
                    kept = kept[:self._limit - self.matched]
                    seen = kept[-1] + 1
                self.read += seen
                if kept:
                    self.matched += len(kept)
                    yield left(batch, kept)
                last_seen = time.monotonic()
                if self.matched == self._limit:
                    self.ended = Ended.ENOUGH
                    return
            if self.out_of_time:
                self.ended = Ended.OUT_OF_TIME
                return


def batches(reader: Reader, stopping: Callable[[], bool]) -> Iterator[Batch]:
    """Yield non-empty batches until the end, or until it is stopped."""
    while not stopping():
        batch = reader.read(SLICE)
        if batch is not None and len(batch):
            yield batch
        elif reader.finished:
            return
