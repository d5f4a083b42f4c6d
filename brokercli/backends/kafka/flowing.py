"""Where the messages of a topic come from and go to: its groups, its retries, its dead letters, as far as names say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AdminClient

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.ends import held, led, offsets_in
from brokercli.backends.kafka.family import Family, delay_of, family_of
from brokercli.backends.kafka.group_settings import group_settings
from brokercli.backends.kafka.groups import Group, Place
from brokercli.backends.kafka.listing import is_internal
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import HANDLED, total
from brokercli.backends.kafka.readers import kind_of, readers_of
from brokercli.backends.kafka.share_letters import gives_up, letters_go_to, written_nowhere
from brokercli.backends.kafka.span import Range
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.consumption import Lag
from brokercli.model.flow import Flow


def flow_of(name: str, metadata: Any, admin: AdminClient, seconds: float) -> Flow:
    """Draw the family of a topic and who reads it. A message that fails passes the retries in the order of their delays."""
    names = [other for other, about in metadata.topics.items() if about.error is None and not is_internal(other)]
    family = family_of(name, names)
    members = (family.root, *family.retries, *family.dead_letters)
    patience = Patience(seconds)
    ranges = patience.ask(lambda seconds: held(admin, led(metadata, members), seconds))
    flow = Flow(_id(name))
    for topic, kind in _kinds(family):
        flow.node(_id(topic), kind, *_notes(topic, metadata, ranges))
    _ways(flow, family)
    readers = readers_of(members, metadata, admin, patience)
    for topic in members:
        for group, lags in readers.of(topic):
            _reader(flow, topic, group, lags)
            if kind_of(group) == HANDLED and topic in family.dead_letters:
                flow.edge(f"consumer {group.name}", _id(family.root), "put back")
    _share_groups(flow, members, readers.foreign, metadata, admin, patience)
    flow.missing += readers.missing
    return flow


def _share_groups(flow: Flow, members: Sequence[str], foreign: Mapping[str, str], metadata: Any, admin: AdminClient, patience: Patience) -> None:
    """Enter the share groups whose dead letters go to one of the topics; what they read is not told to this client."""
    for name, settings in patience.ask(lambda seconds: group_settings(admin, foreign, seconds)).items():
        topic = letters_go_to(settings)
        if topic not in members:
            continue
        if obstacle := written_nowhere(topic, metadata, admin, patience.seconds):
            flow.node(f"consumer {name}", foreign[name], obstacle)
        else:
            flow.edge(flow.node(f"consumer {name}", foreign[name]), _id(topic), f"given up {gives_up(settings)}".strip())
    if foreign:
        flow.missing.append(f"what share and streams groups read is not told to this client: {some_of(list(foreign), 5)}")


def _kinds(family: Family) -> Sequence[tuple[str, str]]:
    return [(family.root, "topic"), *((topic, "retry") for topic in family.retries), *((topic, "dead letters") for topic in family.dead_letters)]


def _ways(flow: Flow, family: Family) -> None:
    """Enter the way of a message that fails again and again."""
    here, why = family.root, "failed"
    for topic in family.retries:
        flow.edge(_id(here), _id(topic), why)
        delay = delay_of(topic)
        here, why = topic, f"failed again, after {delay}" if delay else "failed again"
    for topic in family.dead_letters:
        flow.edge(_id(here), _id(topic), why)


def _notes(topic: str, metadata: Any, ranges: dict[Place, Range]) -> tuple[str, ...]:
    partitions, count = metadata.topics[topic].partitions, offsets_in(topic, metadata, ranges)
    # offsets are an upper bound of messages
    counted = (f"up to {amount(count, 'message')}",) if count is not None else ()
    return (f"{amount(len(partitions), 'partition')}", *counted)


def _reader(flow: Flow, topic: str, group: Group, lags: Sequence[Lag]) -> None:
    lag, kind = total(lags), kind_of(group)
    waits = (f"{lag:,} pending" if kind == HANDLED else f"lag {lag:,}",) if lag is not None else ()
    members = (f"{amount(len(group.members), 'member')}",) if kind != HANDLED and not group.foreign else ()
    # of a group that reads several topics the numbers belong to each of its edges
    flow.node(f"consumer {group.name}", kind, *members)
    flow.edge(_id(topic), f"consumer {group.name}", ", ".join(("redriven" if kind == HANDLED else "read", *waits)))


def _id(topic: str) -> str:
    return str(Address(topic, "topic"))
