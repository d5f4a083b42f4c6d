"""What was worked out for an object, for as long as the next ones are the same object: most letters of a kind are alike."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Values by the identity of what they were worked out for, which is kept alive meanwhile and must not change.

    Identity and not equality: to Python True, 1 and 1.0 are equal, and header values of different types are not. Where there are
    more than `most` objects it begins again, so that what is kept is bounded.
    """

    __slots__ = ("_entries", "_most")

    def __init__(self, most: int = 256) -> None:
        self._entries: dict[int, tuple[object, Value]] = {}
        self._most = most

    def get(self, of: object) -> Value | None:
        """Return what was put for this very object; None where nothing was."""
        entry = self._entries.get(id(of))
        return entry[1] if entry is not None and entry[0] is of else None

    def put(self, of: object, value: Value) -> Value:
        """Remember a value, and return it."""
        if len(self._entries) >= self._most:
            self._entries.clear()
        self._entries[id(of)] = (of, value)
        return value
