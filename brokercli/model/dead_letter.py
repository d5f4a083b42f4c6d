"""A dead letter: a record, why it died, where it came from, how often it was tried, and what goes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from brokercli.model.address import Address
from brokercli.model.message import Message, Place, Record

UNKNOWN = "unknown"
"""The dialect of a record in which nobody wrote that it died, or why."""
KEPT_DEATHS = "x-brokercli-deaths"
"""The header of a letter that was put back among its like by brokercli, with its deaths where its broker would write over them: a table
of the headers that tell them. None of the message's own."""


class Confidence(StrEnum):
    """How sure it is that a letter came from there."""

    CERTAIN = "certain"
    """Whoever wrote the letter wrote this down as its origin."""
    LIKELY = "likely"
    """Follows from what was written, by a rule that has exceptions; `derived` says which rule."""
    GUESS = "guess"
    """One of several, or a way back that is not the way it came; somebody should look."""


@dataclass(frozen=True, slots=True)
class Home:
    """One place a letter may have come from. Its name is safe to print and one its broker can have."""

    address: Address
    """Of the kind the letter's broker has: `topic:`, `subject:`, `queue:`, or `exchange:` with the routing key as route."""
    derived: str
    """What it was read from, for the plan: `kafka_dlt-original-topic`, `x-first-death-queue`."""
    confidence: Confidence = Confidence.CERTAIN
    place: Place = field(default_factory=dict)
    """More coordinates, in the broker's words: partition, offset / stream, sequence / exchange, routing_key."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One station on a letter's way, as it was written down; its name is untrusted text."""

    where: str
    reason: str = ""
    place: Place = field(default_factory=dict)
    time: int | None = None
    """Nanoseconds since 1970, of the first time it was there."""
    count: int | None = None


@dataclass(slots=True)
class DeadLetter:
    """What one record says about a death. Every text in it is untrusted; a text that was not written is empty.

    `brokercli.dialects.recognise` makes it, `brokercli.dialects.to_message` turns it into what goes back.
    """

    record: Record
    dialect: str = UNKNOWN
    reason: str = ""
    """In one or two words, for grouping: the broker's own (`rejected`, `expired`, `delivery_limit`) or the framework's."""
    exception: str = ""
    """The class of the failure itself, not of the framework's wrapper around it."""
    exception_message: str = ""
    stack_trace: str = ""
    homes: tuple[Home, ...] = ()
    """Where it may have come from, the best first; empty: nowhere can be told, and redriving needs `--to`."""
    consumer: str = ""
    """The code that failed: endpoint, handler, task, durable consumer."""
    group: str = ""
    """The consumer group or share group."""
    connector: str = ""
    attempts: int | None = None
    """How often it was tried, as it was written. None where it was not, or where the number is not to be believed."""
    first_death: int | None = None
    """Nanoseconds since 1970; None where it was not written down."""
    last_death: int | None = None
    original_time: int | None = None
    """The time of the original record, nanoseconds since 1970."""
    journey: tuple[Hop, ...] = ()
    """Its stations, oldest first, the destination it lies in now left out."""
    pointer: Place | None = None
    """The original has to be fetched from there: topic, partition, offset / stream, sequence."""
    original: Record | None = None
    """The record that lies there, once it was fetched."""
    fetched: bool = False
    """`unwrapped` is the original that `pointer` points at."""
    unread: str = ""
    """Why that original, which may be stored, cannot be read now; empty where nothing of the kind keeps from it."""
    unwrapped: Message | None = None
    """The original, where it is not the record's own message less what was added."""
    redrives: int | None = 0
    """How often brokercli has put it back; None: it carries a counter that is not to be believed."""
    stripped: tuple[str, ...] = ()
    """Names of the headers that do not go back, as they are spelled in the original: the dialect's, the broker's, ours."""
    stripped_properties: tuple[str, ...] = ()
    """The same of AMQP properties."""
    lost: tuple[str, ...] = ()
    """What cannot be put back as it was, in words."""
    remarks: tuple[str, ...] = ()
    """What was odd about it, in words: numbers not believed, origins that no broker can have."""

    @property
    def home(self) -> Home | None:
        """The best of its homes."""
        return self.homes[0] if self.homes else None

    @property
    def died(self) -> int | None:
        """When it last died, as exactly as anybody wrote it down: else its first death, else the record's own time."""
        return next((time for time in (self.last_death, self.first_death, self.record.time) if time is not None), None)

    @property
    def complete(self) -> bool:
        """Whether what goes back is at hand; False for a pointer whose original has not been fetched."""
        return self.pointer is None or self.fetched
