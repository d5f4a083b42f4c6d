"""What partitions of many topics hold, each answered for itself: one that does not answer spoils nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from time import monotonic, sleep
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from brokercli.backends.kafka.groups import Place
from brokercli.backends.kafka.span import FOR_A_MOMENT, PATIENCE_SECONDS, RETRY_SECONDS, Range

_UNKNOWN_HERE = (KafkaError._UNKNOWN_PARTITION, KafkaError._NOENT)
"""What the client says of partitions that it does not know; the second where it knows none of those it is asked for."""


def held(admin: AdminClient, places: Collection[Place], seconds: float, *, committed: bool = True) -> dict[Place, Range]:
    """Return what each partition holds that a reader of committed records can read, or, unless `committed`, one who reads what open transactions
    have written as well; what does not answer within `seconds` is missing.

    A partition whose leader is changing, or that was just made, is asked again for a moment: metadata show it before its leader knows it, and one
    broker's before another's.
    """
    specifications: Any = OffsetSpec
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    lows: dict[Place, int] = {}
    highs: dict[Place, int] = {}
    deadline = monotonic() + min(seconds, PATIENCE_SECONDS)
    asked_again = False
    while places:
        leaders = known_leaders(admin, places, seconds)
        asked = [(found, ask_offsets(admin, leaders, spec, level, seconds))
                 for found, spec in ((lows, specifications.earliest()), (highs, specifications.latest()))]
        failed = {(place.topic, place.partition): code for found, answers in asked for place, future in answers.items()
                  if (code := take_offset((place.topic, place.partition), future, seconds, found)) is not None}
        again = {place for place in places if leaders.get(place, 0) < 0 or failed.get(place) in FOR_A_MOMENT}
        if not asked_again:
            asked_again = True
            again |= {place for place in places if place not in leaders or failed.get(place) in _UNKNOWN_HERE}
        if not again or monotonic() >= deadline:
            break
        places = again
        sleep(RETRY_SECONDS)
    return {place: Range(low, highs[place]) for place, low in lows.items() if place in highs}


def known_leaders(admin: AdminClient, places: Collection[Place], seconds: float) -> dict[Place, int]:
    """Return who leads each of these partitions, below 0 where nobody does; the client knows it as well from now on. What does not exist is left
    out, and so is everything where nobody answers."""
    topics = {topic for topic, _ in places}
    if not topics:
        return {}
    only = {"topic": next(iter(topics))} if len(topics) == 1 else {}
    try:
        there = admin.list_topics(timeout=seconds, **only).topics
    except KafkaException:
        return {}
    return {(topic, number): there[topic].partitions[number].leader for topic, number in places if topic in there and number in there[topic].partitions}


def ask_offsets(admin: AdminClient, leaders: Mapping[Place, int], which: Any, level: Any, seconds: float) -> dict[Any, Any]:
    """Ask the leaders that are known for one offset of each of their partitions.

    The client is never asked about others. It looks for the leader itself then, and goes on using its notes of that after its other thread, to
    which metadata came at this moment, has done what is to be done and has thrown them away: a description of a topic ended so with SIGSEGV (2.16.0,
    once, on a busy machine; rd_kafka_topic_partition_list_query_leaders_async).
    """
    led_by_somebody = {TopicPartition(*place): which for place, leader in leaders.items() if leader >= 0}
    return admin.list_offsets(led_by_somebody, isolation_level=level, request_timeout=seconds) if led_by_somebody else {}


def take_offset(place: Place, future: Any, seconds: float, found: dict[Place, int]) -> int | None:
    """Enter an answer; return the code of what came in its place. For a leader that is mute the client gives an offset that is none,
    -1001, and no error, where another leader has answered (2.16, seen on 4.4 with one of two brokers frozen)."""
    try:
        if (offset := future.result(seconds + 1).offset) >= 0:
            found[place] = offset
    except KafkaException as problem:
        code: int = problem.args[0].code()
        return code
    except TimeoutError:
        pass
    return None


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
