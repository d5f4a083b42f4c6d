"""How far groups are: committed offsets against what the partitions hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.ends import held, led
from brokercli.backends.kafka.groups import Group, Place
from brokercli.backends.kafka.handled_group import HandledLetters, topic_of, understand
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.span import Range
from brokercli.backends.kafka.topic_ids import tags_of
from brokercli.model.address import Address
from brokercli.model.consumption import Lag
from brokercli.model.errors import BrokercliError

HANDLED = "handled letters"
"""Kind of the groups in which brokercli keeps which dead letters were handled; nobody is a member of them."""


def lags_of(groups: Collection[Group], metadata: Any, admin: AdminClient, patience: Patience) -> dict[str, list[Lag]]:
    """Return how far each group is in every partition of the topics that it reads: two requests for all, and two more where a group is beyond
    what is committed there."""
    topics = sorted({topic for group in groups for topic in group.topics})
    ranges = patience.ask(lambda seconds: held(admin, led(metadata, topics), seconds))
    # who reads what open transactions have written may well be beyond their beginning
    beyond = {place for group in groups for place, at in group.committed.items() if place in ranges and at.offset > ranges[place].high}
    written = patience.ask(lambda seconds: held(admin, beyond, seconds, committed=False)) if beyond else {}
    ours = {topic for group in groups if (topic := handled_topic(group, metadata)) is not None}
    tags = patience.ask(lambda seconds: tags_of(admin, ours, seconds))
    return {group.name: _lags(group, metadata, ranges, written, tags) for group in groups}


def handled_topic(group: Group, metadata: Any) -> str | None:
    """Return the topic whose handled letters a group keeps; None where it is another kind of group, or there is no such topic."""
    topic = topic_of(group.name)
    return topic if topic is not None and topic in metadata.topics else None


def _lags(group: Group, metadata: Any, ranges: Mapping[Place, Range], written: Mapping[Place, Range],
          tags: Mapping[str, int | BrokercliError]) -> list[Lag]:
    topic, readers = handled_topic(group, metadata), group.readers()
    tag = tags[topic] if topic is not None else 0
    if isinstance(tag, BrokercliError):
        # what it says may be of an older topic of that name
        return [replace(_lag(group, place, ranges.get(place), None, readers.get(place, "")), lag=None) for place in _places(group, metadata)]
    letters = letters_of(group, topic, ranges, tag) if topic is not None else None
    found: list[Lag] = []
    for place in _places(group, metadata):
        there, reach = ranges.get(place), _reach(group, place, ranges, written)
        lag = _lag(group, place, reach, letters, readers.get(place, ""))
        found.append(replace(lag, readable=there.high) if there is not None and reach != there else lag)
    return found


def _reach(group: Group, place: Place, ranges: Mapping[Place, Range], written: Mapping[Place, Range]) -> Range | None:
    """Return what a partition holds for a group: as far as it is committed, or as it is written for one that has read beyond that."""
    there, at = ranges.get(place), group.committed.get(place)
    if there is not None and at is not None and there.high < at.offset <= (more := written.get(place, there)).high:
        return more
    return there


def _places(group: Group, metadata: Any) -> Sequence[Place]:
    """Return every partition of the topics that the group reads, also those it has no offset for, and those of its members in topics that
    this login is not shown: what waits there is not nothing."""
    there = {(topic, number) for topic in group.topics if topic in metadata.topics for number in metadata.topics[topic].partitions}
    return sorted(there | set(group.committed) | set(group.readers()))


def _lag(group: Group, place: Place, there: Range | None, letters: HandledLetters | None, reader: str) -> Lag:
    committed = group.committed.get(place)
    position = committed.offset if committed is not None else None
    lag = None
    if there is not None and letters is not None and place[0] == letters.topic:
        # what was handled above the committed offset does not wait any more; what came after a lost end is found by who reads it (`lost_end`)
        lag = None if place[1] in letters.without_end else there.high - there.low - letters.sets[place[1]].handled_between(there.low, there.high)
    elif there is not None and position is not None and position <= there.high:
        # beyond the end, the topic was made anew or has lost its end: where its readers go on is theirs to say (auto.offset.reset)
        lag = there.high - max(position, there.low)
    return Lag(str(Address(place[0], "topic")), place[1], position, there.high if there is not None else None, there.low if there is not None else None,
               lag, member=reader)


def letters_of(group: Group, topic: str, ranges: Mapping[Place, Range], tag: int) -> HandledLetters | None:
    """Return what a group of ours says of a topic's letters; None where this version cannot read it."""
    there = {number: held_there for (name, number), held_there in ranges.items() if name == topic}
    try:
        return understand(topic, tag, [place for (name, _), place in group.committed.items() if name == topic], there)
    except BrokercliError:
        return None


def total(lags: Sequence[Lag]) -> int | None:
    """Return the lag over all partitions that were begun; None where none was, or where one of them does not say."""
    if any(lag.position is not None and lag.end is None for lag in lags):
        return None
    known = [lag.lag for lag in lags if lag.lag is not None]
    return sum(known) if known else None
