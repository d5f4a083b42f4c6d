"""Partitions in which a transaction stays open: whoever reads committed records sees nothing behind where it began."""

from __future__ import annotations

from collections.abc import Mapping
from time import sleep
from typing import Any

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from brokercli.backends.kafka.ends import take_offset
from brokercli.backends.kafka.groups import Place

# most transactions are over by then
_LOOK_AGAIN_SECONDS = 1.0


def held_back(admin: AdminClient, topic: str, partitions: Mapping[int, Any], seconds: float) -> dict[int, int]:
    """Return the offset from which each partition is held back, as far as it stays so for a moment; a partition that nobody leads, or that does
    not answer within `seconds`, is left out."""
    led = [number for number, partition in partitions.items() if partition.leader >= 0]
    ends = _ends(admin, topic, led, IsolationLevel.READ_UNCOMMITTED, seconds)
    stable = _ends(admin, topic, led, IsolationLevel.READ_COMMITTED, seconds)
    held = {number: offset for number, offset in stable.items() if offset < ends.get(number, 0)}
    if held:
        sleep(_LOOK_AGAIN_SECONDS)
        later = _ends(admin, topic, [*held], IsolationLevel.READ_COMMITTED, seconds)
        held = {number: offset for number, offset in held.items() if later.get(number) == offset}
    return held


def told_of(topic: str, held: Mapping[int, int]) -> str:
    """Say what comes of it for messages that are put there. A broker that was away for longer than a transaction lasts may take it for ended
    while it starts, and write no marker (seen on 4.4.0); the next one with the same transactional id ends it together with its own."""
    where = ", ".join(f"{number}:{offset}" for number, offset in sorted(held.items()))
    return (f"a transaction is open in {topic} (from {where} on): readers of committed records see what is put there once it ends. If it is one that "
            "the broker left open when a redrive was cut off, this run makes its letters visible a second time: kafka-transactions.sh find-hanging "
            "tells, abort ends it")


def _ends(admin: AdminClient, topic: str, partitions: list[int], level: IsolationLevel, seconds: float) -> dict[int, int]:
    if not partitions:
        return {}
    latest: Any = OffsetSpec
    found: dict[Place, int] = {}
    answers = admin.list_offsets({TopicPartition(topic, number): latest.latest() for number in partitions}, isolation_level=level, request_timeout=seconds)
    for place, future in answers.items():
        take_offset((topic, place.partition), future, seconds, found)
    return {number: offset for (_, number), offset in found.items()}
