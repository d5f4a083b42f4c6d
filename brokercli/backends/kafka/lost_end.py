"""A partition of which the broker has lost the end: letters that came since lie at offsets that were handled, and were not.

Whatever is stored after that is stored under a later leader, whose epoch (KIP-101) each record tells. So a state names the epoch of the last
letter that was read when it was written, as any consumer's commit does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import Consumer, KafkaError, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.failures import no_answer, translate
from brokercli.backends.kafka.handled_group import HandledLetters
from brokercli.backends.kafka.span import NOT_STORED, Offsets, Range

_MINUTE = 60_000
_POLL_SECONDS = 0.2
_LOOKING = "looking what lies where letters were handled in"


def count_what_came_since(handled: HandledLetters, offsets: Offsets) -> None:
    """Have letters count as pending that are younger than what says they were handled, in partitions that have lost their end, where that names
    no leader's epoch (those of older versions).

    It is known to the minute, so some that were handled in that minute may go a second time. In a partition that has grown beyond the
    old end again nothing shows that it was lost.
    """
    for partition in sorted(handled.without_end & handled.written.keys() - handled.epochs.keys()):
        younger = offsets.at_time([partition], handled.written[partition] * _MINUTE)[partition]
        if younger >= 0 and handled.sets[partition].state(younger) is not State.PENDING:
            _cut(handled, partition, younger)


def count_what_later_leaders_stored(handled: HandledLetters, ranges: Mapping[int, Range], offsets: Offsets, consumer: Consumer,
                                    seconds: float) -> dict[int, int]:
    """Have letters within `ranges` count as pending that were stored under a later leader than all that was handled, and yet lie where
    something was; return where these begin, by partition. Costs a question where no leader has changed since, and a record read where one
    has; more only where records were lost. `consumer` reads nothing else meanwhile."""
    now = offsets.epochs(handled.epochs) if handled.epochs else {}
    led_anew = [partition for partition, epoch in handled.epochs.items() if now[partition] > epoch]
    searches = {partition: _Search(ranges[partition].low, min(handled.sets[partition].end, ranges[partition].high), handled.epochs[partition])
                for partition in led_anew}
    deadline = monotonic() + seconds
    try:
        while going := {partition: search.next() for partition, search in searches.items() if search.low < search.high}:
            found = _first_records(consumer, offsets.topic, going, deadline, seconds)
            for partition, asked in going.items():
                searches[partition].learn(asked, found.get(partition))
    finally:
        if searches:
            consumer.unassign()
    lost = {partition: search.high for partition, search in searches.items() if search.found}
    for partition, first in lost.items():
        _cut(handled, partition, first)
    return lost


def _cut(handled: HandledLetters, partition: int, first: int) -> None:
    handled.sets[partition] = handled.sets[partition].up_to(first)
    handled.notes.append(f"letters in partition {partition} of {handled.topic} from {first} on came after others that were handled there, and that the broker "
                         "has lost: they count as pending")


@dataclass(slots=True)
class _Search:
    """Where, from `low` to before `high`, the first record lies that is of a later leader's: epochs ascend with offsets. Begins at the end,
    where usually the very first record is of none."""

    low: int
    high: int
    epoch: int
    found: bool = False
    _step: int = 1

    def next(self) -> int:
        """Return from which offset on the next record is asked for."""
        return max(self.low, self.high - self._step) if self._step else (self.low + self.high) // 2

    def learn(self, asked: int, record: tuple[int, int] | None) -> None:
        """Take in offset and epoch of the first record from there on; None where there is none."""
        within = record is not None and record[0] < self.high
        if record is not None and within and record[1] <= self.epoch:
            self.low, self._step = record[0] + 1, 0
        else:
            self.found = self.found or within
            self.high, self._step = asked, 2 * self._step


def _first_records(consumer: Consumer, topic: str, starts: Mapping[int, int], deadline: float, seconds: float) -> dict[int, tuple[int, int]]:
    """Return offset and leader's epoch of the first record of each partition from an offset on. Raises Unreachable where nothing comes, and what is
    said against reading."""
    found: dict[int, tuple[int, int]] = {}
    left = set(starts)
    said: KafkaError | None = None
    consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
    while left:
        message = consumer.poll(_POLL_SECONDS)
        partition = None if message is None or message.topic() != topic else message.partition()
        if message is None or partition is None or partition not in left:
            if monotonic() >= deadline:
                raise no_answer(_LOOKING, topic, seconds) if said is None else translate(said, _LOOKING, topic)
            continue
        offset, error, epoch = message.offset(), message.error(), message.leader_epoch()
        if error is None and offset is not None and offset >= starts[partition]:
            found[partition] = offset, -1 if epoch is None else epoch
            left.remove(partition)
        elif error is not None and error.code() == KafkaError.UNKNOWN:
            # the client asks again
            said = error
        elif error is not None:
            if error.code() not in (KafkaError._PARTITION_EOF, *NOT_STORED):
                raise translate(error, _LOOKING, topic)
            left.remove(partition)
    return found
