"""How long the questions of one look are waited for, where somebody who is asked may be mute."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

Answer = TypeVar("Answer")

_NEARLY = 0.9
_SHARE = 0.2


class Patience:
    """Waits `seconds` for each answer, until one question has taken all of them. Somebody is mute then, and would be waited for again with
    each question after it; those who do answer need a part of the time, also where they are busy."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._briefly = seconds * _SHARE

    def ask(self, question: Callable[[float], Answer]) -> Answer:
        """Ask a question, which gets the seconds that it may take."""
        seconds, began = self.seconds, monotonic()
        try:
            return question(seconds)
        finally:
            if monotonic() - began >= _NEARLY * seconds:
                self.seconds = self._briefly
