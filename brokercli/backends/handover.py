"""A bounded hand-over from a connection's own thread to the thread that reads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """Items go in from the connection's thread, which never waits, and come out in order on the reader's thread.

    `capacity` is in whatever unit `offer` is given sizes in (bytes, messages). When it is reached `offer` says so, the
    connection stops asking its broker for more, and `resume` is called from the reader's thread once half is free.
    """

    def __init__(self, capacity: int, resume: Callable[[], None]) -> None:
        self._capacity = capacity
        self._resume = resume
        self._items: deque[tuple[Item, int]] = deque()
        self._held = 0
        self._paused = False
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def offer(self, item: Item, size: int) -> bool:
        """Hand an item over, always; return False when the connection should stop reading until `resume`."""
        with self._changed:
            self._items.append((item, size))
            self._held += size
            self._paused = self._paused or self._held >= self._capacity
            self._changed.notify()
            return not self._paused

    def take(self, timeout: float) -> Item | None:
        """Return the oldest item, or None after `timeout` seconds or at the end. Raises the error of `fail` once
        everything before it has been taken."""
        with self._changed:
            if not self._items and not self._ended and self._error is None:
                self._changed.wait(timeout)
            if not self._items:
                if self._error is not None:
                    raise self._error
                return None
            item, size = self._items.popleft()
            self._held -= size
            resume = self._paused and self._held <= self._capacity // 2
            self._paused = self._paused and not resume
        if resume:
            self._resume()
        return item

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def fail(self, error: BaseException) -> None:
        """Say that nothing more will come, and why."""
        with self._changed:
            self._error = error
            self._changed.notify()

    @property
    def drained(self) -> bool:
        """Whether the end was said and everything has been taken."""
        with self._changed:
            return self._ended and not self._items
