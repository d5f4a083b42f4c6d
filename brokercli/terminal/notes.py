"""What somebody has to tell the user, said once, whenever it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol


class Telling(Protocol):
    """A look, a repair, a publisher."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should be told; grows, at the end or in between."""


class Notes:
    """The notes of one source, each of which is said once. One that is there twice is said twice."""

    def __init__(self, source: Telling, say: Callable[[str], None], *, quiet: bool = False) -> None:
        """`quiet`: nothing is ever said."""
        self._source = source
        self._say = say
        self._quiet = quiet
        self._taken: Counter[str] = Counter()

    def say_new(self) -> None:
        """Say those that have come since the last call."""
        for note in self.take_new():
            self._say(note)

    def take_new(self) -> list[str]:
        """Return them instead, for somebody else to say."""
        if self._quiet:
            return []
        met: Counter[str] = Counter()
        new = []
        for note in self._source.notes:
            met[note] += 1
            if met[note] > self._taken[note]:
                new.append(note)
        self._taken |= met
        return new
