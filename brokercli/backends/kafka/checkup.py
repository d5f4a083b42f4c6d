"""What a cluster says of itself: its brokers, the addresses it tells clients, its partitions, what this login may ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confluent_kafka.admin import AdminClient

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.connect import ADVERTISED
from brokercli.backends.kafka.groups import Coordinators
from brokercli.backends.kafka.not_shown import groups_not_shown
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.reaching import obstacles
from brokercli.model.amount import amount
from brokercli.model.checkup import Check, Health
from brokercli.model.connection import spell_place
from brokercli.model.errors import BrokercliError
from brokercli.model.exit_code import ExitCode

SHOWN = 5


def check_up(metadata: Any, not_all_topics: bool, admin: AdminClient, notes: list[str], timeout: float) -> Iterator[Check]:
    """Yield the checks. Each broker's own address is tried: a client works with those, whatever it was told to begin with. `not_all_topics`:
    whether the metadata leave out topics that this login may not describe."""
    brokers = sorted(metadata.brokers.values(), key=lambda broker: broker.id)
    yield Check("cluster", Health.OK, f"{metadata.cluster_id}, {amount(len(brokers), 'broker')}, controller {metadata.controller_id}")
    for note in notes:
        yield Check("login", Health.WARNING, note, "kafkas:// where the broker has TLS")
    missing = obstacles([(broker.host, broker.port) for broker in brokers], timeout)
    for broker in brokers:
        where = f"broker {broker.id} tells clients to come to {spell_place(broker.host, broker.port)}"
        if reason := missing.get((broker.host, broker.port)):
            yield Check("advertised address", Health.FAILED, f"{where}, and from here that fails: {reason}",
                        ADVERTISED, ExitCode.UNREACHABLE)
        else:
            yield Check("advertised address", Health.OK, where)
    yield _partitions(metadata, ", of the topics that this login may describe" if not_all_topics else "")
    if len(missing) < len(brokers):
        yield _groups(admin, timeout)


def _partitions(metadata: Any, which: str) -> Check:
    leaderless: list[str] = []
    short: list[str] = []
    count = 0
    for name, topic in sorted(metadata.topics.items()):
        for number, partition in sorted(topic.partitions.items()):
            count += 1
            if partition.leader < 0:
                leaderless.append(f"{name}:{number}")
            elif len(partition.isrs) < len(partition.replicas):
                short.append(f"{name}:{number}")
    if leaderless:
        without = amount(len(leaderless), f"of {count} has no leader", f"of {count} have no leader")
        return Check("partitions", Health.FAILED, f"{without}, so that nothing is written or read there: {some_of(leaderless, SHOWN)}",
                     "their brokers are away")
    if short:
        behind = amount(len(short), f"of {count} is not in sync on all of its replicas", f"of {count} are not in sync on all of their replicas")
        return Check("partitions", Health.WARNING, f"{behind}: {some_of(short, SHOWN)}",
                     "a broker is away, or slow; where fewer than min.insync.replicas are left, messages are refused")
    return Check("partitions", Health.OK, f"{count}, all with a leader and in sync{which}")


def _groups(admin: AdminClient, timeout: float) -> Check:
    coordinators = Coordinators(admin, Patience(timeout))
    try:
        found = coordinators.listed()
    except BrokercliError as error:
        return Check("consumers", Health.WARNING, str(error).rstrip("."), error.hint)
    if coordinators.notes:
        return Check("consumers", Health.WARNING, "; ".join(coordinators.notes), "a broker is away")
    which = ", of those that this login may describe" if groups_not_shown(admin, timeout) else ""
    return Check("consumers", Health.OK, f"{amount(len(found), 'group')}{which}")
