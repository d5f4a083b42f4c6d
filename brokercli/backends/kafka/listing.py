"""Which topics there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.ends import held, led, offsets_in
from brokercli.model.description import Listing, Value


def is_internal(name: str) -> bool:
    """Whether a topic is the broker's own (`__consumer_offsets`, `__transaction_state`, …)."""
    return name.startswith("__")


def list_topics(admin: AdminClient, metadata: Any, timeout: float) -> Iterator[Listing]:
    """Yield every topic of the metadata by name, with how many offsets it holds, and of how many of its partitions that is not known.

    That is an upper bound of its messages: offsets of markers, aborted and compacted messages count as well.
    """
    topics = {name: topic for name, topic in metadata.topics.items() if topic.error is None and not is_internal(name)}
    places = led(metadata, topics)
    ranges = held(admin, places, timeout)
    silent = {place for place in places if place not in ranges}
    for name in sorted(topics):
        partitions = topics[name].partitions
        replicas = max((len(partition.replicas) for partition in partitions.values()), default=0)
        facts: dict[str, Value] = {"partitions": len(partitions), "replicas": replicas}
        for fact, count in (("without leader", sum(partition.leader < 0 for partition in partitions.values())),
                            ("without answer", sum((name, number) in silent for number in partitions))):
            if count:
                facts[fact] = count
        yield Listing("topic", name, "topic", messages=offsets_in(name, metadata, ranges), facts=facts)
