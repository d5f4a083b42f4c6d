"""Who reads what, and how far behind: consumer groups, durable consumers, the consumers of queues."""

from __future__ import annotations

from dataclasses import dataclass, field

from brokercli.model.description import Value


@dataclass(frozen=True, slots=True)
class Consumption:
    """One consumer as `consumers ls` shows it. A number the broker does not say is None."""

    name: str
    """Kafka: the group; JetStream: `STREAM/NAME`; RabbitMQ: the queue that is consumed."""
    kind: str
    """`classic group`, `consumer group`, `share group`, `durable consumer`, `ephemeral consumer`, `queue`."""
    state: str = ""
    """In the broker's words: Stable, Empty, paused, …"""
    members: int | None = None
    lag: int | None = None
    """Stored messages that were not finished yet, in all: not delivered plus delivered and not acknowledged."""
    in_hand: int | None = None
    """Of these: delivered, not acknowledged."""
    reads: tuple[str, ...] = ()
    """Addresses it reads."""
    facts: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one consumer is on one source, or one partition of it."""

    source: str
    """Address (`topic:orders`)."""
    partition: int | None = None
    position: int | None = None
    """The next number it would read: the committed offset, one past the acknowledged sequence. None: none yet, or not numbered."""
    end: int | None = None
    """One past the newest number there is."""
    start: int | None = None
    """The oldest number that is still stored: a position below it has lost records. None: not known, or not numbered."""
    lag: int | None = None
    in_hand: int | None = None
    member: str = ""
    """Who reads it now; empty: nobody."""
    next: int | None = None
    """The number of the record it gets next, where that is not the first from its position on: a filter leaves out others."""
    at_least: bool = False
    """Its lag may be more: what is in hand is not told."""
    readable: int | None = None
    """One past the newest number that can be looked at, where that is less than `end`: the rest is written and not committed yet."""

    @property
    def is_untold(self) -> bool:
        """Whether something may wait there and nobody can tell how much, or not whole."""
        return self.at_least or (self.lag is None and (self.end is None or self.end > (self.start or 0)))


@dataclass(frozen=True, slots=True)
class SeekStep:
    """One partition (or the whole source) of a seek: numbers of the next record to read."""

    source: str
    partition: int | None
    have: int | None
    want: int
    """Where it will go on; `end` included, never one that is not stored."""
    skipped: int | None = None
    """Positive: records that will not be read; negative: records that will be read again."""


@dataclass(frozen=True, slots=True)
class Seek:
    """A planned seek of one consumer."""

    name: str
    steps: tuple[SeekStep, ...]
    active: tuple[str, ...] = ()
    """Members at work now, with where they run: while there is one, the seek is refused."""
    remarks: tuple[str, ...] = ()
    handle: object = None
    """The backend's own, for `seek`."""
