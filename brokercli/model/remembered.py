"""What was worked out for an object, for as long as the next ones are the same object: most letters of a kind are alike."""

from __future__ import annotations

from typing import Generic, TypeVar

from brokercli.model.message import Header, bytes_in

Value = TypeVar("Value")
_TRIALS = 500
"""So many values are remembered before it is judged whether that pays; after that it is judged again and again."""
_STILL = 16
"""Where it does not pay one in so many is remembered all the same: what comes later may be alike."""


class Room:
    """What bounds a memory: how many things are in it, and about how many bytes they hold. Without the bytes, a few hundred letters with
    stack traces of a megabyte are half a gigabyte."""

    __slots__ = ("_bytes", "_count", "_most", "_most_bytes")

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._count = self._bytes = 0

    def take(self, size: int) -> bool:
        """Count one more thing that holds `size` bytes. False where it does not go in with the others: they are to be forgotten, and it is
        the first of those that are counted from here on."""
        self._count += 1
        self._bytes += size
        if self._count <= self._most and self._bytes <= self._most_bytes:
            return True
        self._count, self._bytes = 1, size
        return False


class Remembered(Generic[Value]):
    """Values by the identity of the headers that they were worked out for, which are kept alive meanwhile and must not change.

    Identity and not equality: to Python True, 1 and 1.0 are equal, and header values of different types are not. Where there are
    more than `most` headers, or about a megabyte of them, it begins again, so that what is kept is bounded. Where hardly anything is found
    again, hardly anything is remembered: to measure headers costs as much as to work something out for them.
    """

    __slots__ = ("_entries", "_hits", "_puts", "_room")

    def __init__(self, most: int = 256) -> None:
        self._entries: dict[int, tuple[object, Value]] = {}
        self._room = Room(most, 1 << 20)
        self._hits = self._puts = 0

    def get(self, of: tuple[Header, ...]) -> Value | None:
        """Return what was put for these very headers; None where nothing was."""
        entry = self._entries.get(id(of))
        if entry is None or entry[0] is not of:
            return None
        self._hits += 1
        return entry[1]

    def put(self, of: tuple[Header, ...], value: Value) -> Value:
        """Remember a value that holds about as much as the headers, where that pays, and return it."""
        self._puts += 1
        if self._puts > _TRIALS and self._hits < self._puts // 4:
            if self._puts % _STILL:
                return value
            if self._puts > 4 * _TRIALS:
                self._puts //= 2
                self._hits //= 2
        if not self._room.take(bytes_in(of)):
            self._entries.clear()
        self._entries[id(of)] = (of, value)
        return value
