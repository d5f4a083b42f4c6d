"""Looking at letters: the streams that hold some, which of their messages are, and reading them at no cost to anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.dead_letters import LetterLook, some_of
from brokercli.backends.nats import LIMITS_STREAM, WORK_QUEUE_STREAM
from brokercli.backends.nats.dead_letter_names import Marks, look_like_letters, marks_among, marks_of, rewritten_letters
from brokercli.backends.nats.fetch import fetch_message, fetch_next
from brokercli.backends.nats.listing import subject_counts
from brokercli.backends.nats.look_stored import open_stored
from brokercli.backends.nats.not_letters import is_no_letter, may_hold_others, notes_of_look, publishes_later
from brokercli.backends.nats.origins import named, place_of
from brokercli.backends.nats.records import NatsBatch, read_headers
from brokercli.backends.nats.rewriting import rewriting_of, stored_as
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import has_wildcards, overlap
from brokercli.backends.nats.unrecorded import Consumers, Standing, ask_consumers
from brokercli.model.amount import amount
from brokercli.model.errors import Failed, NotAuthorised, TimedOut

SAMPLE = 5
SUBJECTS_LOOKED_AT = 10_000
"""The most subjects that a stream may hold messages of for them to be asked for: a stream can hold millions."""
# an acknowledgement that a consumer has counted and whose message its stream has not removed yet: microseconds on one server
SETTLING_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Letters:
    """What the letters of a stream are."""

    info: Json
    marks: Marks
    consumers: Consumers | None = None
    """Of a stream whose letters have no record: who tells which messages are dead."""
    notes: tuple[str, ...] = ()

    @property
    def stream(self) -> str:
        """Return the stream's name."""
        return str(self.info["config"]["name"])

    @property
    def whole(self) -> bool:
        """Whether every message of the stream is a letter."""
        return self.consumers is None and not self.marks.subjects

    def awaits(self, subject: str) -> bool:
        """Whether what is published on a subject that the stream captures is a letter from the first, or may be."""
        if self.consumers is not None:
            return False
        stored = stored_as(self.info["config"], subject)
        return self.whole or stored is None or any(overlap(pattern, stored) for pattern in self.marks.subjects)

    def holds(self, sequence: int, subject: str) -> bool:
        """Whether a stored message is a letter, if it is no marker."""
        if self.consumers is not None:
            return self.consumers.standing(sequence, subject) is Standing.DEAD
        return self.marks.holds(subject)


async def marks_in(jetstream: JetStream, info: Json, patterns: Sequence[str] = ()) -> Marks | None:
    """Return why a stream holds letters, and which of its messages are some: by its configuration, else by the subjects that it holds messages
    of, where it captures more than they say and is no work queue, whose consumers tell. None where nothing says so."""
    config = info["config"]
    marks = marks_of(config, patterns)
    if marks is not None or resource_of(info) != LIMITS_STREAM or rewritten_letters(config, patterns) is not None:
        return marks
    if not any(has_wildcards(subject) for subject in config.get("subjects") or ()) or not 0 < int(info["state"].get("num_subjects", 0)) <= SUBJECTS_LOOKED_AT:
        return None
    return marks_among(await subject_counts(jetstream, str(config["name"]), SUBJECTS_LOOKED_AT), patterns)


async def find_letters(jetstream: JetStream, stream: str, patterns: Sequence[str] = ()) -> Letters:
    """Return what the letters of a stream are; `patterns` are names with * and ? that are taken for destinations of some. Raises Failed where it
    holds work and no letters."""
    info = await jetstream.info(stream)
    marks = await marks_in(jetstream, info, patterns)
    if marks is not None:
        return Letters(info, marks, notes=(*_notes(marks, info["config"]), *await _copied(jetstream, info["config"])))
    subject = rewritten_letters(info["config"], patterns)
    if subject is not None:
        rewriting = rewriting_of(info["config"])
        raise Failed(f"Stream {stream} stores {subject} under other subjects ({rewriting}): nothing tells which of its messages are letters.",
                     hint=f"brokercli replay stream:{stream} shows all of them")
    if int(info["state"].get("consumer_count", 0)):
        if resource_of(info) != LIMITS_STREAM:
            return await _without_record(jetstream, stream)
        if int(info["state"]["messages"]) and not look_like_letters(await _sample(jetstream, info)):
            raise Failed(f"Stream {stream} holds no dead letters but what its consumers read, and keeps it when they are done: nothing in it tells which "
                         "messages died.", hint=f"brokercli dlq capture stream:{stream} records deaths from now on")
    elif int(info["state"]["messages"]) and resource_of(info) != LIMITS_STREAM and not look_like_letters(await _sample(jetstream, info)):
        raise Failed(f"Stream {stream} holds no dead letters but work: it has no consumer, so all of it waits for one, what one that is gone gave up as well.",
                     hint="brokercli dlq ls shows where some are")
    return Letters(info, Marks("named"), notes=() if not int(info["state"]["messages"]) else (
        "nothing in the name or subjects of this stream says that it is one of dead letters: what no dialect recognises may be work",
        *await _copied(jetstream, info["config"])))


async def _without_record(jetstream: JetStream, stream: str) -> Letters:
    consumers = await ask_consumers(jetstream, stream)
    if any(consumer.just_acknowledged for consumer in consumers.all):
        await asyncio.sleep(SETTLING_SECONDS)
    notes = ["nobody recorded these deaths: shown is what was delivered, is no longer pending, and is still stored; what a consumer was moved past, or had no "
             "filter for when it went by, is shown as well, because nothing tells it from those", *notes_of_look(consumers.info["config"])]
    if consumers.in_progress:
        names = ", ".join(f"{consumer.name} ({consumer.in_progress:,})" for consumer in consumers.all if consumer.in_progress)
        notes.append(f"{amount(consumers.in_progress, 'message')} may be in progress now, at {names}: dead letters among and behind the oldest of those cannot "
                     "be told from these until they are acknowledged, and are left out")
    return Letters(consumers.info, Marks("delivered, no longer pending, still stored"), consumers, tuple(notes))


async def _copied(jetstream: JetStream, config: Json) -> list[str]:
    """Say which streams here a stream of letters is filled from that keep what it copies, as far as this login may ask."""
    found: dict[str, Json] = {}
    for name in dict.fromkeys(str(origin.get("name")) for origin in config.get("sources") or () if not place_of(origin)):
        with suppress(NotAuthorised, TimedOut):
            info = await jetstream.info_or_none(name)
            found |= {} if info is None else {name: info}
    return copied_from(config, found)


def copied_from(config: Json, streams: Mapping[str, Json]) -> list[str]:
    """Say which of `streams` a stream of letters is filled from that keep what it copies: all but work queues (see `consequences.of_copying`). What lies
    in another domain or account is not among them, and said as well."""
    origins = {named(origin): bool(place_of(origin)) for origin in config.get("sources") or ()}
    keeping = [name for name, far in origins.items() if not far and name in streams and resource_of(streams[name]) != WORK_QUEUE_STREAM]
    elsewhere, said = [name for name, far in origins.items() if far], []
    if keeping:
        own = "which keeps its own" if len(keeping) == 1 else "which keep their own"
        said.append(f"filled from stream{'' if len(keeping) == 1 else 's'} {some_of(keeping)}, {own}: what is put back or dropped here stays a letter there")
    if elsewhere:
        said.append(f"filled from stream{'' if len(elsewhere) == 1 else 's'} {some_of(elsewhere)}: what is put back or dropped here stays a letter there, "
                    "unless that is a work queue")
    return said


def _notes(marks: Marks, config: Json) -> list[str]:
    notes = [f"only messages on {', '.join(marks.subjects)} are letters; the others in this stream are left alone"] if marks.subjects else []
    return [*notes, *notes_of_look(config)]


async def _sample(jetstream: JetStream, info: Json) -> list[set[str]]:
    """Return the header names of some of the last messages; of the first one where those are deleted."""
    name, last = str(info["config"]["name"]), int(info["state"]["last_seq"])
    rows = await asyncio.gather(*(fetch_message(jetstream, name, sequence) for sequence in range(max(1, last - SAMPLE + 1), last + 1)))
    found = [row for row in rows if row is not None]
    if not found and (first := await fetch_next(jetstream, name, int(info["state"]["first_seq"]))) is not None:
        found = [first]
    return [{header for header, _ in read_headers(row.block)} for row in found]


@dataclass(slots=True)
class Passed:
    """What a look has come by."""

    left_out: bool = False
    """Whether there was a message that is no letter."""
    sequences: list[int] = field(default_factory=list)
    """Of the letters handed on last."""


class NatsLetterReader(LetterLook):
    """A look that hands on the letters only. What is handled is removed, so all that is there is pending."""

    side_effects = "none"

    def __init__(self, reader: Reader, letters: Letters) -> None:
        super().__init__(reader)
        self.letters = letters
        self._at_home = letters.consumers is not None
        self._later = publishes_later(letters.info["config"])
        self.passed = Passed()

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What the look and the stream have to say; may grow while reading."""
        return [*self.letters.notes, *self._reader.notes]

    def read(self, timeout: float) -> Batch | None:
        deadline = monotonic() + timeout
        while True:
            batch = self._reader.read(max(0.0, deadline - monotonic()))
            found = self._letters_in(batch) if isinstance(batch, NatsBatch) else batch
            # that what came holds no letter says nothing of what is on its way
            if batch is None or found is not None or monotonic() >= deadline:
                return found

    def _letters_in(self, batch: NatsBatch) -> Batch | None:
        batch.at_home = self._at_home
        rows, whole, holds = batch.rows(), self.letters.whole, self.letters.holds
        later = self._later
        chosen = [number for number, row in enumerate(rows) if not is_no_letter(row, later=later)
                  and (whole or holds(row.sequence or 0, row.subject.decode(errors="surrogateescape")))]
        self.passed.sequences = [rows[number].sequence or 0 for number in chosen]
        self.passed.left_out = self.passed.left_out or len(chosen) < len(rows)
        if len(chosen) == len(rows):
            return batch
        return batch.select(chosen) if chosen else None


def open_letters(jetstream: JetStream, letters: Letters) -> NatsLetterReader:
    """Open a look at letters, up to the end the stream had when they were found."""
    source = Source(letters.info)
    end = source.end if letters.consumers is None else min(source.end, letters.consumers.bound + 1)
    start = min(source.first, end)
    reader = open_stored(jetstream, source, start, end, of_leader=True)
    if not letters.whole or may_hold_others(letters.info["config"]):
        reader.expected = None
    return NatsLetterReader(reader, letters)
