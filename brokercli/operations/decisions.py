"""What is to become of dead letters: the rules, and what they decide on one letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from brokercli.dialects import stamp, to_message
from brokercli.dialects.reading import NO_HOME
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.dead_letter import UNKNOWN, DeadLetter
from brokercli.model.message import Message, Place


@dataclass(slots=True, eq=False)
class Decision:
    """What is to become of one letter: `message` goes to `destination`, it is dropped (no destination), or it is left for a reason.
    Compared by identity."""

    letter: DeadLetter
    destination: Address | None = None
    message: Message | None = None
    left: str = ""
    original: Place | None = None
    """Where the message lies that the letter points at, where `message` is a copy of that."""
    refused: bool = False
    """It is left although it is one that was meant to go: it may not, or what was tried with it failed."""


class Rules(Protocol):
    """What decides on letters."""

    def decide(self, letter: DeadLetter, at: int) -> Decision:
        """Decide on one letter; `at` (nanoseconds since 1970) is stamped on what goes back."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Every letter goes for good; with `unrecognised` also what does not say that it is one."""

    unrecognised: bool = False

    def decide(self, letter: DeadLetter, at: int) -> Decision:
        """Drop it."""
        return Decision(letter, left="" if self.unrecognised else _doubt(letter))


@dataclass(frozen=True, slots=True)
class Park:
    """Every letter goes to one place with everything it carries; with `unrecognised` also what does not say that it is one."""

    to: Address
    unrecognised: bool = False

    def decide(self, letter: DeadLetter, at: int) -> Decision:
        """Move it as it is."""
        left = "" if self.unrecognised else _doubt(letter)
        return Decision(letter, left=left) if left else Decision(letter, self.to, letter.record.message)


@dataclass(frozen=True, slots=True)
class Redrive:
    """Every letter goes home. `to` overrides every letter's home; `park` is where letters go that were put back too often."""

    to: Address | None = None
    max_redrives: int = 3
    park: Address | None = None
    source: Address | None = None
    """The destination they lie in: never a home."""

    def decide(self, letter: DeadLetter, at: int) -> Decision:
        """Decide on one letter; `at` (nanoseconds since 1970) is stamped on what goes back."""
        if letter.unread:
            return Decision(letter, left=f"its original cannot be read now: {letter.unread}", refused=True)
        if not letter.complete:
            return Decision(letter, left="only points at its original, which is gone")
        if letter.redrives is None or letter.redrives >= self.max_redrives:
            why = ("its counter of redrives cannot be believed" if letter.redrives is None else
                   f"put back {amount(letter.redrives, 'time')} already (--max-redrives)")
            if self.park is None:
                return Decision(letter, left=why, refused=True)
            return Decision(letter, self.park, letter.record.message)
        home = self.to or (letter.home.address if letter.home else None)
        if home is None:
            return Decision(letter, left=_homeless(letter))
        if (self.source is not None and self.source.kind != "file" and home.name == self.source.name
                and home.kind in (self.source.kind, "queue", "stream")):
            return Decision(letter, left="its origin is where it lies now")
        return Decision(letter, home, stamp(to_message(letter), letter, at), original=letter.pointer)


def _homeless(letter: DeadLetter) -> str:
    if any(NO_HOME in remark for remark in letter.remarks):
        return "the origin it names is none it can go to (dlq show says why; --to says where it goes)"
    why = "nothing in it says that it is a dead letter" if letter.dialect == UNKNOWN else "nobody wrote down where it came from"
    return f"{why} (--to says where it goes)"


def _doubt(letter: DeadLetter) -> str:
    return "nothing in it says that it is a dead letter (--unrecognised takes it all the same)" if letter.dialect == UNKNOWN else ""
