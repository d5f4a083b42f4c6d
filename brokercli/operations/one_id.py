"""An id given for every message of a run, where the broker stores one message of an id: the second one would be taken for the first sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.model.errors import InputRefused
from brokercli.model.message import Message
from brokercli.operations.publishing import Source


@dataclass(slots=True)
class OneId:
    """A source of which one message at most has the id that was given for all; bare bodies all have it."""

    source: Source
    identity: str
    first: int = 1
    """Number of the first message of the last `read`, from 1."""
    _holder: int = 0
    """Number of the message that has it; 0 while none does."""
    _read: Sequence[bytes] | Sequence[Message] = ()
    _taken: int = 0
    """How many of those that were read are handed on, or passed over."""

    def read(self, timeout: float) -> Sequence[bytes] | Sequence[Message] | None:
        """Return the next messages; otherwise as the source's `read`. Raises InputRefused for one that would have the id of another, which is
        passed over by the next call."""
        if self._taken == len(self._read):
            found = self.source.read(timeout)
            if not found:
                return found
            self._read, self._taken = found, 0
        begin, number = self._taken, self.source.first + self._taken
        for place in range(begin, len(self._read)):
            message = self._read[place]
            if isinstance(message, bytes) or message.id == self.identity:
                if self._holder:
                    break
                self._holder = self.source.first + place
        else:
            place = len(self._read)
        if place == begin:
            self._taken += 1
            raise InputRefused(f"message {number} would have the id {self.identity[:200]} of message {self._holder}: of those the broker stores one", number,
                               hint="an id is for one message: leave --id out, or give each its own with --input json")
        self.first, self._taken = number, place
        return self._read[begin:place]
