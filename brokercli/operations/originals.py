"""The messages that letters only point at: fetched as many at once as there is memory for."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.contract import Backend
from brokercli.dialects import attach_original, original_is_gone, original_is_unread
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import Failed
from brokercli.model.message import Record, Unread, size_of
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
        """Complete letters that only point at their message; one whose message is gone says so. A file that has it as well is believed
        first: it may be put back on another broker, where another message lies in that place."""
        missing = [letter for letter in pointers
                   if not (isinstance(letter.record, FiledRecord) and letter.record.original is not None and _attached(letter, letter.record.original))]
        if not missing:
            return
        originals = self._backend.fetch([letter.pointer or {} for letter in missing])
        for letter, original in zip(missing, originals, strict=True):
            if isinstance(original, Unread):
                original_is_unread(letter, original.why)
            elif original is None or not _attached(letter, original):
                original_is_gone(letter)
        largest = max((size_of(original.message) for original in originals if isinstance(original, Record)), default=0)
        self.at_once = max(1, min(_MOST, self.at_once * _MORE, _BYTES // max(1, largest)))


def _attached(letter: DeadLetter, original: Record) -> bool:
    """Complete a letter with its original; where what was fetched is none, say so in the letter and return False."""
    try:
        attach_original(letter, original)
    except Failed as problem:
        letter.remarks += (str(problem),)
        return False
    return True
