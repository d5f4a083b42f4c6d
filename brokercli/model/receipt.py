"""The broker's verdicts on what was published."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

NAMELESS = "not all of those it went with are stored, and which of them are is not known"
"""Why a message is in doubt where a verdict cannot be named that may be its own (`Receipt.index`)."""


class Verdict(StrEnum):
    """What is known of one published message."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    """Certainly not stored."""
    UNKNOWN = "unknown"
    """Sent, and no verdict came: it may be stored."""


@dataclass(slots=True)
class Receipt:
    """One message's verdict. `index` counts the messages given to the publisher, from 0; -1 where it cannot be named."""

    index: int
    verdict: Verdict
    position: str = ""
    """Where it was stored (`3:1200`, `87`), where the broker says."""
    reason: str = ""
    duplicate: bool = False
    """The broker confirmed it as one it already had, and stored nothing."""


@dataclass(slots=True)
class Receipts:
    """Verdicts since the last call: counts, and one by one only what is not plainly confirmed.

    `problems` holds every refused, unknown and duplicate message; `confirmations` only when positions were asked for.
    """

    confirmed: int = 0
    refused: int = 0
    unknown: int = 0
    duplicates: int = 0
    """How many of the confirmed were duplicates."""
    problems: list[Receipt] = field(default_factory=list)
    confirmations: list[Receipt] = field(default_factory=list)

    def __len__(self) -> int:
        return self.confirmed + self.refused + self.unknown

    def add(self, other: Receipts) -> None:
        """Take the other's verdicts into this."""
        self.confirmed += other.confirmed
        self.refused += other.refused
        self.unknown += other.unknown
        self.duplicates += other.duplicates
        self.problems += other.problems
        self.confirmations += other.confirmations

    def tell_apart(self, count: int, first: int = 0) -> bool:
        """Whether these are the verdicts of just so many messages, from number `first` on, each of them named where it is not plainly confirmed. Where
        not, one that cannot be named may be that of any of them."""
        return len(self) == count and all(first <= receipt.index < first + count for receipt in self.problems)

    def count(self, receipt: Receipt) -> None:
        """Take one verdict in; a plain confirmation is counted only."""
        if receipt.verdict is Verdict.CONFIRMED:
            self.confirmed += 1
            self.duplicates += receipt.duplicate
            if receipt.duplicate:
                self.problems.append(receipt)
        else:
            if receipt.verdict is Verdict.REFUSED:
                self.refused += 1
            else:
                self.unknown += 1
            self.problems.append(receipt)


@dataclass(slots=True)
class Account:
    """What became of everything that was read: read = confirmed + refused + unknown + skipped, always."""

    read: int = 0
    confirmed: int = 0
    refused: int = 0
    unknown: int = 0
    skipped: int = 0

    def take(self, receipts: Receipts) -> None:
        """Enter verdicts."""
        self.confirmed += receipts.confirmed
        self.refused += receipts.refused
        self.unknown += receipts.unknown

    @property
    def open(self) -> int:
        """How many are read and have no verdict yet."""
        return self.read - self.confirmed - self.refused - self.unknown - self.skipped
