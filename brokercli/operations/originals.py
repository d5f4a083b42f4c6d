"""The messages that letters only point at: fetched as many at once as there is memory for."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.contract import Backend
from brokercli.dialects import attach_original, original_is_gone
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import Failed
from brokercli.model.message import Record, size_of
from brokercli.operations.filed_letters import FiledRecord

_FIRST, _MOST, _MORE = 16, 1000, 4
_BYTES = 8 << 20


class Originals:
    """Fetches originals for one run. A letter says nothing of how large its original is: the first few that are fetched do, and so many
    are fetched at once from there on; where they are small, every time more."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.at_once = _FIRST
        """How many are to be fetched next."""

    def attach(self, pointers: Sequence[DeadLetter]) -> None:
        """Complete letters that only point at their message; one whose message is gone says so."""
        originals = self._backend.fetch([letter.pointer or {} for letter in pointers])
        for letter, original in zip(pointers, originals, strict=True):
            filed = letter.record.original if isinstance(letter.record, FiledRecord) else None
            if not any(_attached(letter, found) for found in (original, filed) if found is not None):
                original_is_gone(letter)
        largest = max((size_of(original.message) for original in originals if original is not None), default=0)
        self.at_once = max(1, min(_MOST, self.at_once * _MORE, _BYTES // max(1, largest)))


def _attached(letter: DeadLetter, original: Record) -> bool:
    """Complete a letter with its original; where what was fetched is none, say so in the letter and return False."""
    try:
        attach_original(letter, original)
    except Failed as problem:
        letter.remarks += (str(problem),)
        return False
    return True
