"""What a broker can do, as data: askable without connecting, with a reason for every no."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Capability(StrEnum):
    """One ability. Each resource of each broker answers to every one of them."""

    PUBLISH = "publish"
    """Publish with the broker's confirmation that it has stored the message."""
    FIRE_AND_FORGET = "publish without confirmation"
    """Publish to whoever listens now, stored or not."""
    TOMBSTONE = "null bodies"
    """Tell a null body from an empty one."""
    KEY = "keys"
    """Carry a key of its own beside headers and body."""
    PARTITION = "partitions"
    """Publish to, and read from, a partition that is named."""
    MESSAGE_TIME = "message time"
    """Publish with a time that readers see as the message's own."""
    DEDUPLICATE = "duplicate detection"
    """Refuse to store a second message with the same id, and say so."""
    LOOK_NEW = "tail"
    """Read new messages and leave the broker as it was found."""
    LOOK_STORED = "replay"
    """Read stored messages and leave the broker as it was found."""
    SEEK_NUMBER = "replay from a number"
    """Start or end at an offset or sequence."""
    SEEK_TIME = "replay from a time"
    """Start or end at a moment."""
    SEEK_LAST = "replay the last N"
    """Start N records before the end."""
    LIST = "list"
    """List what there is by name."""
    DESCRIBE = "describe"
    """Explain one of them."""
    LOOK_LETTERS = "dead letters"
    """Find dead letters in it and look at them, leaving them where and as they are."""
    REDRIVE = "redrive"
    """Put dead letters back where they came from, and take them out of the pending ones once that is confirmed."""
    DECLARE = "declare"
    """Plan and make it as declared, change what can be changed, remove it."""
    CONSUMERS = "consumers"
    """Say who consumes it and how far behind they are."""
    SEEK_CONSUMERS = "seek consumers"
    """Move its consumers to another position."""
    PAUSE_CONSUMERS = "pause consumers"
    """Stop delivering to its consumers for a while."""
    FLOW = "graph"
    """Draw where its messages come from and go to."""


@dataclass(frozen=True, slots=True)
class Support:
    """How far a broker supports a capability, and why not further. True where it does."""

    level: Literal["full", "some", "not_yet", "never"]
    note: str = ""

    def __bool__(self) -> bool:
        return self.level in ("full", "some")

    @staticmethod
    def full() -> Support:
        """Works, always."""
        return Support("full")

    @staticmethod
    def some(note: str) -> Support:
        """Works within the limits the note says."""
        return Support("some", note)

    @staticmethod
    def not_yet(reason: str) -> Support:
        """The broker could; brokercli does not."""
        return Support("not_yet", reason)

    @staticmethod
    def never(reason: str) -> Support:
        """The broker cannot."""
        return Support("never", reason)


SupportTable = dict[str, dict[Capability, Support]]
"""Kind of resource (`topic`, `quorum queue`, `work-queue stream`, …) → capability → support; complete for each kind."""


def check_complete(table: SupportTable) -> None:
    """Raise ValueError when a kind of resource leaves a capability unanswered, or a no without its reason."""
    for kind, answers in table.items():
        missing = [capability.name for capability in Capability if capability not in answers]
        if missing:
            raise ValueError(f"{kind} does not answer to {', '.join(missing)}")
        for capability, support in answers.items():
            if support.level != "full" and not support.note:
                raise ValueError(f"{kind} answers to {capability.name} without a reason")
