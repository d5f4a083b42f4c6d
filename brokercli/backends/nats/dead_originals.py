"""The messages that letters are about, where these lie elsewhere or nobody recorded them: are they dead, and what becomes of them.

On a limits stream a message that died stays for whoever else reads it. On a work-queue or interest stream it is dead
storage once its copy is back: it would be found as a letter without a record, and put back again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from brokercli.backends.dead_letters import Move
from brokercli.backends.nats import LIMITS_STREAM, WORK_QUEUE_STREAM
from brokercli.backends.nats.not_letters import leaves_markers, publishes_later, why_no_letter
from brokercli.backends.nats.originals import Where, fetch_originals, where_of
from brokercli.backends.nats.putting_back import identity_prefix
from brokercli.backends.nats.questions import Questions
from brokercli.backends.nats.removing import Remover, refusal_to_remove
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.unrecorded import Consumers, Standing, ask_consumers
from brokercli.model.amount import amount
from brokercli.model.message import Place, Record

_STAYS = "stored at its destination, but message {} itself could not be taken out of {}: {}"
_DEAD_NO_MORE = "it is not dead any more: consumer {} gets it again"


@dataclass(slots=True)
class _Stream:
    """What is known of a stream that originals lie in."""

    info: Json
    prefix: str
    remover: Remover | None
    """None where originals stay: a limits stream, or one that denies deleting."""


class DeadOriginals:
    """Knows what each letter is about. `settle` asks anew, batch by batch, what consumers say."""

    def __init__(self, jetstream: JetStream, questions: Questions, source: Json, *, within: bool) -> None:
        """`within`: the letters are the dead messages themselves."""
        self.put_back: set[Where] = set()
        """Originals whose copies are back and whose letters are out, in this run."""
        self._jetstream = jetstream
        self._questions = questions
        self._source = str(source["config"]["name"])
        self._prefix = identity_prefix(source)
        self.within = within
        self._streams: dict[str, _Stream | None] = {}
        self._consumers: dict[str, Consumers] = {}
        self._subjects: dict[Where, str] = {}
        self._no_letters: dict[Where, str] = {}
        """Those that are not to be put back, whoever gave them up, and why."""
        self._died_at: dict[Where, str] = {}
        self._left_behind = Counter[str]()
        self._why_left: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """Say of which streams messages were put back that cannot be taken out any more."""
        return [f"{amount(count, 'message was', 'messages were')} put back and cannot be taken out of {stream}, where dlq ls shows what stays as letters "
                f"without a record: {self._why_left[stream]}" for stream, count in self._left_behind.items()]

    def prepare(self, originals: Sequence[Place]) -> None:
        """Ask what the next letters need to be judged. Raises model.errors."""
        self._consumers.clear()
        self._subjects.clear()
        self._no_letters.clear()
        self._died_at.clear()
        if self.within:
            self._consumers[self._source] = self._jetstream.link.run(ask_consumers(self._jetstream, self._source))
        wanted = {where for place in originals if (where := where_of(place)) is not None}
        for stream in {stream for stream, _ in wanted}:
            if stream not in self._streams:
                self._streams[stream] = self._ask(stream)
            known = self._streams[stream]
            if known is None:
                continue
            # in a limits stream it stays, and is published when its time comes
            stays, filters = resource_of(known.info) == LIMITS_STREAM, False
            later = publishes_later(known.info["config"]) and not stays
            if not stays:
                consumers = self._consumers[stream] = self._jetstream.link.run(ask_consumers(self._jetstream, stream))
                filters = any(consumer.filters for consumer in consumers.all)
            if later or filters or leaves_markers(known.info["config"]):
                places: list[Place] = [{"stream": name, "sequence": sequence} for name, sequence in wanted if name == stream]
                for record in self._jetstream.link.run(fetch_originals(self._jetstream, self._questions, places)):
                    if record is not None:
                        where = stream, int(record.position)
                        self._subjects[where] = str(record.place["subject"])
                        if why := why_no_letter(record, later=later):
                            self._no_letters[where] = why

    def _ask(self, stream: str) -> _Stream | None:
        info = self._jetstream.link.run(self._jetstream.info_or_none(stream))
        if info is None:
            return None
        stays = resource_of(info) == LIMITS_STREAM or refusal_to_remove(info) is not None
        return _Stream(info, identity_prefix(info), None if stays else Remover(self._jetstream, self._questions, info))

    def original_of(self, move: Move) -> Where | None:
        """Return the message elsewhere that a letter points at and `move.message` is a copy of."""
        return None if move.original is None or self.within else where_of(move.original)

    def copy_id(self, sequence: int, original: Where | None) -> str:
        """Return the id under which a letter's copy is published: the same whoever does it, and however often.

        It is made from the message that died, so that several letters for one message are put back once.
        """
        known = None if original is None else self._streams.get(original[0])
        return f"{self._prefix}{sequence}" if known is None or original is None else f"{known.prefix}{original[1]}"

    def refusal(self, record: Record, sequence: int, original: Where | None) -> str | None:
        """Return why a letter must not be put back now; None where it may."""
        if self.within:
            subject = str(record.place.get("subject"))
            if self._consumers[self._source].standing(sequence, subject) is Standing.DEAD:
                return None
            return _DEAD_NO_MORE.format(self._consumers[self._source].waiting(sequence, subject, "") or "(a new one)")
        if original in self._no_letters:
            return self._no_letters[original]
        consumers = None if original is None else self._consumers.get(original[0])
        known = None if original is None else self._streams.get(original[0])
        if consumers is None or original is None or known is None:
            return None
        died_at = self._died_at[original] = _consumer_in(record)
        waiting = self._waiting(consumers, original, died_at)
        if waiting is not None and (waiting == died_at or resource_of(known.info) == WORK_QUEUE_STREAM):
            return _DEAD_NO_MORE.format(waiting)
        return None

    def _waiting(self, consumers: Consumers, original: Where, died_at: str) -> str | None:
        if not any(consumer.filters for consumer in consumers.all):
            return consumers.waiting(original[1], "", died_at)
        subject = self._subjects.get(original)
        return None if subject is None else consumers.waiting(original[1], subject, died_at)

    def remove(self, originals: Sequence[Where]) -> dict[Where, str]:
        """Remove those whose copies are confirmed and that nobody else may want, and return those for which that failed, with a sentence that
        says so: as long as their letters are there, the next run takes them out. One that cannot be removed any more, because this login may
        not or its stream is sealed, is left for good: it is a letter without a record, and a copy of it has the same id."""
        stays: dict[Where, str] = {}
        by_stream: dict[str, list[int]] = defaultdict(list)
        for original in dict.fromkeys(originals):
            consumers = self._consumers.get(original[0])
            if consumers is not None and self._waiting(consumers, original, self._died_at.get(original, "")) is None:
                by_stream[original[0]].append(original[1])
        for stream, sequences in by_stream.items():
            known = self._streams[stream]
            if known is None or known.remover is None:
                continue
            removed = known.remover.remove(sequences)
            if removed.over is not None:
                self._left_behind[stream] += len(removed.failed)
                self._why_left[stream] = str(removed.over).rstrip(".")
            else:
                stays.update({(stream, sequence): _STAYS.format(sequence, stream, why) for sequence, why in removed.failed.items()})
        self.put_back.update(original for original in originals if original not in stays)
        return stays


def _consumer_in(record: Record) -> str:
    """Return the consumer that an advisory is about."""
    try:
        advisory = orjson.loads(record.message.body or b"")
    except orjson.JSONDecodeError:
        return ""
    consumer = advisory.get("consumer") if isinstance(advisory, dict) else None
    return consumer if isinstance(consumer, str) else ""
