"""Partitions in which a transaction stays open: whoever reads committed records sees nothing behind where it began."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from time import sleep
from typing import Any

from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.ends import ask_offsets, known_leaders, take_offset
from brokercli.backends.kafka.groups import Place
from brokercli.backends.kafka.span import Range
from brokercli.model.amount import amount

# most transactions are over by then
_LOOK_AGAIN_SECONDS = 1.0


def held_back(admin: AdminClient, places: Collection[Place], seconds: float) -> dict[Place, Range]:
    """Return what transactions hold back in each partition now, and nothing for the others; what does not answer within `seconds` is left out."""
    leaders = known_leaders(admin, places, seconds)
    # in this order: what is committed between the two is not taken for held back
    ends = _ends(admin, leaders, IsolationLevel.READ_UNCOMMITTED, seconds)
    stable = _ends(admin, leaders, IsolationLevel.READ_COMMITTED, seconds)
    return {place: Range(offset, ends[place]) for place, offset in stable.items() if offset < ends.get(place, 0)}


def held_back_for_long(admin: AdminClient, places: Collection[Place], seconds: float) -> dict[Place, Range]:
    """Return the same as far as it stays so for a moment."""
    held = held_back(admin, places, seconds)
    if not held:
        return {}
    sleep(_LOOK_AGAIN_SECONDS)
    later = held_back(admin, [*held], seconds)
    return {place: there for place, there in later.items() if there.low == held[place].low}


def summed_up(held: Mapping[Place, Range]) -> str:
    """Say how much of one topic is held back, and from where on."""
    return f"{amount(sum(there.high - there.low for there in held.values()), 'offset')} behind open transactions, from {_where(held)} on"


def told_of(topic: str, held: Mapping[Place, Range]) -> str:
    """Say what comes of it for messages that are put there. A broker that was away for longer than a transaction lasts may take it for ended
    while it starts, and write no marker (seen on 4.4.0); the next one with the same transactional id ends it together with its own."""
    return (f"a transaction is open in {topic} (from {_where(held)} on): readers of committed records see what is put there once it ends. If it is one "
            "that the broker left open when a redrive was cut off, this run makes its letters visible a second time: kafka-transactions.sh "
            "find-hanging tells, abort ends it")


def _where(held: Mapping[Place, Range]) -> str:
    return some_of([f"{partition}:{there.low}" for (_, partition), there in sorted(held.items())], 5)


def _ends(admin: AdminClient, leaders: Mapping[Place, int], level: IsolationLevel, seconds: float) -> dict[Place, int]:
    found: dict[Place, int] = {}
    latest: Any = OffsetSpec
    for place, future in ask_offsets(admin, leaders, latest.latest(), level, seconds).items():
        take_offset((place.topic, place.partition), future, seconds, found)
    return found
