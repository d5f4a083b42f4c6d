"""Which topics hold dead letters: by their names, and by what their last records look like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from brokercli.backends.dead_letters import DeadLetterSource, State, some_of
from brokercli.backends.kafka.dead_letter_names import by_headers, by_name, feeds_of, is_plausible, is_retry, waits
from brokercli.backends.kafka.ends import held, led
from brokercli.backends.kafka.handled_group import CommittedOffsets, HandledLetters, ask_committed, understand
from brokercli.backends.kafka.held_back import held_back, summed_up
from brokercli.backends.kafka.listing import is_internal
from brokercli.backends.kafka.lost_end import count_what_came_since, count_what_later_leaders_stored
from brokercli.backends.kafka.odd_headers import Stored, readable_headers
from brokercli.backends.kafka.records import time_of
from brokercli.backends.kafka.span import NOT_STORED, Offsets, Range
from brokercli.backends.kafka.topic_ids import tags_of
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError

SAMPLE = 20
MANY_TOPICS = 200
"""From so many topics on, only those with a plausible name are sampled."""
_MANY_PARTITIONS = 1000
_PATIENCE = 5.0
_TOPICS = ("topic was", "topics were")
_MILLISECOND = 1_000_000

Place = tuple[str, int]
Ranges = dict[str, dict[int, Range]]


def find_sources(patterns: Sequence[str], metadata: Any, consumer: Consumer, admin: AdminClient, timeout: float,
                 unseen: MutableSequence[str]) -> Iterator[DeadLetterSource]:
    """Yield the topics of dead letters by name, with what is pending in them. Assigns partitions; joins and commits nothing.
    Says in `unseen` which topics could not be looked into."""
    topics = {name: topic for name, topic in metadata.topics.items() if topic.error is None and not is_internal(name)}
    ranges = _ranges(admin, metadata, topics, timeout)
    for name in _deleted(consumer, topics.keys() - ranges.keys(), timeout):
        del topics[name]
    found = {name: why for name in topics if (why := by_name(name, patterns)) is not None}
    others = [name for name in topics if name not in found and not is_retry(name) and name in ranges]
    sampled = others if len(topics) < MANY_TOPICS else [name for name in others if is_plausible(name)]
    looked, unread = _sample(consumer, {name: ranges[name] for name in sampled}, timeout)
    found |= {name: why for name, headers in looked.items() if (why := by_headers(headers)) is not None}
    silent = {name: sorted(topic.partitions.keys() - ranges.get(name, {}).keys()) for name, topic in topics.items()}
    unseen += _unsampled([name for name in topics if name not in found and silent[name]], len(others) - len(sampled), unread)
    asked = ask_committed(admin, {name: ranges[name] for name in found if name in ranges}, timeout)
    tags = tags_of(admin, found, timeout)
    open_ = held_back(admin, [(name, partition) for name in found for partition in ranges.get(name, ())], timeout)
    for name in sorted(found):
        source = _source(name, found[name], ranges.get(name), asked.get(name), tags[name], feeds_of(name, topics.__contains__), consumer, timeout)
        here = {place: there for place, there in open_.items() if place[0] == name}
        left_out = ([_silent(silent[name])] if silent[name] and name in ranges else []) + ([summed_up(here)] if here else [])
        yield replace(source, remarks=(*source.remarks, f"not counted: {'; '.join(left_out)}")) if left_out else source


def _silent(partitions: Sequence[int]) -> str:
    some = some_of([str(partition) for partition in partitions])
    return f"partition {some}, which has no leader or does not answer" if len(partitions) == 1 else f"partitions {some}, which have no leader or do not answer"


def _unsampled(silent: Sequence[str], left_out: int, unread: int) -> Iterator[str]:
    if silent:
        yield f"{amount(len(silent), *_TOPICS)} not looked into, or in part only, because a partition has no leader or does not answer: {some_of(silent)}"
    if left_out:
        yield f"{amount(left_out, *_TOPICS)} not looked into, because there are many and their names say nothing"
    if unread:
        yield f"{amount(unread, *_TOPICS)} not looked into, because nothing of them came in time"


def _ranges(admin: AdminClient, metadata: Any, topics: Mapping[str, Any], timeout: float) -> Ranges:
    """Return what the partitions of each topic hold; those that do not answer are left out, and topics of which none does."""
    found: Ranges = {}
    for (name, partition), there in held(admin, led(metadata, topics), timeout).items():
        found.setdefault(name, {})[partition] = there
    return found


def _source(name: str, why: str, held: dict[int, Range] | None, asked: CommittedOffsets | None, tag: int | BrokercliError, feeds: str | None,
            consumer: Consumer, timeout: float) -> DeadLetterSource:
    address, fed = Address(name, "topic"), (str(Address(feeds, "topic")),) if feeds else ()
    if held is None or asked is None:
        return DeadLetterSource(address, "topic", why, feeds=fed, remarks=("no partition has a leader that answers, so nothing more can be told",))
    depth = sum(there.high - there.low for there in held.values())
    try:
        if isinstance(tag, BrokercliError):
            raise tag
        committed, notes = asked.read()
        handled = understand(name, tag, committed, held)
        offsets = Offsets(consumer, name, timeout)
        count_what_came_since(handled, offsets)
        count_what_later_leaders_stored(handled, held, offsets, consumer, timeout)
    except BrokercliError as problem:
        return DeadLetterSource(address, "topic", why, depth, feeds=fed, remarks=(f"what was handled cannot be told: {problem}",))
    pending, oldest = _pending(name, held, handled, consumer, timeout)
    redriven, dropped = (sum(getattr(one, what) for one in handled.sets.values()) for what in ("redriven", "dropped"))
    counts = (f"{redriven:,} redriven, {dropped:,} dropped so far",) if redriven or dropped else ()
    return DeadLetterSource(address, "topic", why, depth, pending, oldest, fed, (*counts, *notes, *handled.notes))


def _pending(name: str, held: dict[int, Range], handled: HandledLetters, consumer: Consumer, timeout: float) -> tuple[int, int | None]:
    """Count the pending offsets, and read the first pending record of each partition for its time."""
    pending = handled.pending(held)
    starts = {(name, partition): max(there.low, handled.sets[partition].floor) for partition, there in held.items()}
    open_ = {place: start for place, start in starts.items() if start < held[place[1]].high}
    oldest: int | None = None
    told = True
    if pending:
        found = _first_records(consumer, open_, {place: held[place[1]].high for place in open_}, timeout)
        if silent := sorted(partition for _, partition in open_.keys() - found.keys()):
            told = False
            which = f"{'partition' if len(silent) == 1 else 'partitions'} {some_of([str(partition) for partition in silent])}"
            handled.notes.append(f"which is the oldest is not known: nothing of {which} came in time")
        for place, first in found.items():
            letters, low = handled.sets[place[1]], open_[place]
            # up to there is only what a transaction or compaction has left behind, also of letters that were handled
            high = held[place[1]].high if first is None else first.offset()
            pending -= high - low - letters.handled_between(low, high)
            if first is None:
                continue
            # compaction has taken the one at the floor, and which is the first behind it that waits is not known
            told = told and letters.state(high) is State.PENDING
            time = time_of(first.timestamp())
            if time is not None and (oldest is None or time * _MILLISECOND < oldest):
                oldest = time * _MILLISECOND
    return max(0, pending), oldest if told else None


def _first_records(consumer: Consumer, starts: dict[Place, int], ends: dict[Place, int], timeout: float) -> dict[Place, Stored | None]:
    """Return the first record of each partition; None where there is none before its end. What does not answer in time is missing."""
    found: dict[Place, Stored | None] = {}
    waiting = set(starts)
    for message in _read(consumer, starts, timeout, waiting):
        place = message.topic(), message.partition()
        if place in waiting:
            waiting.discard(place)
            found[place] = None if message.error() is not None or message.offset() >= ends[place] else message
            consumer.pause([TopicPartition(*place)])
    return found


def _sample(consumer: Consumer, ranges: Ranges, timeout: float) -> tuple[dict[str, list[set[str]]], int]:
    """Return the header names of the last records of each topic, none for one that only waits, and how many topics did not answer in time."""
    starts: dict[Place, int] = {}
    ends: dict[Place, int] = {}
    for name, whole in ranges.items():
        filled = {partition: there for partition, there in whole.items() if there.high > there.low}
        if len(starts) + len(filled) > _MANY_PARTITIONS:
            continue
        for partition, there in filled.items():
            starts[name, partition] = max(there.low, there.high - max(2, SAMPLE // len(filled)))
            ends[name, partition] = there.high
    headers: dict[str, list[set[str]]] = defaultdict(list)
    waiting = set(starts)
    for message in _read(consumer, starts, timeout, waiting):
        place = message.topic(), message.partition()
        if message.error() is not None:
            waiting.discard(place)
        elif place in waiting:
            found = readable_headers(message)
            headers[place[0]].append(set() if waits(found, message.timestamp()[1]) else {name for name, _ in found})
            if message.offset() >= ends[place] - 1:
                waiting.discard(place)
                consumer.pause([TopicPartition(*place)])
    missing = {name for name, _ in waiting} | {name for name, whole in ranges.items() if not any((name, partition) in starts for partition in whole)
                                               and any(there.high > there.low for there in whole.values())}
    return headers, len(missing)


def _read(consumer: Consumer, starts: dict[Place, int], timeout: float, waiting: set[Place]) -> Iterable[Stored]:
    """Yield records and ends of partitions from some offsets on, while any is waited for or until it takes too long. Partitions of topics
    that are deleted meanwhile are waited for no more: the client never says anything of them (2.16)."""
    if not starts:
        return
    deadline = monotonic() + max(timeout, _PATIENCE)
    consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in starts.items()])
    try:
        while waiting and (left := deadline - monotonic()) > 0:
            message = consumer.poll(min(left, 0.5))
            if message is None:
                waiting -= _gone(consumer, waiting, left)
            elif (error := message.error()) is None or error.code() == KafkaError._PARTITION_EOF:
                yield message
            elif error.code() in NOT_STORED and (place := (str(message.topic()), int(message.partition() or 0))) in waiting:
                # deleted since its offsets were asked for: what is left of it begins later
                consumer.incremental_unassign([TopicPartition(*place)])
                consumer.incremental_assign([TopicPartition(*place, OFFSET_BEGINNING)])
    finally:
        # a partition stays paused when it is assigned anew
        consumer.resume([TopicPartition(*place) for place in starts])
        consumer.unassign()


def _gone(consumer: Consumer, places: set[Place], timeout: float) -> set[Place]:
    deleted = _deleted(consumer, {topic for topic, _ in places}, timeout)
    return {place for place in places if place[0] in deleted}


def _deleted(consumer: Consumer, names: Collection[str], timeout: float) -> set[str]:
    """Return which of the topics there were are not there any more; none where that cannot be told."""
    try:
        there = consumer.list_topics(timeout=timeout).topics if names else {}
    except KafkaException:
        return set()
    return {name for name in names if name not in there}
