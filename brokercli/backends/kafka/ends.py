"""What partitions of many topics hold, each answered for itself: one that does not answer spoils nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from brokercli.backends.kafka.groups import Place
from brokercli.backends.kafka.span import Range


def held(admin: AdminClient, places: Collection[Place], seconds: float) -> dict[Place, Range]:
    """Return what each partition holds that a reader of committed records can read; what does not answer within `seconds` is missing."""
    specifications: Any = OffsetSpec
    asked = [(admin.list_offsets({TopicPartition(*place): spec for place in places}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=seconds)
              if places else {}) for spec in (specifications.earliest(), specifications.latest())]
    lows, highs = ({(place.topic, place.partition): _offset(future, seconds) for place, future in answers.items()} for answers in asked)
    found: dict[Place, Range] = {}
    for place in places:
        low, high = lows.get(place), highs.get(place)
        if low is not None and high is not None:
            found[place] = Range(low, high)
    return found


def led(metadata: Any, topics: Collection[str]) -> list[Place]:
    """Return the partitions of topics that have a leader to ask; one without would hold up the answer for all."""
    return [(name, number) for name in topics if name in metadata.topics
            for number, partition in sorted(metadata.topics[name].partitions.items()) if partition.leader >= 0]


def offsets_in(topic: str, metadata: Any, ranges: Mapping[Place, Range]) -> int | None:
    """Return how many offsets a topic holds; None where not every partition answered, or there is no such topic."""
    if topic not in metadata.topics:
        return None
    found = [ranges.get((topic, number)) for number in metadata.topics[topic].partitions]
    there = [one.high - one.low for one in found if one is not None]
    return sum(there) if len(there) == len(found) else None


def _offset(future: Any, seconds: float) -> int | None:
    try:
        offset: int = future.result(seconds + 1).offset
    except (KafkaException, TimeoutError):
        return None
    return offset
