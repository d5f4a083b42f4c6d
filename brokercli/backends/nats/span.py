"""Positions of the grammar as sequences of a stream."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.fetch import fetch_at_time, fetch_next
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.model.errors import OutOfRange, Unsupported, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start, format_time

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A stream, and the subject to filter it by."""

    info: Json
    subject: str | None = None
    """None reads everything."""

    @property
    def stream(self) -> str:
        """Return the stream's name."""
        return str(self.info["config"]["name"])

    @property
    def first(self) -> int:
        """Return the oldest sequence; one past the newest in an empty stream."""
        return max(1, int(self.info["state"]["first_seq"])) if int(self.info["state"]["messages"]) else self.end

    @property
    def end(self) -> int:
        """Return one past the newest sequence."""
        return int(self.info["state"]["last_seq"]) + 1

    @property
    def by_consumer(self) -> bool:
        """Whether a consumer may be made without changing what the stream keeps or refuses."""
        return resource_of(self.info) == LIMITS_STREAM


async def locate(jetstream: JetStream, source: Source, span: Span) -> tuple[int, int | None]:
    """Return the first sequence and, for a span that ends, one past the last.

    An end that is not stored yet is the end there is: a span that ends never waits for messages to come. Raises OutOfRange
    for a start before or beyond what the stream holds (at its end is an empty span), UsageProblem for a span that ends
    before it starts, Unsupported for partitions.
    """
    if isinstance(span.start, Number) and isinstance(span.end, Number) and span.end.value < span.start.value:
        raise UsageProblem(f"The range ends at {span.end} before it starts at {span.start}.")
    start = await sequence_of(jetstream, source, span.start)
    if isinstance(span.start, Number) and not source.first <= start <= source.end:
        raise OutOfRange(_range(source, start), hint="--from start begins at the oldest there is")
    if span.end is None:
        return start, None
    return start, max(start, min(await sequence_of(jetstream, source, span.end), source.end))


def _range(source: Source, asked: int) -> str:
    if source.first == source.end:
        return f"Stream {source.stream} holds no messages; the next one gets the sequence {source.end}, and {asked} was asked for."
    return f"Stream {source.stream} holds the sequences {source.first} to {source.end - 1}, and {asked} was asked for."


async def sequence_of(jetstream: JetStream, source: Source, position: Position) -> int:
    """Return where a position lies, whether that is stored or not; an end is one past the newest."""
    match position:
        case Start():
            return source.first
        case End():
            return source.end
        case Number(value):
            return value
        case Moment(nanoseconds):
            if nanoseconds < 0:
                return source.first
            row = await fetch_at_time(jetstream, source.stream, format_time(nanoseconds)) if source.first < source.end else None
            return row.sequence if row is not None and row.sequence is not None else source.end
        case Last(count):
            return await _last(jetstream, source, count)
        case PerPartition():
            raise Unsupported("NATS has no partitions.", hint="a sequence is written as a number: --from 1200")


async def _last(jetstream: JetStream, source: Source, count: int) -> int:
    state = source.info["state"]
    if count <= 0 or source.first >= source.end:
        return source.end
    deleted = source.end - source.first - int(state["messages"])
    if source.subject is None and not deleted:
        return max(source.first, source.end - count)
    if source.by_consumer:
        return await _last_by_counting(jetstream, source, count)
    return await _last_by_reading(jetstream, source, count)


async def _last_by_counting(jetstream: JetStream, source: Source, count: int) -> int:
    """Halve the range until so many messages lie behind; a consumer's creation says how many that are."""
    low, high = source.first, source.end
    while low < high:
        middle = (low + high + 1) // 2
        if await count_from(jetstream, source, middle) >= count:
            low = middle
        else:
            high = middle - 1
    return low


async def count_from(jetstream: JetStream, source: Source, sequence: int, filters: Sequence[str] = ()) -> int:
    """Return how many messages lie at or behind a sequence, through a consumer that is removed again at once. `filters` (which
    do not overlap) take the place of the source's subject."""
    name = f"brokercli-{secrets.token_hex(6)}"
    answer = await create_consumer(jetstream, source, name, sequence, filters)
    await jetstream.try_ask(f"CONSUMER.DELETE.{source.stream}.{name}")
    return int(answer.get("num_pending", 0))


async def _last_by_reading(jetstream: JetStream, source: Source, count: int) -> int:
    """Go through a work-queue or interest stream, which allows no consumer to count with; they are short when healthy."""
    newest: deque[int] = deque(maxlen=count)
    sequence = source.first
    while sequence < source.end:
        row = await fetch_next(jetstream, source.stream, sequence, source.subject or ">")
        if row is None or row.sequence is None or row.sequence >= source.end:
            break
        newest.append(row.sequence)
        sequence = row.sequence + 1
    return newest[0] if newest else source.end


async def create_consumer(jetstream: JetStream, source: Source, name: str, sequence: int, filters: Sequence[str] = ()) -> Json:
    """Create an ephemeral consumer that acknowledges nothing and lives in memory; it goes by itself when nobody pulls."""
    config: Json = {"name": name, "deliver_policy": "by_start_sequence", "opt_start_seq": max(1, sequence), "ack_policy": "none", "max_deliver": 1,
                    "replay_policy": "instant", "mem_storage": True, "num_replicas": 1, "inactive_threshold": 30 * NANOSECONDS}
    if len(filters) > 1:
        config["filter_subjects"] = list(filters)
    elif filters or source.subject is not None:
        config["filter_subject"] = filters[0] if filters else source.subject
    return await jetstream.ask(f"CONSUMER.CREATE.{source.stream}.{name}", {"stream_name": source.stream, "config": config}, what=f"stream {source.stream}")
