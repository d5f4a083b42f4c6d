"""Positions of the grammar as sequences of a stream."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.failures import NO_CONSUMER, NoConsumer, api_failure, reason
from brokercli.backends.nats.fetch import fetch_at_time, fetch_next
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.model.errors import NotAuthorised, NotFound, OutOfRange, Unsupported, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start, format_time

NANOSECONDS = 1_000_000_000
KEPT_NANOSECONDS = 30 * NANOSECONDS
"""How long a consumer of ours outlives its last pull, where its stream allows so much."""

_COUNTED_OFF = 1000
"""The last so many messages, at most, are asked for one by one."""


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

    def holes(self, start: int, end: int | None) -> int | None:
        """Return how many of the sequences from one on and below another have no message; below the end there is where none is said, and each
        sequence behind that is one of a message. None where nothing tells: one subject's are not numbered, nor are those that go into a mirror,
        and where they are handled messages go every moment."""
        if self.subject is not None or (end is None and (not self.by_consumer or self.info["config"].get("mirror"))):
            return None
        deleted = self.end - self.first - int(self.info["state"]["messages"])
        if not deleted or start >= self.end:
            return 0
        return deleted if start <= self.first and end in (None, self.end) else None

    @property
    def by_consumer(self) -> bool:
        """Whether a consumer may be made without changing what the stream keeps or refuses."""
        return resource_of(self.info) == LIMITS_STREAM

    @property
    def kept(self) -> int:
        """For how many nanoseconds the server keeps a consumer of ours that nobody pulls from: not longer than the stream allows any
        (consumer_limits, refused with 10153 otherwise)."""
        allowed = int((self.info["config"].get("consumer_limits") or {}).get("inactive_threshold") or 0)
        return min(KEPT_NANOSECONDS, allowed) if allowed > 0 else KEPT_NANOSECONDS


async def ask_again(jetstream: JetStream, source: Source) -> Json:
    """Return what a stream says of itself now. Raises NotFound where it was deleted since, or made anew: its numbers count other messages then."""
    now = await jetstream.info_or_none(source.stream)
    if now is None or now["created"] != source.info["created"]:
        raise NotFound(f"Stream {source.stream} was deleted{'' if now is None else ' and made anew'} while it was read.")
    return now


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
        try:
            return await _last_by_counting(jetstream, source, count)
        except NoConsumer:
            pass  # it takes longer without one
    return await _last_by_reading(jetstream, source, count)


async def _last_by_counting(jetstream: JetStream, source: Source, count: int) -> int:
    """Halve the range until so many messages lie behind, up to the end; a consumer's creation says how many that are, with those that have come
    since. Where some came while it was counted, a few more than were asked for may lie behind: those are counted off one by one, unless too many
    are asked for."""
    low, high, came = source.first, source.end, False
    while low < high:
        middle = (low + high + 1) // 2
        counted = await count_from(jetstream, source, middle)
        if counted >= count:
            # asked afterwards, so that what came is never taken for what was there
            since = await count_from(jetstream, source, source.end)
            counted, came = counted - since, came or since > 0
        if counted >= count:
            low = middle
        else:
            high = middle - 1
    if not came or count > _COUNTED_OFF:
        return low
    found = await _sequences(jetstream, source, low, source.end)
    return found[max(0, len(found) - count)] if found else source.end


async def count_from(jetstream: JetStream, source: Source, sequence: int, filters: Sequence[str] = ()) -> int:
    """Return how many messages lie at or behind a sequence, through a consumer that is removed again at once. `filters` (which
    do not overlap) take the place of the source's subject. Raises NoConsumer where the stream allows none."""
    name = f"brokercli-{secrets.token_hex(6)}"
    answer = await create_consumer(jetstream, source, name, sequence, filters)
    await jetstream.try_ask(f"CONSUMER.DELETE.{source.stream}.{name}")
    return int(answer.get("num_pending", 0))


async def _last_by_reading(jetstream: JetStream, source: Source, count: int) -> int:
    """Go through a stream that allows no consumer to count with, from its end on in pieces that grow, each read forwards: the server
    finds the next message at a sequence, and not the one before."""
    found: list[int] = []
    end, size = source.end, count
    while len(found) < count and end > source.first:
        begin = max(source.first, end - size)
        found = [*await _sequences(jetstream, source, begin, end), *found]
        end, size = begin, size * 2
    return found[max(0, len(found) - count)] if found else source.end


async def _sequences(jetstream: JetStream, source: Source, begin: int, end: int) -> list[int]:
    """Return what is stored from one sequence on and below another."""
    found: list[int] = []
    while begin < end:
        row = await fetch_next(jetstream, source.stream, begin, source.subject or ">")
        if row is None or row.sequence is None or row.sequence >= end:
            break
        found.append(row.sequence)
        begin = row.sequence + 1
    return found


async def create_consumer(jetstream: JetStream, source: Source, name: str, sequence: int, filters: Sequence[str] = ()) -> Json:
    """Create an ephemeral consumer that acknowledges nothing and lives in memory; it goes by itself when nobody pulls. Raises NoConsumer where
    the stream, or the account, allows none."""
    config: Json = {"name": name, "deliver_policy": "by_start_sequence", "opt_start_seq": max(1, sequence), "ack_policy": "none", "max_deliver": 1,
                    "replay_policy": "instant", "mem_storage": True, "num_replicas": 1, "inactive_threshold": source.kept}
    if len(filters) > 1:
        config["filter_subjects"] = list(filters)
    elif filters or source.subject is not None:
        config["filter_subject"] = filters[0] if filters else source.subject
    answer = await _create(jetstream, f"CONSUMER.CREATE.{source.stream}.{name}", {"stream_name": source.stream, "config": config})
    error = answer.get("error")
    if error is None:
        return answer
    if error.get("err_code") in NO_CONSUMER:
        raise NoConsumer(f"Stream {source.stream} lets a look have no consumer: {reason(error)}.")
    raise api_failure(error, f"stream {source.stream}")


async def _create(jetstream: JetStream, operation: str, question: Json) -> Json:
    """Ask for a consumer with its one filter behind the operation: permissions that are for some subjects of a stream name it there. Where it
    may not be said so, those may be for the operation alone."""
    about, chosen = f"stream {question['stream_name']}", question["config"].get("filter_subject")
    if chosen is None:
        return await jetstream.ask_about(about, operation, question)
    try:
        return await jetstream.ask_about(about, f"{operation}.{chosen}", question)
    except NotAuthorised:
        return await jetstream.ask_about(about, operation, question)
