"""Positions of the grammar as offsets of a topic's partitions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from time import monotonic, sleep
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from brokercli.backends.kafka.failures import translate, without_leader
from brokercli.model.amount import amount
from brokercli.model.errors import OutOfRange, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start

_MILLISECOND = 1_000_000
# what ListOffsets calls the ends of a log in place of a time (Kafka protocol)
EARLIEST, LATEST = -2, -1
# what it answers where no record is as young as a time
_NONE_THERE = -1
RETRY_SECONDS = 0.1
PATIENCE_SECONDS = 2.0
"""How long questions about many topics are asked again because of what may be over in a moment."""
FOR_A_MOMENT = (KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION,
                 KafkaError.LEADER_NOT_AVAILABLE, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.UNKNOWN)
"""The last is what a leader answers that cannot read where a time lies, from a remote storage for one (`unreadable`)."""
NOT_STORED = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
"""What a reader that is to go nowhere by itself is told where records were deleted."""


class Range(NamedTuple):
    """What a partition holds: from `low` up to `high`, not included."""

    low: int
    high: int


class Offsets:
    """Asks a topic's leaders for offsets: all partitions in one call, in the consumer's isolation level."""

    def __init__(self, consumer: Consumer, topic: str, timeout: float) -> None:
        self._consumer = consumer
        self.topic = topic
        self._timeout = timeout

    def within(self, seconds: float) -> Offsets:
        """Return what asks the same for so many seconds at most."""
        return Offsets(self._consumer, self.topic, min(seconds, self._timeout))

    def starts(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the oldest offset of each partition."""
        return self.at_time(partitions, EARLIEST)

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Return one past the newest offset of each partition that may be read."""
        return self.at_time(partitions, LATEST)

    def ranges(self, partitions: Collection[int]) -> dict[int, Range]:
        """Return what each partition holds now."""
        lows, highs = self.starts(partitions), self.ends(partitions)
        return {partition: Range(lows[partition], highs[partition]) for partition in partitions}

    def at_time(self, partitions: Collection[int], milliseconds: int) -> dict[int, int]:
        """Return the first offset at or after a time; -1 where there is none."""
        return {partition: answer.offset for partition, answer in self._answers(partitions, milliseconds).items()}

    def epochs(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the epoch of each partition's leader; -1 where the broker tells none."""
        return {partition: -1 if answer.leader_epoch is None else answer.leader_epoch for partition, answer in self._answers(partitions, LATEST).items()}

    def _answers(self, partitions: Collection[int], milliseconds: int) -> dict[int, TopicPartition]:
        asked = [TopicPartition(self.topic, partition, milliseconds) for partition in partitions]
        deadline = monotonic() + self._timeout
        while True:
            where = ""
            try:
                answers = self._consumer.offsets_for_times(asked, timeout=self._timeout)
            except KafkaException as problem:
                # where no partition has an answer, the client raises what one of them said
                error = problem.args[0]
            else:
                wrong = next((answer for answer in answers if answer.error is not None or answer.offset < _NONE_THERE), None)
                if wrong is None:
                    return {answer.partition: answer for answer in answers}
                # an offset that is none, and no error, is what the client gives for a leader that is mute where another one has answered
                where, error = f"partition {wrong.partition} of ", wrong.error or KafkaError(KafkaError._TIMED_OUT)
            over = monotonic() >= deadline
            # the client calls a partition unknown that has no leader (2.16.1); where others of the topic have one it says so
            leaders = self._leaders(partitions) if error.code() == KafkaError._UNKNOWN_PARTITION or (over and error.code() in FOR_A_MOMENT) else {}
            # a broker that has just come back, or a topic that was just made: its metadata are there before its partitions
            if over or not (leaders or error.code() in FOR_A_MOMENT):
                leaderless = [partition for partition, leader in leaders.items() if leader < 0]
                raise without_leader(self.topic, leaderless) if leaderless else translate(error, f"asking for the offsets of {where}".rstrip(), self.topic)
            sleep(RETRY_SECONDS)

    def _leaders(self, partitions: Collection[int]) -> dict[int, int]:
        """Return who leads each partition, below 0 where nobody does; nothing where one of them does not exist, or nobody answers."""
        try:
            known = self._consumer.list_topics(self.topic, timeout=self._timeout).topics[self.topic].partitions
        except KafkaException:
            return {}
        return {partition: known[partition].leader for partition in partitions} if all(partition in known for partition in partitions) else {}


LastOf = Callable[[int, dict[int, Range]], dict[int, int]]
"""Finds where the newest `count` records of some partitions start."""


def locate(span: Span, partitions: list[int], offsets: Offsets, last: LastOf) -> tuple[dict[int, int], dict[int, int] | None]:
    """Return where to start and, for a span that ends, where to stop, by partition.

    An end that is not stored yet is the end there is: a span that ends never waits for records to come. Raises
    OutOfRange for a start before or beyond what a partition holds (at its end is an empty span), UsageProblem for
    partitions that do not exist and for a span that ends before it starts.
    """
    if isinstance(span.start, Number) and isinstance(span.end, Number) and span.end.value < span.start.value:
        raise UsageProblem(f"The range ends at {span.end} before it starts at {span.start}.")
    meant = named_by((span.start, span.end), partitions, offsets.topic)
    ranges = offsets.ranges(meant) if meant else {}
    starts = offsets_of(span.start, ranges, offsets, last)
    check_stored(starts, ranges)
    if span.end is None:
        return starts, None
    ends = offsets_of(span.end, ranges, offsets, last)
    return starts, {partition: max(start, min(ends[partition], ranges[partition].high)) for partition, start in starts.items()}


def named_by(positions: Iterable[Position | None], partitions: Collection[int], topic: str) -> list[int]:
    """Return the partitions of a topic that are meant: those that every position names which names some. Nobody asks for the others, who may
    have no leader. Raises UsageProblem for partitions that do not exist."""
    meant = list(partitions)
    for position in positions:
        if isinstance(position, PerPartition):
            named = dict(position.offsets)
            if unknown := [str(partition) for partition in named if partition not in partitions]:
                raise UsageProblem(f"{topic} has no partition {', '.join(unknown)}; it has {len(partitions)}: 0 to {len(partitions) - 1}.")
            meant = [partition for partition in meant if partition in named]
    return meant


def check_stored(starts: dict[int, int], ranges: dict[int, Range]) -> None:
    """Raise OutOfRange for offsets before or beyond what their partition holds; its end is none of these."""
    outside = {partition: ranges[partition] for partition, offset in starts.items() if not ranges[partition].low <= offset <= ranges[partition].high}
    if outside:
        raise out_of_range(outside, "are not stored")


def offsets_of(position: Position, ranges: dict[int, Range], offsets: Offsets, last: LastOf) -> dict[int, int]:
    """Return the offset of a position in each partition, whether that is stored or not; one that names partitions names these (`named_by`)."""
    match position:
        case Start():
            return {partition: held.low for partition, held in ranges.items()}
        case End():
            return {partition: held.high for partition, held in ranges.items()}
        case Number(value):
            return dict.fromkeys(ranges, value)
        case Moment(nanoseconds):
            # a record's time has milliseconds; before 1970 lies everything
            found = offsets.at_time(ranges, max(0, -(-nanoseconds // _MILLISECOND)))
            return {partition: held.high if found[partition] < 0 else min(found[partition], held.high) for partition, held in ranges.items()}
        case PerPartition(pairs):
            return {partition: offset for partition, offset in pairs if partition in ranges}
        case Last(count):
            return last(count, ranges)


def out_of_range(ranges: dict[int, Range], what: str) -> OutOfRange:
    """Return the error that says which offsets there are."""
    some = sorted(ranges.items())[:8]
    held = [f"{partition}:{there.low} to {partition}:{there.high}" for partition, there in some if there.low < there.high]
    told = [f"there are {', '.join(held)} (the last of each not included)"] if held else []
    told += [f"partition {partition} is empty, and its next offset is {there.high}" for partition, there in some if there.low >= there.high]
    more = f"; and {amount(len(ranges) - len(some), 'more partition')}" if len(ranges) > len(some) else ""
    return OutOfRange(f"The offsets asked for {what}; {'; '.join(told)}{more}.",
                      hint="start and end are positions too: the oldest there is, and what comes next")
