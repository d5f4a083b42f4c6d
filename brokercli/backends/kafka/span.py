"""Positions of the grammar as offsets of a topic's partitions."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from brokercli.backends.kafka.failures import translate
from brokercli.model.errors import OutOfRange, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start

_MILLISECOND = 1_000_000
# what ListOffsets calls the ends of a log in place of a time (Kafka protocol)
_EARLIEST, _LATEST = -2, -1


@dataclass(frozen=True, slots=True)
class Range:
    """What a partition holds: from `low` up to `high`, not included."""

    low: int
    high: int


class Offsets:
    """Asks a topic's leaders for offsets, all partitions in one call, in the consumer's isolation level."""

    def __init__(self, consumer: Consumer, topic: str, timeout: float) -> None:
        self._consumer = consumer
        self._topic = topic
        self._timeout = timeout

    def ranges(self, partitions: list[int]) -> dict[int, Range]:
        """Return what each partition holds now."""
        lows, highs = self.at_time(partitions, _EARLIEST), self.at_time(partitions, _LATEST)
        return {partition: Range(lows[partition], highs[partition]) for partition in partitions}

    def at_time(self, partitions: list[int], milliseconds: int) -> dict[int, int]:
        """Return the first offset at or after a time; -1 where there is none."""
        asked = [TopicPartition(self._topic, partition, milliseconds) for partition in partitions]
        try:
            answers = self._consumer.offsets_for_times(asked, timeout=self._timeout)
        except KafkaException as problem:
            raise translate(problem.args[0], "asking for the offsets of", self._topic) from None
        for answer in answers:
            if answer.error is not None:
                raise translate(answer.error, f"asking for the offsets of partition {answer.partition} of", self._topic)
        return {answer.partition: answer.offset for answer in answers}


def locate(span: Span, partitions: list[int], offsets: Offsets) -> tuple[dict[int, int], dict[int, int] | None]:
    """Return where to start and, for a span that ends, where to stop, by partition."""
    ranges = offsets.ranges(partitions)
    starts = _offsets_of(span.start, ranges, offsets)
    _check(starts, ranges)
    if span.end is None:
        return starts, None
    ends = _offsets_of(span.end, ranges, offsets)
    named = [partition for partition in starts if partition in ends]
    return ({partition: starts[partition] for partition in named},
            {partition: min(ends[partition], ranges[partition].high) for partition in named})


def _offsets_of(position: Position, ranges: dict[int, Range], offsets: Offsets) -> dict[int, int]:
    match position:
        case Start():
            return {partition: held.low for partition, held in ranges.items()}
        case End():
            return {partition: held.high for partition, held in ranges.items()}
        case Number(value):
            return dict.fromkeys(ranges, value)
        case Moment(nanoseconds):
            found = offsets.at_time(list(ranges), -(-nanoseconds // _MILLISECOND))
            return {partition: min(found[partition], held.high) if found[partition] >= 0 else held.high for partition, held in ranges.items()}
        case PerPartition(pairs):
            unknown = [str(partition) for partition, _ in pairs if partition not in ranges]
            if unknown:
                raise UsageProblem(f"There is no partition {', '.join(unknown)}; the partitions are 0 to {len(ranges) - 1}.")
            return dict(pairs)
        case Last(count):
            return {partition: max(held.low, held.high - count) for partition, held in ranges.items()}


def _check(starts: dict[int, int], ranges: dict[int, Range]) -> None:
    outside = [partition for partition, offset in starts.items() if not ranges[partition].low <= offset <= ranges[partition].high]
    if outside:
        held = ", ".join(f"{partition}:{ranges[partition].low} to {partition}:{ranges[partition].high}" for partition in outside)
        raise OutOfRange(f"The offsets asked for are not stored; there are {held} (the last not included).")
