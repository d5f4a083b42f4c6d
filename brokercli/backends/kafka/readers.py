"""Who reads some topics, and how far they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka.admin import AdminClient

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.groups import Coordinators, Group, without_coordinator
from brokercli.backends.kafka.handled_group import topic_of
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import HANDLED, lags_of
from brokercli.model.address import Address
from brokercli.model.consumption import Lag
from brokercli.model.errors import BrokercliError

MOST_GROUPS = 1000
"""Groups that are asked; with more of them the answer would take too long."""


@dataclass(slots=True)
class Readers:
    """Groups that have committed offsets of some topics, or whose members read them now."""

    missing: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    """Kind of each group of the cluster that may read them as well: what they read is not told to this client."""
    _by_source: dict[str, list[tuple[Group, list[Lag]]]] = field(default_factory=dict)

    def of(self, topic: str) -> Sequence[tuple[Group, Sequence[Lag]]]:
        """Return the groups that read one topic, with how far they are in it."""
        return self._by_source.get(str(Address(topic, "topic")), ())

    def enter(self, group: Group, lags: Sequence[Lag]) -> None:
        """Take in a group, with how far it is in everything that it reads."""
        here: dict[str, list[Lag]] = {str(Address(topic, "topic")): [] for topic in group.topics}
        for lag in lags:
            here[lag.source].append(lag)
        for source, its in here.items():
            self._by_source.setdefault(source, []).append((group, its))


def kind_of(group: Group) -> str:
    """Return the kind of a group, ours told apart."""
    return HANDLED if topic_of(group.name) is not None else group.kind


def readers_of(topics: Collection[str], metadata: Any, admin: AdminClient, patience: Patience) -> Readers:
    """Ask every group. What may not be asked, or does not answer in time, is in `missing`."""
    found = Readers()
    coordinators = Coordinators(admin, patience)
    try:
        listed = coordinators.listed()
        foreign = coordinators.foreign(listed)
        found.foreign = {name: group.kind for name, group in foreign.items()}
        found.missing += [f"consumer groups: {note}" for note in (*coordinators.notes, *without_coordinator(metadata))]
        if len(listed) > MOST_GROUPS:
            found.missing.append(f"consumer groups: the cluster has {len(listed)}, more than are asked one by one")
            return found
        every = [*coordinators.groups(listed), *foreign.values()]
        if refused := [f"{group.name} ({group.refused.rstrip('.')})" for group in every if group.refused]:
            found.missing.append(f"offsets of consumer groups: {some_of(refused, 5)}")
        wanted = set(topics)
        groups = {group.name: group for group in every if not wanted.isdisjoint(group.topics)}
        found.foreign = {name: kind for name, kind in found.foreign.items() if name not in groups}
        for name, lags in lags_of(groups.values(), metadata, admin, patience).items():
            found.enter(groups[name], lags)
    except BrokercliError as problem:
        found.missing.append(f"consumer groups: {problem}")
    return found
