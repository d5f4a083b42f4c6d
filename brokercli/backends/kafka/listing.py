"""Which topics there are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from brokercli.backends.kafka.failures import translate
from brokercli.backends.kafka.span import FOR_A_MOMENT, PATIENCE_SECONDS, RETRY_SECONDS
from brokercli.model.description import Listing, Value

_EARLIEST, _LATEST = -2, -1
_CHANGING = (*FOR_A_MOMENT, KafkaError.UNKNOWN_TOPIC_OR_PART)


def is_internal(name: str) -> bool:
    """Whether a topic is the broker's own (`__consumer_offsets`, `__transaction_state`, …)."""
    return name.startswith("__")


def list_topics(consumer: Consumer, metadata: Any, timeout: float) -> Iterator[Listing]:
    """Yield every topic of the metadata by name, with how many offsets it holds.

    That is an upper bound of its messages: offsets of markers, aborted and compacted messages count as well.
    """
    topics = {name: topic for name, topic in metadata.topics.items() if topic.error is None and not is_internal(name)}
    held = _held(consumer, topics, timeout)
    for name in sorted(topics):
        partitions = topics[name].partitions
        replicas = max((len(partition.replicas) for partition in partitions.values()), default=0)
        facts: dict[str, Value] = {"partitions": len(partitions), "replicas": replicas}
        if leaderless := sum(partition.leader < 0 for partition in partitions.values()):
            facts["without leader"] = leaderless
        yield Listing("topic", name, "topic", messages=held.get(name), facts=facts)


def ask_for_offsets(consumer: Consumer, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
    """Ask for many offsets at once. One topic that is being made or deleted just now spoils the answer for all: then those that
    are still there are asked again, and if it stays so each topic for itself; those that do not answer then are missing."""
    deadline = monotonic() + min(timeout, PATIENCE_SECONDS)
    while True:
        try:
            answers = consumer.offsets_for_times(asked, timeout=timeout) if asked else []
            if monotonic() >= deadline or not any(answer.error is not None and answer.error.code() in FOR_A_MOMENT for answer in answers):
                return answers
        except KafkaException as problem:
            if problem.args[0].code() not in _CHANGING:
                raise translate(problem.args[0], "asking for the offsets of", "the topics") from None
        if monotonic() >= deadline:
            return _one_by_one(consumer, asked, timeout)
        sleep(RETRY_SECONDS)
        asked = _still_there(consumer, asked, timeout)


def _one_by_one(consumer: Consumer, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
    """Ask for the offsets of each topic for itself, within `timeout` seconds in all."""
    answers: list[TopicPartition] = []
    deadline = monotonic() + timeout
    for name, places in groupby(asked, key=lambda place: place.topic):
        left = deadline - monotonic()
        if left <= 0:
            break
        try:
            answers += consumer.offsets_for_times(list(places), timeout=left)
        except KafkaException as problem:
            if problem.args[0].code() not in _CHANGING:
                raise translate(problem.args[0], "asking for the offsets of", name) from None
    return answers


def _still_there(consumer: Consumer, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
    try:
        topics = consumer.list_topics(timeout=timeout).topics
    except KafkaException as problem:
        raise translate(problem.args[0], "listing", "the topics") from None
    return [place for place in asked if place.topic in topics and place.partition in topics[place.topic].partitions]


def _held(consumer: Consumer, topics: dict[str, Any], timeout: float) -> dict[str, int]:
    """Return the number of offsets of each topic of which every partition answers: two requests to each leader in all."""
    # a partition without a leader would hold up the answer for all
    whole = {name for name, topic in topics.items() if all(partition.leader >= 0 for partition in topic.partitions.values())}
    ends: list[dict[tuple[str, int], int]] = []
    for which in (_EARLIEST, _LATEST):
        asked = [TopicPartition(name, partition, which) for name in whole for partition in topics[name].partitions]
        if not asked:
            return {}
        answers = ask_for_offsets(consumer, asked, timeout)
        ends.append({(answer.topic, answer.partition): answer.offset for answer in answers if answer.error is None})
    lows, highs = ends
    held: dict[str, int] = {}
    for name in whole:
        places = [(name, partition) for partition in topics[name].partitions]
        if all(place in lows and place in highs for place in places):
            held[name] = sum(highs[place] - lows[place] for place in places)
    return held
