"""A bounded hand-over from a connection's own thread to the thread that reads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sized
from typing import Generic, TypeVar

Item = TypeVar("Item")
Some = TypeVar("Some", bound=Sized)


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
        taken = self._take(timeout, lambda first, further: False)
        return taken[0] if taken else None

    def take_together(self: Handover[Some], timeout: float, most: int) -> list[Some]:
        """Return the oldest item, and those of its type that wait behind it by now, until they have `most` things in them or are half of what
        there is room for. What comes meanwhile is left for the next call: with large things there would be no end to what is taken.
        Otherwise as `take`, empty where that returns None."""
        room = most

        def goes_along(before: Some, further: Some) -> bool:
            nonlocal room
            room -= len(before)
            return room > 0 and type(further) is type(before)

        return self._take(timeout, goes_along)

    def _take(self, timeout: float, goes_along: Callable[[Item, Item], bool]) -> list[Item]:
        with self._changed:
            if not self._items and not self._ended and self._error is None:
                self._changed.wait(timeout)
            if not self._items:
                if self._error is not None:
                    raise self._error
                return []
            taken: list[Item] = []
            room = self._capacity // 2
            while self._items and (not taken or (self._items[0][1] <= room and goes_along(taken[-1], self._items[0][0]))):
                item, size = self._items.popleft()
                taken.append(item)
                room -= size
                self._held -= size
            resume = self._paused and self._held <= self._capacity // 2
            self._paused = self._paused and not resume
        if resume:
            self._resume()
        return taken

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
