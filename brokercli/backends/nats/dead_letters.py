"""Which streams hold dead letters: recorded by JetStream, named like them, or left behind without any record."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence

from brokercli.backends.dead_letters import DeadLetterSource, some_of
from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.dead_letter_names import ADVISORIES, Marks, fed_by, marks_of, recorded_streams, rewritten_letters
from brokercli.backends.nats.fetch import fetch_next
from brokercli.backends.nats.letters import copied_from, marks_in
from brokercli.backends.nats.listing import SILENT, purpose_of
from brokercli.backends.nats.not_letters import remarks_on_count
from brokercli.backends.nats.origins import named
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream, Json, each, resource_of
from brokercli.backends.nats.unrecorded import Unrecorded, ask_consumers, find_unrecorded
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, NotFound
from brokercli.model.position import parse_time

GONE_THROUGH = 2000
"""The most messages read of one stream to count letters that have no record."""


async def find_sources(jetstream: JetStream, patterns: Sequence[str], unseen: MutableSequence[str]) -> list[DeadLetterSource]:
    """Return the destinations of dead letters, by name. Changes nothing. Says in `unseen` which streams could not be looked
    into. Raises Failed where there is no JetStream."""
    silent: list[str] = []
    streams = {str(info["config"]["name"]): info for info in await jetstream.all(silent) if purpose_of(str(info["config"]["name"])) is None}
    found_in = await each(streams, lambda name: _marks(jetstream, streams[name], patterns, unseen))
    marks = {name: found for name, found in zip(streams, found_in, strict=True) if found is not None}
    others = [name for name, info in streams.items() if name not in marks and resource_of(info) != LIMITS_STREAM]
    recorders = [streams[name]["config"] for name, found in marks.items() if found.advisories]
    refused: dict[str, str] = {}
    marked = await each(marks, lambda name: _marked(jetstream, streams[name], marks[name], streams))
    answers = [*marked, *await each(others, lambda name: _unrecorded(jetstream, name, recorders, refused))]
    by_name = [DeadLetterSource(Address(name, "stream"), "stream", found.why, remarks=(SILENT,))
               for name in silent if (found := marks_of({"name": name}, patterns)) is not None]
    mute = [name for name in silent if marks_of({"name": name}, patterns) is None and purpose_of(name) is None]
    if mute:
        unseen.append(f"not looked into, because the servers that keep them are away: stream{'' if len(mute) == 1 else 's'} {some_of(mute)}")
    unseen += [f"which messages of stream {name} are letters cannot be told: it stores {subject} under other subjects" for name, info in streams.items()
               if name not in marks and (subject := rewritten_letters(info["config"], patterns)) is not None]
    if refused:
        stream, why = min(refused.items())
        beside = f" (and so it is with {some_of(sorted(refused.keys() - {stream}))})" if len(refused) > 1 else ""
        unseen.append(f"whether stream {stream} holds letters without a record is not known{beside}: {why.rstrip('.')}")
    return sorted([*(source for source in answers if source is not None), *by_name], key=lambda source: source.address.name)


async def _marks(jetstream: JetStream, info: Json, patterns: Sequence[str], unseen: MutableSequence[str]) -> Marks | None:
    try:
        return await marks_in(jetstream, info, patterns)
    except NotFound:
        return None  # deleted meanwhile
    except BrokercliError as problem:
        unseen.append(f"whether stream {info['config']['name']} holds letters among others is not known: {str(problem).rstrip('.')}")
        return None


async def _marked(jetstream: JetStream, info: Json, marks: Marks, streams: Mapping[str, Json]) -> DeadLetterSource | None:
    source, remarks = Source(info), [] if marks.advisories or not marks.subjects else [f"letters are the messages on {', '.join(marks.subjects)}"]
    depth, oldest = int(info["state"]["messages"]), parse_time(str(info["state"]["first_ts"])) if int(info["state"]["messages"]) else None
    feeds: tuple[str, ...] = ()
    if marks.advisories:
        recorded = recorded_streams(info["config"])
        feeds = tuple(str(Address(name, "stream")) for name in recorded or () if name in streams)
        remarks += ["records the deaths of every stream"] if recorded is None else []
    elif (feed := fed_by(source.stream, streams)) is not None:
        feeds = (str(Address(feed, "stream")),)
    if info["config"].get("mirror"):
        remarks.append(f"is a mirror: its letters lie in stream {named(info['config']['mirror'])}")
    remarks += copied_from(info["config"], streams)
    remarks += remarks_on_count(info["config"])
    try:
        if marks.subjects and depth:
            depth, oldest = await _narrowed(jetstream, source, marks)
    except NotFound:
        return None  # deleted meanwhile
    except BrokercliError as problem:
        return DeadLetterSource(Address(source.stream, "stream"), resource_of(info), marks.why, feeds=feeds, remarks=(*remarks, str(problem)))
    return DeadLetterSource(Address(source.stream, "stream"), resource_of(info), marks.why, depth, depth, oldest, feeds, tuple(remarks))


async def _narrowed(jetstream: JetStream, source: Source, marks: Marks) -> tuple[int, int | None]:
    """Return how many messages are letters in a stream that holds others, too, and the time of the first one."""
    rows = [await fetch_next(jetstream, source.stream, source.first, subject) for subject in marks.subjects]
    times = [row.nanoseconds for row in rows if row is not None and row.nanoseconds is not None]
    return sum([await count_on(jetstream, source.stream, subject) for subject in marks.subjects]), min(times, default=None)


async def count_on(jetstream: JetStream, stream: str, subject: str) -> int:
    """Return how many stored messages match a subject."""
    total, offset = 0, 0
    while True:
        info = await jetstream.info(stream, {"subjects_filter": subject, "offset": offset})
        page = info["state"].get("subjects") or {}
        total += sum(int(number) for number in page.values())
        offset += len(page)
        if not page or offset >= int(info.get("total", 0)):
            return total


async def _unrecorded(jetstream: JetStream, stream: str, recorders: Sequence[Json], refused: dict[str, str]) -> DeadLetterSource | None:
    """Return the letters of a work-queue or interest stream that have no record; None where all of them seem to have one, and
    where that cannot be told: why not is in `refused` then."""
    try:
        consumers = await ask_consumers(jetstream, stream)
        found = await find_unrecorded(jetstream, consumers, GONE_THROUGH)
        recorder = next((str(config["name"]) for config in recorders if _records(config, stream)), None)
        recorded = 0 if found is None or recorder is None else await count_on(jetstream, recorder, f"{ADVISORIES}.MAX_DELIVERIES.{stream}.>")
    except NotFound:
        return None  # deleted meanwhile
    except BrokercliError as problem:
        refused[stream] = str(problem)
        return None
    if found is None or recorded >= found.dead:
        return None
    remarks = [_doubt(found)] if found.in_progress else []
    if recorder is not None and recorded:
        remarks.append(f"{amount(recorded, 'death here is', 'deaths here are')} recorded in stream {recorder}: redrive that one first")
    return DeadLetterSource(Address(stream, "stream"), resource_of(consumers.info), _why(found), found.dead, found.dead, found.oldest,
                            (str(Address(stream, "stream")),), tuple(remarks))


def _records(config: Json, stream: str) -> bool:
    recorded = recorded_streams(config)
    return recorded is None or stream in recorded


def _why(found: Unrecorded) -> str:
    names = ", ".join(f"{consumer.name} (max_deliver {consumer.max_deliver})" if consumer.max_deliver > 0 else consumer.name for consumer in found.consumers)
    return f"no record: delivered, no longer pending, still stored; consumer {names}"


def _doubt(found: Unrecorded) -> str:
    return (f"{found.in_progress:,} more may be in progress; which of the messages behind the oldest of them are dead cannot be told until they are "
            "acknowledged")
