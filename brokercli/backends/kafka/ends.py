"""What partitions of many topics hold, each answered for itself: one that does not answer spoils nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from brokercli.backends.kafka.groups import Place
from brokercli.backends.kafka.span import FOR_A_MOMENT, PATIENCE_SECONDS, RETRY_SECONDS, Range

_UNKNOWN_HERE = (KafkaError._UNKNOWN_PARTITION, KafkaError._NOENT)
"""What the client says of partitions that it does not know; the second where it knows none of those it is asked for."""


def held(admin: AdminClient, places: Collection[Place], seconds: float) -> dict[Place, Range]:
    """Return what each partition holds that a reader of committed records can read; what does not answer within `seconds` is missing.

    A partition whose leader is changing, or that was just made, is asked again for a moment: metadata show it before its leader knows it.
    """
    specifications: Any = OffsetSpec
    lows: dict[Place, int] = {}
    highs: dict[Place, int] = {}
    deadline = monotonic() + min(seconds, PATIENCE_SECONDS)
    refreshed = False
    while places:
        asked = [(found, admin.list_offsets({TopicPartition(*place): spec for place in places}, isolation_level=IsolationLevel.READ_COMMITTED,
                                            request_timeout=seconds))
                 for found, spec in ((lows, specifications.earliest()), (highs, specifications.latest()))]
        failed = {(place.topic, place.partition): code for found, answers in asked for place, future in answers.items()
                  if (code := take_offset((place.topic, place.partition), future, seconds, found)) is not None}
        again = {place for place, code in failed.items() if code in FOR_A_MOMENT}
        unknown = {place for place, code in failed.items() if code in _UNKNOWN_HERE}
        if unknown and not refreshed:
            refreshed = True
            _refresh(admin, seconds)
            places = again | unknown
        elif again and monotonic() < deadline:
            places = again
            sleep(RETRY_SECONDS)
        else:
            break
    return {place: Range(low, highs[place]) for place, low in lows.items() if place in highs}


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


def _refresh(admin: AdminClient, seconds: float) -> None:
    """Have the client learn of partitions that were added: it remembers how many a topic has, and does not ask again by itself (2.16)."""
    with suppress(KafkaException):
        admin.list_topics(timeout=seconds)


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
