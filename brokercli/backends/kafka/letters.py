"""Looking at the letters of a topic: a look like any other, which also knows what was handled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.dead_letters import LetterLook, State
from brokercli.backends.kafka.forgotten import forgotten
from brokercli.backends.kafka.handled_group import HandledLetters, ask_committed, limits_of, understand
from brokercli.backends.kafka.lost_end import count_what_came_since, count_what_later_leaders_stored
from brokercli.backends.kafka.records import KafkaBatch
from brokercli.backends.kafka.span import Offsets
from brokercli.backends.kafka.topic_ids import tag_of
from brokercli.model.errors import BrokercliError, NotAuthorised
from brokercli.model.message import Record
from brokercli.model.position import PerPartition


class KafkaLetterReader(LetterLook):
    """Assigns partitions, joins no group and commits nothing."""

    side_effects = "none"

    def __init__(self, reader: Reader, handled: HandledLetters, left_out: BrokercliError | None) -> None:
        super().__init__(reader)
        self.left_out = left_out
        self._sets = handled.sets
        self._notes = handled.notes

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What the look and the handled state have to say; may grow while reading."""
        return [*self._reader.notes, *self._notes]

    def state(self, record: Record) -> State:
        place = record.place
        return self._sets[place["partition"]].state(place["offset"])  # type: ignore[index, arg-type]

    def states(self, batch: Batch) -> Sequence[State]:
        """Say what became of each letter of a batch of this look."""
        if not isinstance(batch, KafkaBatch):
            return [self.state(record) for record in batch.records()]
        sets = self._sets
        return [sets[partition].state(offset) for partition, offset, _ in batch.stamps()]


def open_letters(reader: Reader, topic: str, admin: AdminClient, consumer: Consumer, any_node: Callable[[], int | None],
                 timeout: float, left_out: BrokercliError | None) -> KafkaLetterReader:
    """Return a look at letters on top of a look at everything the topic holds. Without the permission to ask what was
    handled, all letters count as pending, and a note says so."""
    try:
        ends = reader.bounds.end if reader.bounds is not None else None
        partitions = [partition for partition, _ in ends.offsets] if isinstance(ends, PerPartition) else []
        asked = ask_committed(admin, {topic: partitions}, timeout)[topic]
        tag = tag_of(admin, topic, timeout)
        offsets = Offsets(consumer, topic, timeout)
        ranges = offsets.ranges(partitions)
        try:
            committed, notes = asked.read()
        except NotAuthorised as problem:
            handled = understand(topic, tag, (), ranges)
            handled.notes.append(f"what was handled cannot be seen, so every letter counts as pending: {problem}")
        else:
            handled = understand(topic, tag, committed, ranges)
            handled.notes += notes
            count_what_came_since(handled, offsets)
            count_what_later_leaders_stored(handled, ranges, offsets, consumer, timeout)
            if not handled.known:
                handled.notes += forgotten(handled, offsets, ranges, limits_of(admin, any_node(), timeout))
        return KafkaLetterReader(reader, handled, left_out)
    except BaseException:
        reader.close()
        raise
