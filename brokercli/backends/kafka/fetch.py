"""Records by their places: the originals that dead letters point at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.ends import held
from brokercli.backends.kafka.failures import nothing_came
from brokercli.backends.kafka.look import LOST_SECONDS, KafkaReader
from brokercli.backends.kafka.odd_headers import ReadAnew
from brokercli.backends.kafka.reading import Lent
from brokercli.backends.kafka.span import Offsets, Range
from brokercli.model.errors import NotFound, OutOfRange, UsageProblem
from brokercli.model.message import Place, Record, Unread

# reading over so many records that nobody asked for takes about as long as starting to read elsewhere
_NEAR = 2000

Wanted = dict[int, list[int]]
"""Partition → ascending offsets."""


def fetch(places: Sequence[Place], partitions_of: Callable[[str], Iterable[int]], lent: Lent, nothing_ahead: Callable[[], Lent],
          timeout: float, read_anew: ReadAnew, admin: Callable[[], AdminClient]) -> list[Record | Unread | None]:
    """Return the record at each place; None where it is not stored (any more), and for what is no place of a record. What a transaction that is
    still open holds back is there and cannot be read: a share group reads that as well, unless told otherwise (share.isolation.level)."""
    wanted: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for place in places:
        if (found := _parse(place)) is not None:
            wanted[found[0]].add(found[1:])
    records: dict[tuple[str, int, int], Record | Unread] = {}
    for topic, spots in wanted.items():
        try:
            partitions = set(partitions_of(topic))
        except (NotFound, UsageProblem):
            continue
        offsets = Offsets(lent.consumer, topic, timeout)
        spots = {(partition, offset) for partition, offset in spots if partition in partitions}
        if not spots:
            continue
        asked = {partition for partition, _ in spots}
        ranges = offsets.ranges(asked)
        beyond = {(partition, offset) for partition, offset in spots if offset >= ranges[partition].high}
        if beyond:
            waiting = _held_back(topic, beyond, admin(), timeout)
            records |= {(topic, *spot): why for spot, why in waiting.items()}
            # what was committed meanwhile is read
            ranges = offsets.ranges(asked)
        for partition, offset, record in _fetch(offsets, _stored(spots, ranges), lent, nothing_ahead, read_anew):
            records[topic, partition, offset] = record
    return [None if (found := _parse(place)) is None else records.get(found) for place in places]


def _parse(place: Place) -> tuple[str, int, int] | None:
    topic, partition, offset = place.get("topic"), place.get("partition"), place.get("offset")
    if not isinstance(topic, str) or not topic or type(partition) is not int or type(offset) is not int:
        return None
    return topic, partition, offset


def _held_back(topic: str, beyond: Collection[tuple[int, int]], admin: AdminClient, timeout: float) -> dict[tuple[int, int], Unread]:
    """Return which of the places behind what a reader of committed records can read are stored all the same."""
    ends = held(admin, {(topic, partition) for partition, _ in beyond}, timeout, committed=False)
    found = {}
    for partition, offset in beyond:
        whole = ends.get((topic, partition))
        if whole is None:
            found[partition, offset] = Unread(f"partition {partition} of {topic} does not answer")
        elif offset < whole.high:
            found[partition, offset] = Unread("a transaction that is still open holds it back")
    return found


def _stored(spots: Iterable[tuple[int, int]], ranges: Mapping[int, Range]) -> Wanted:
    """Leave out what lies outside of what the partitions hold."""
    wanted: Wanted = defaultdict(list)
    for partition, offset in sorted(spots):
        if ranges[partition].low <= offset < ranges[partition].high:
            wanted[partition].append(offset)
    return wanted


def _fetch(offsets: Offsets, wanted: Wanted, lent: Lent, nothing_ahead: Callable[[], Lent], read_anew: ReadAnew) -> Iterable[tuple[int, int, Record]]:
    # the reader is done with a stretch; whoever lent the consumer goes on with it
    within = lent._replace(give_back=lent.consumer.unassign)
    stretches = {partition: _stretches(found) for partition, found in wanted.items()}
    while stretches:
        # one stretch of each partition at a time, all partitions at once
        now = {partition: waiting.pop(0) for partition, waiting in stretches.items()}
        stretches = {partition: waiting for partition, waiting in stretches.items() if waiting}
        sought = {(partition, offset) for partition, stretch in now.items() for offset in stretch}
        reader = KafkaReader(within, offsets, {partition: stretch[0] for partition, stretch in now.items()},
                             {partition: stretch[-1] + 1 for partition, stretch in now.items()}, read_anew, nothing_ahead=nothing_ahead)
        with reader:
            while not reader.finished:
                try:
                    batch = reader.read(LOST_SECONDS)
                except OutOfRange:
                    # deleted since they were asked for; those of the other partitions are tried alone
                    if len(now) > 1:
                        for partition, stretch in now.items():
                            yield from _fetch(offsets, {partition: stretch}, lent, nothing_ahead, read_anew)
                    break
                if batch is None:
                    if reader.finished:
                        break
                    raise nothing_came(offsets.topic, LOST_SECONDS, lent.troubles.throttled)
                stamps = batch.stamps()
                chosen = [number for number, (partition, offset, _) in enumerate(stamps) if (partition, offset) in sought]
                for number, record in zip(chosen, batch.select(chosen).records(), strict=True):
                    yield stamps[number][0], stamps[number][1], record


def _stretches(found: list[int]) -> list[list[int]]:
    stretches = [[found[0]]]
    for offset in found[1:]:
        if offset - stretches[-1][-1] <= _NEAR:
            stretches[-1].append(offset)
        else:
            stretches.append([offset])
    return stretches
