"""What about a topic can lose messages, or keep them from being confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.groups import Group
from brokercli.backends.kafka.replicas import short_of_replicas
from brokercli.model.amount import amount
from brokercli.model.consumption import Lag


def risks_of(partitions: Mapping[int, Any], settings: Mapping[str, str], *, dead_letters: bool,
             readers: Sequence[tuple[Group, Sequence[Lag]]]) -> Iterator[str]:
    """Say them, worst first. `settings` are empty where they may not be read."""
    replicas = max((len(partition.replicas) for partition in partitions.values()), default=0)
    minimum = int(settings.get("min.insync.replicas") or 0)
    leaderless = [number for number, partition in partitions.items() if partition.leader < 0]
    short = [number for number in short_of_replicas(partitions, minimum) if number not in leaderless]
    behind = [number for number, partition in partitions.items()
              if len(partition.isrs) < len(partition.replicas) and number not in (*short, *leaderless)]
    if leaderless:
        yield f"partition {_numbers(leaderless)} has no leader: nothing is read from it or written to it"
    if minimum > replicas:
        yield (f"min.insync.replicas is {minimum}, and a partition has {amount(replicas, 'replica')}: a broker before Kafka 3.7 confirms "
               "nothing, later ones want all of them")
    if short:
        yield f"partition {_numbers(short)} takes no confirmed message: fewer replicas are in sync than min.insync.replicas ({minimum})"
    if behind:
        yield f"partition {_numbers(behind)} is not in sync on all of its replicas"
    if replicas == 1:
        yield "one replica: what a broker's disk loses is lost"
    elif minimum == 1:
        yield f"a message is confirmed once one of {replicas} replicas has it (min.insync.replicas=1): it is lost with that broker"
    elif minimum == replicas:
        yield f"one broker away, and no message is confirmed: min.insync.replicas is as many as the replicas ({replicas})"
    if settings.get("unclean.leader.election.enable") == "true":
        yield "a replica that lacks messages may lead when no other is left (unclean.leader.election.enable): those messages are lost"
    if dead_letters and "compact" in settings.get("cleanup.policy", ""):
        yield "dead letters with the same key replace each other: cleanup.policy compacts"
    for group, lags in readers:
        lost = [lag.partition for lag in lags if lag.position is not None and lag.start is not None and lag.position < lag.start]
        if lost:
            yield f"the group {group.name} has not read everything: what it would read next is no longer stored in partition {_numbers(lost)}"


def _numbers(numbers: Sequence[int | None]) -> str:
    return some_of(list(map(str, sorted(number for number in numbers if number is not None))))
