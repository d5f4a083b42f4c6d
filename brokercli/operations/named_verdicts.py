"""Which messages have a verdict, as long as each verdict names its own message."""

from __future__ import annotations

from brokercli.model.receipt import Receipts


class NamedVerdicts:
    """The numbers of the messages that have one. Verdicts come nearly in order: only those ahead of a message without one are kept."""

    def __init__(self) -> None:
        self._first_open = 0
        self._ahead: set[int] = set()
        self._all_named = True

    def take(self, receipts: Receipts) -> None:
        """Take verdicts in. Those of which only the count is known end this: from then on nobody can tell."""
        if not self._all_named:
            return
        numbers = {receipt.index for of_some in (receipts.problems, receipts.confirmations) for receipt in of_some}
        if len(numbers) < len(receipts) or -1 in numbers:
            self._all_named = False
            self._ahead.clear()
            return
        self._ahead |= numbers
        while self._first_open in self._ahead:
            # in this order: a signal that comes between the two leaves a number behind that nobody asks for
            self._first_open += 1
            self._ahead.discard(self._first_open - 1)

    def missing(self, offered: int) -> list[int]:
        """Return the numbers below `offered` that have no verdict; empty where nobody can tell."""
        return [number for number in range(self._first_open, offered) if number not in self._ahead] if self._all_named else []
