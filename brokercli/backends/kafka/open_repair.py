"""Opening a run over the letters of a topic: who else is there, what is allowed, what was handled, where it begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from brokercli.backends.contract import Publisher, PublishPolicy, Reader
from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.kafka.at_least_once import AtLeastOnce
from brokercli.backends.kafka.connect import Troubles, client_configuration, open_handle
from brokercli.backends.kafka.destinations import Destinations
from brokercli.backends.kafka.exactly_once import ExactlyOnce
from brokercli.backends.kafka.forgotten import forgetting, forgotten
from brokercli.backends.kafka.handled_group import check_stable, group_of, limits_of, members_of
from brokercli.backends.kafka.leaderless import led_partitions
from brokercli.backends.kafka.ledger import Ledger
from brokercli.backends.kafka.look import KafkaReader
from brokercli.backends.kafka.may_mark import check_may_mark
from brokercli.backends.kafka.odd_headers import ReadAnew
from brokercli.backends.kafka.reading import NOTHING_AHEAD, PROMISED, Lent
from brokercli.backends.kafka.repair import LARGEST_BATCH, KafkaRepair
from brokercli.backends.kafka.span import Offsets
from brokercli.backends.kafka.still_there import StillThere
from brokercli.backends.kafka.topic_ids import tag_of
from brokercli.backends.kafka.topic_settings import read_settings, request_settings
from brokercli.backends.kafka.transaction import NoTransactions, Transactions
from brokercli.backends.kafka.way import Way
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.errors import Failed, Unreachable
from brokercli.model.position import Span


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the backend lends: its connection, its administrator, and its ways to ask about topics and to publish."""

    connection: Connection
    admin: AdminClient
    topic: Callable[[str], Any]
    """Metadata of a topic; raises NotFound."""
    any_node: Callable[[], int | None]
    """A broker's number; None while its metadata name no broker."""
    read_anew: ReadAnew
    publisher: Callable[[Address, PublishPolicy], Publisher]
    look: Callable[[Address, Span], Reader]


def open_repair(cluster: Cluster, topic: str, policy: RepairPolicy) -> KafkaRepair:
    """Open a run, and with it fence whoever redrives this topic now. Raises Failed where consumers are members of the group,
    and NotAuthorised where nothing could be marked."""
    connection, admin, timeout = cluster.connection, cluster.admin, cluster.connection.connect_timeout
    partitions, left_out = led_partitions(topic, partial(cluster.topic, topic), timeout)
    group = group_of(topic)
    members = members_of(admin, topic, timeout)
    if members:
        raise Failed(f"{members} consumers are members of the group {group}, which keeps the state of {topic}'s letters.",
                     hint="stop them; no consumer should use a group of that name")
    check_may_mark(admin, topic, timeout)
    settings = request_settings(admin, topic, timeout)
    tag, limits = tag_of(admin, topic, timeout), limits_of(admin, cluster.any_node(), timeout)
    with ExitStack() as opened:
        troubles = Troubles()
        consumer: Consumer = open_handle(Consumer, connection, {
            **NOTHING_AHEAD, "fetch.message.max.bytes": 4 << 20, **client_configuration(connection), **PROMISED,
            "group.id": group, "isolation.level": "read_committed",
            "error_cb": troubles.note}, troubles)
        opened.callback(consumer.close)
        offsets = Offsets(consumer, topic, timeout)
        ledger = Ledger(consumer, offsets, tag, limits, timeout)
        destinations = Destinations(lambda name: cluster.topic(name).partitions, admin, topic, timeout, policy.waiting,
                                    compressed=any(name.startswith("compression.") for name in connection.options))
        way = _way(cluster, topic, policy, ledger, destinations, limits.transaction_seconds)
        opened.callback(way.close)
        # only now: fencing has ended what a run before this one left open
        try:
            ledger.reread(partitions)
            ledger.find_lost_ends()
        except Unreachable:
            check_stable(admin, topic, partitions, timeout)
            raise
        ranges = ledger.ranges
        ends = {partition: held.high for partition, held in ranges.items()}
        starts = {partition: min(ends[partition], max(held.low, ledger.handled.sets[partition].floor)) for partition, held in ranges.items()}
        reader = KafkaReader(Lent(consumer, troubles, lambda: None), offsets, starts, ends, cluster.read_anew, LARGEST_BATCH - 1)
        made_anew = Failed(f"{topic} was deleted and made anew meanwhile, and its letters are others now.",
                           hint="the same command begins with them; those that were on their way are in the journal")
        repair = KafkaRepair(reader, offsets, starts, ends, ledger, way, destinations, policy, consumer.close,
                             partial(cluster.look, Address(topic, "topic")), StillThere(lambda: admin, topic, timeout, made_anew, tag))
        repair.left_out = left_out
        repair.notes += [str(left_out)] if left_out is not None else []
        repair.notes += forgotten(ledger.handled, offsets, ranges, limits) or forgetting(limits, read_settings(settings, timeout))
        opened.pop_all()
        return repair


def _way(cluster: Cluster, topic: str, policy: RepairPolicy, ledger: Ledger, destinations: Destinations, longest: float) -> Way:
    waiting = once_each(policy.waiting)
    try:
        return ExactlyOnce(topic, ledger, destinations,
                           lambda batch_bytes: Transactions(cluster.connection, group_of(topic), policy.delivery_timeout, batch_bytes, waiting, longest),
                           policy.delivery_timeout, waiting)
    except NoTransactions as problem:
        why = f"transactions are not permitted here ({problem})"
    publish_policy = PublishPolicy(delivery_timeout=policy.delivery_timeout)
    return AtLeastOnce(topic, ledger, destinations, lambda name: cluster.publisher(Address(name, "topic"), publish_policy), policy.delivery_timeout, why)


def once_each(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return what says each thing once."""
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_once
