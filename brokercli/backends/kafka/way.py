"""The two ways of moving letters: in transactions, or at least once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.ledger import Letter
from brokercli.model.errors import BrokercliError
from brokercli.model.receipt import Receipt, Receipts, Verdict

NO_ROOM = "so many letters out of order are marked that the committed offset has no room for more"


class Way(ABC):
    """Stores copies and marks letters. What it could not do is in the receipts; `failure` says why nothing more can be done."""

    guarantee: str
    failure: BrokercliError | None

    @property
    def notes(self) -> Sequence[str]:
        """What there is to know of where copies went."""
        return ()

    @abstractmethod
    def move(self, letters: Sequence[Letter], state: State) -> Receipts:
        """Store the copies of some letters and mark them; raises nothing."""

    @abstractmethod
    def record_passed(self, ends: dict[int, int]) -> None:
        """Enter that nothing is stored between each partition's floor and these offsets, and what the broker may forget before long, if it can be
        done; raises nothing."""

    @abstractmethod
    def close(self) -> None:
        """Let go without waiting; raises nothing."""


def give(receipts: Receipts, letters: Sequence[Letter], verdict: Verdict, reason: str) -> None:
    """Enter the same verdict for some letters."""
    for letter in letters:
        receipts.count(Receipt(letter.number, verdict, reason=reason))
