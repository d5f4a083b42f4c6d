"""The newest N records over all partitions of a topic."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from brokercli.backends.kafka.failures import nothing_came
from brokercli.backends.kafka.look import KafkaReader
from brokercli.backends.kafka.reading import Lent
from brokercli.backends.kafka.span import Offsets, Range

_SPARE = 16


class _Tail:
    """The end of one partition, as far back as it has been read."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.times = array("q")
        self.offsets = array("q")


def newest(count: int, ranges: dict[int, Range], lent: Lent, offsets: Offsets, nothing_ahead: Callable[[], Lent] | None, patience: float) -> dict[int, int]:
    """Return, for each partition, where the newest `count` records of all of them start.

    Counted are records, not offsets: what transactions and compaction leave behind is no record. Taken are, one by one,
    the records with the latest time among the partitions' last ones; of equal times the one of the higher partition.
    Reads the records once to find out, from then on with another consumer where `KafkaReader` wants one. Raises Unreachable when nothing
    comes for `patience` seconds.
    """
    step = -(-count // max(1, len(ranges))) + (_SPARE if len(ranges) > 1 else 0)
    tails = {partition: _Tail(max(held.low, held.high - step)) for partition, held in ranges.items()}
    unread = {partition: held.high for partition, held in ranges.items()}
    while True:
        _extend({partition: tails[partition] for partition in unread}, unread, lent, offsets, nothing_ahead, patience)
        starts, short = _choose(count, tails, ranges)
        if not short:
            return starts
        unread = {}
        for partition in short:
            tail = tails[partition]
            unread[partition] = tail.start
            tail.start = max(ranges[partition].low, tail.start - max(step, 2 * (ranges[partition].high - tail.start)))


def _extend(tails: dict[int, _Tail], ends: dict[int, int], lent: Lent, offsets: Offsets, nothing_ahead: Callable[[], Lent] | None,
            patience: float) -> None:
    """Read each tail from its start to where it was read from before."""
    found = {partition: (array("q"), array("q")) for partition in tails}
    starts = {partition: tail.start for partition, tail in tails.items()}
    # whoever lent the consumer goes on with it; of the headers only their size is asked for
    with KafkaReader(lent._replace(give_back=lambda: None), offsets, starts, ends, lambda place: (), nothing_ahead=nothing_ahead) as reader:
        while not reader.finished:
            batch = reader.read(patience)
            if batch is None:
                if reader.finished:
                    break
                raise nothing_came(offsets.topic, patience, lent.troubles.throttled)
            for partition, offset, time in batch.stamps():
                found[partition][0].append(time)
                found[partition][1].append(offset)
    for partition, (times, numbers) in found.items():
        tail = tails[partition]
        tail.times, tail.offsets = times + tail.times, numbers + tail.offsets


def _choose(count: int, tails: dict[int, _Tail], ranges: dict[int, Range]) -> tuple[dict[int, int], list[int]]:
    """Return the starts, and the partitions that have to be read further back before they can be trusted."""
    left = {partition: len(tail.times) for partition, tail in tails.items()}
    starts = {partition: held.high for partition, held in ranges.items()}
    heap: list[tuple[int, int]] = []
    short = []
    for partition, tail in tails.items():
        if tail.times:
            heap.append((-tail.times[-1], -partition))
        elif tail.start > ranges[partition].low:
            short.append(partition)
    heapify(heap)
    for _ in range(count):
        if not heap or short:
            break
        partition = -heappop(heap)[1]
        tail = tails[partition]
        left[partition] -= 1
        starts[partition] = tail.offsets[left[partition]]
        if left[partition]:
            heappush(heap, (-tail.times[left[partition] - 1], -partition))
        elif tail.start > ranges[partition].low:
            short.append(partition)
    taken = sum(len(tail.times) - left[partition] for partition, tail in tails.items())
    return starts, short if taken < count else []
