"""Dead letters of which nobody wrote anything down: delivered, no longer pending, and still stored.

A work-queue or interest stream removes a message once its consumers have acknowledged it. One that was delivered as often
as its consumer allows is let go of and stays: no longer pending, never delivered again, in nobody's count (verified on
nats-server 2.15.1). What a consumer says tells such messages from those that wait, and from those in progress as far as
that can be told: above a consumer's acknowledgement floor, and while some of its messages are pending, it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from brokercli.backends.nats import WORK_QUEUE_STREAM
from brokercli.backends.nats.fetch import fetch_next
from brokercli.backends.nats.listing import SUBJECTS_ASKED_FOR, has_too_many_subjects, subject_counts
from brokercli.backends.nats.not_letters import is_no_letter, may_hold_others, publishes_later
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import covers
from brokercli.model.position import parse_time

JUST_NOW = 1_000_000_000


class Standing(Enum):
    """What becomes of a stored message."""

    WORK = "work"
    """Some consumer will get it, or none is there yet."""
    PERHAPS = "perhaps in progress"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Consumer:
    """What one consumer said of itself."""

    name: str
    filters: tuple[str, ...]
    """Empty: every subject."""
    delivered: int
    """The highest sequence it has delivered."""
    floor: int
    """Everything up to it is acknowledged, or let go of."""
    in_progress: int
    waiting: int
    max_deliver: int
    age: int
    """How long it has been there, in nanoseconds."""
    just_acknowledged: bool
    """Whether it took an acknowledgement a moment ago, whose message the stream may not have removed yet."""

    def wants(self, subject: str) -> bool:
        """Whether messages on that subject are for it."""
        return not self.filters or any(covers(pattern, subject) for pattern in self.filters)

    def standing(self, sequence: int) -> Standing:
        """Judge a stored message of its."""
        if sequence > self.delivered:
            return Standing.WORK
        return Standing.DEAD if sequence <= self.floor or not self.in_progress else Standing.PERHAPS


def consumer_of(info: Json) -> Consumer:
    """Read one entry of CONSUMER.LIST."""
    config = info["config"]
    filters = tuple(config.get("filter_subjects") or ()) or ((config["filter_subject"],) if config.get("filter_subject") else ())
    return Consumer(str(info["name"]), filters, int(info["delivered"]["stream_seq"]), int(info["ack_floor"]["stream_seq"]),
                    int(info["num_ack_pending"]), int(info["num_pending"]), int(config.get("max_deliver", -1)), _age(info), _just_acknowledged(info))


def _age(info: Json) -> int:
    return parse_time(str(info["ts"])) - parse_time(str(info["created"])) if "ts" in info else 0


def _just_acknowledged(info: Json) -> bool:
    last, now = info["ack_floor"].get("last_active"), info.get("ts")
    return last is not None and (now is None or parse_time(str(now)) - parse_time(str(last)) < JUST_NOW)


@dataclass(frozen=True, slots=True)
class Consumers:
    """The consumers of one work-queue or interest stream, at one moment."""

    info: Json
    """Of the stream, asked for after them."""
    all: tuple[Consumer, ...]

    @property
    def bound(self) -> int:
        """Return the highest sequence that can be a dead letter's."""
        return max((consumer.delivered for consumer in self.all), default=0)

    @property
    def in_progress(self) -> int:
        """Return how many deliveries wait for an acknowledgement."""
        return sum(consumer.in_progress for consumer in self.all)

    def standing(self, sequence: int, subject: str) -> Standing:
        """Judge a stored message: dead is one that at least one consumer has let go of and no other may still want."""
        judged = {consumer.standing(sequence) for consumer in self.all if consumer.wants(subject)}
        if not judged or Standing.WORK in judged:
            return Standing.WORK
        return Standing.PERHAPS if Standing.PERHAPS in judged else Standing.DEAD

    def waiting(self, sequence: int, subject: str, dead_for: str) -> str | None:
        """Return a consumer that may still want a message which the consumer `dead_for` has given up; None where none does."""
        for consumer in self.all:
            if consumer.wants(subject):
                standing = consumer.standing(sequence)
                if standing is Standing.WORK or (standing is Standing.PERHAPS and consumer.name != dead_for):
                    return consumer.name
        return None


async def ask_consumers(jetstream: JetStream, stream: str) -> Consumers:
    """Ask what the consumers of a stream say, then the stream."""
    consumers = tuple(sorted((consumer_of(info) for info in await jetstream.consumers(stream)), key=lambda consumer: consumer.name))
    return Consumers(await jetstream.info(stream), consumers)


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """How many messages of a stream are dead without a record."""

    dead: int
    in_progress: int
    oldest: int | None
    """When the first one that is certainly dead was stored, nanoseconds since 1970."""
    consumers: tuple[Consumer, ...]
    """Those that let go of them, as far as that can be told."""


async def count(jetstream: JetStream, consumers: Consumers) -> int | None:
    """Count the dead letters without reading them; None where consumers overlap (interest streams), and reading must tell.

    On a work-queue stream every message is for one consumer at most: of those that match its filter and are stored, the
    ones neither waiting nor in progress are dead.
    """
    if resource_of(consumers.info) != WORK_QUEUE_STREAM:
        return None if len(consumers.all) > 1 else await _count_one(jetstream, consumers)
    return await _count_one(jetstream, consumers)


async def _count_one(jetstream: JetStream, consumers: Consumers) -> int | None:
    stored = await _stored(jetstream, consumers)
    if stored is None:
        return None
    return sum(max(0, stored[consumer.name] - consumer.waiting - consumer.in_progress) for consumer in consumers.all)


async def _stored(jetstream: JetStream, consumers: Consumers) -> dict[str, int] | None:
    """Return how many stored messages are for each consumer; None where there are too many subjects to say."""
    messages = int(consumers.info["state"]["messages"])
    if all(not consumer.filters for consumer in consumers.all):
        return {consumer.name: messages for consumer in consumers.all}
    if has_too_many_subjects(consumers.info):
        return None
    counts = await subject_counts(jetstream, str(consumers.info["config"]["name"]), SUBJECTS_ASKED_FOR)
    return {consumer.name: sum(number for subject, number in counts.items() if consumer.wants(subject)) for consumer in consumers.all}


async def find_unrecorded(jetstream: JetStream, consumers: Consumers, limit: int) -> Unrecorded | None:
    """Look for dead letters of a stream; None where there are none. Goes through `limit` messages at most to count them
    where the consumers' own counts do not tell."""
    first = int(consumers.info["state"]["first_seq"])
    if not consumers.all or not int(consumers.info["state"]["messages"]) or consumers.bound < first:
        return None
    counted = await count(jetstream, consumers)
    if counted == 0:
        return None
    stream = str(consumers.info["config"]["name"])
    later = publishes_later(consumers.info["config"])
    others = may_hold_others(consumers.info["config"])
    dead, perhaps, none, oldest, sequence, gone_through = 0, 0, 0, None, first, 0
    while gone_through < limit and sequence <= consumers.bound:
        row = await fetch_next(jetstream, stream, sequence)
        if row is None or row.sequence is None or row.sequence > consumers.bound:
            break
        sequence, gone_through = row.sequence + 1, gone_through + 1
        standing = consumers.standing(row.sequence, row.subject.decode(errors="surrogateescape"))
        if is_no_letter(row, later=later):
            none += standing is Standing.DEAD
            continue
        dead, perhaps = dead + (standing is Standing.DEAD), perhaps + (standing is Standing.PERHAPS)
        if oldest is None and standing is Standing.DEAD:
            oldest = row.nanoseconds
            if counted is not None and not others:
                break
    # where not one was found among all that can be dead, what was counted came between the question to the consumers and that to the stream
    known = max(0, counted - none) if counted is not None and (gone_through == limit or (oldest is not None and not others)) else None
    number = known if known is not None else dead + max(0, perhaps - consumers.in_progress)
    return Unrecorded(number, consumers.in_progress, oldest, _losers(consumers.all)) if number else None


def _losers(consumers: Sequence[Consumer]) -> tuple[Consumer, ...]:
    limited = tuple(consumer for consumer in consumers if consumer.max_deliver > 0)
    return limited or tuple(consumers)
