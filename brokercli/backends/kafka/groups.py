"""Groups, as their coordinators know them: kinds, states, members, committed offsets. Asking joins nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, sleep
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, ConsumerGroupType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.coordinators import await_coordinators, comes_back, described
from brokercli.backends.kafka.failures import COMING_BACK_SECONDS, NO_SUCH_GROUP, is_coming_back, no_answer, translate, while_coming_back
from brokercli.backends.kafka.group_settings import EITHER, SHARE, STREAMS, kinds_by_settings
from brokercli.backends.kafka.patience import Patience
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError

_KINDS = {ConsumerGroupType.CONSUMER: "consumer group", ConsumerGroupType.CLASSIC: "classic group"}
# as the broker writes them; what a KIP-848 group is besides (Assigning, Reconciling) this client has no word for
_STATES = {"STABLE": "Stable", "EMPTY": "Empty", "DEAD": "Dead", "PREPARING_REBALANCING": "PreparingRebalance",
           "COMPLETING_REBALANCING": "CompletingRebalance", "UNKNOWN": "unknown"}
GROUPS_AT_A_TIME = 200

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as it works now."""

    id: str
    client: str
    host: str
    instance: str
    places: tuple[Place, ...]

    def __str__(self) -> str:
        named = f"{self.client} ({self.instance})" if self.instance else self.client
        return f"{named} at {self.host}" if self.host else named


@dataclass(frozen=True, slots=True)
class Group:
    """One group, at one moment."""

    name: str
    kind: str
    state: str = ""
    members: tuple[Member, ...] = ()
    assignor: str = ""
    coordinator: str = ""
    committed: Mapping[Place, TopicPartition] = field(default_factory=dict)
    """What was committed, with offset and metadata."""
    refused: str = ""
    """Why members or offsets are not known; empty: they are."""

    @property
    def foreign(self) -> bool:
        """Whether this client cannot ask what it is doing: it knows its name, and of a streams group what it has committed."""
        return self.kind in (SHARE, STREAMS, EITHER)

    def readers(self) -> dict[Place, str]:
        """Return who reads which partition now."""
        return {place: str(member) for member in self.members for place in member.places}

    @property
    def topics(self) -> list[str]:
        """What it reads: what it has committed, and what its members are assigned."""
        return sorted({topic for topic, _ in self.committed} | {topic for member in self.members for topic, _ in member.places})


def without_coordinator(metadata: Any) -> list[str]:
    """Say which groups cannot be seen, because the partition that holds their offsets has no leader; the broker leaves them out of
    its list without a word."""
    offsets = metadata.topics.get("__consumer_offsets")
    gone = [number for number, partition in offsets.partitions.items() if partition.leader < 0] if offsets is not None else []
    if not gone:
        return []
    led = "has no leader, and so its" if len(gone) == 1 else "have no leader, and so their"
    return [f"groups may be missing: {len(gone)} of the {amount(len(offsets.partitions), 'partition')} of __consumer_offsets {led} groups no coordinator"]


def is_utf8(name: str) -> bool:
    """Whether a name is text. One that was made of other bytes, on a command line, holds lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Coordinators:
    """Asks the coordinators of groups, again while one is moving or has just started."""

    def __init__(self, admin: AdminClient, patience: Patience) -> None:
        self._admin = admin
        self._patience = patience
        self.notes: list[str] = []
        """What could not be seen."""

    def listed(self) -> dict[str, str]:
        """Return the kind of each classic and consumer group, by name."""
        deadline = monotonic() + self._patience.seconds
        while True:
            found = self._patiently(lambda: self._admin.list_consumer_groups(request_timeout=self._patience.seconds), "listing", "the consumer groups")
            errors = [problem.args[0] if isinstance(problem, KafkaException) else problem for problem in found.errors]
            # a broker that still loads the offsets of its groups answers, with this error instead of them (4.4)
            if not any(map(is_coming_back, errors)) or monotonic() >= deadline:
                break
            sleep(COMING_BACK_SECONDS)
        if errors:
            if not found.valid:
                raise translate(errors[0], "listing", "the consumer groups")
            self.notes.append(f"the groups of {amount(len(errors), 'broker')} are missing: {errors[0].str()}")
        return {group.group_id: _KINDS.get(group.type, "group") for group in sorted(found.valid, key=lambda group: group.group_id)}

    def foreign(self, known: Iterable[str]) -> dict[str, Group]:
        """Return each group that the client can only name, with what it has committed. What has committed offsets is a streams group, because share groups keep
        their state elsewhere; a streams group that has not committed any yet is told from a share group only by what was set for either."""
        left_out = set(known)
        def ask() -> list[Any]:
            with warnings.catch_warnings():
                # there is no other request in this client that names groups of every kind
                warnings.simplefilter("ignore", DeprecationWarning)
                return list(self._admin.list_groups(timeout=self._patience.seconds))

        try:
            everything = self._patience.ask(lambda seconds: while_coming_back(ask, seconds))
        except KafkaException as problem:
            self.notes.append(f"share groups are missing: {problem.args[0].str()}")
            return {}
        names = sorted(group.id for group in everything if not group.protocol_type and group.state == _STATES["DEAD"] and group.id not in left_out)
        found: dict[str, Group] = {}
        for first in range(0, len(names), GROUPS_AT_A_TIME):
            some = names[first:first + GROUPS_AT_A_TIME]
            committed = self.committed(some)
            without = [name for name in some if not committed.get(name)]
            kinds = dict.fromkeys(some, STREAMS) | dict.fromkeys(without, EITHER)
            kinds |= self._patience.ask(partial(kinds_by_settings, self._admin, without))
            found |= {name: Group(name, kind, committed=committed.get(name, {})) for name, kind in kinds.items()}
        return found

    def find(self, name: str) -> Group | None:
        """Return one group; None where there is none of that name. Raises what the broker says against asking."""
        if not name or "\0" in name or not is_utf8(name):
            # the client takes what stands before a NUL for the name, and crashes over bytes that are no text
            return None
        about = self._described(name, None)
        group = self._put_together(name, "group", about, self._places(name, None))
        if group.state != _STATES["DEAD"]:
            return group
        # of the offsets of any kind of group it is told all the same
        return self.foreign(self.listed()).get(name) or (group if group.committed else None)

    def groups(self, names: Mapping[str, str]) -> Iterator[Group]:
        """Yield groups with everything that is known about them; `names` says of each which kind it was listed as."""
        every = list(names)
        for first in range(0, len(every), GROUPS_AT_A_TIME):
            some = every[first:first + GROUPS_AT_A_TIME]
            answers = described(self._admin, some, self._patience.seconds)
            offsets = {name: self._offsets(name) for name in some if not comes_back(answers[name])}
            for name in some:
                yield self._group(name, names[name], answers[name], offsets.get(name))

    def _group(self, name: str, kind: str, about: Future[Any], offsets: Future[Any] | None) -> Group:
        try:
            return self._put_together(name, kind, self._described(name, about), self._places(name, offsets))
        except BrokercliError as problem:
            return Group(name, kind, refused=str(problem))

    def _put_together(self, name: str, kind: str, about: Any, committed: dict[Place, TopicPartition]) -> Group:
        if about is None:
            return Group(name, kind, _STATES["DEAD"], committed=committed)
        members = tuple(sorted((_member(member) for member in about.members), key=lambda member: (member.client, member.id)))
        coordinator = f"{about.coordinator.host}:{about.coordinator.port}" if about.coordinator is not None else ""
        return Group(name, _KINDS.get(about.type, kind), _STATES.get(about.state.name, "unknown"), members, about.partition_assignor, coordinator, committed)

    def members(self, name: str) -> tuple[Member, ...]:
        """Return who is a member now."""
        about = self._described(name, None)
        return tuple(map(_member, about.members)) if about is not None else ()

    def committed(self, names: Sequence[str]) -> dict[str, dict[Place, TopicPartition]]:
        """Return what each group has committed; a group that may not be asked is left out."""
        await_coordinators(self._admin, names, self._patience.seconds)
        asked = {name: self._offsets(name) for name in names}
        found: dict[str, dict[Place, TopicPartition]] = {}
        for name, future in asked.items():
            try:
                found[name] = self._places(name, future)
            except BrokercliError as problem:
                self.notes.append(f"the offsets of the group {name} are missing: {problem}")
        return found

    def _offsets(self, name: str) -> Future[Any]:
        future: Future[Any] = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=self._patience.seconds)[name]
        return future

    def _places(self, name: str, future: Future[Any] | None) -> dict[Place, TopicPartition]:
        answer = self._patiently(lambda: self._offsets(name), "asking for the offsets of the group", name, future)
        return {(place.topic, place.partition): place for place in answer.topic_partitions if place.error is None and place.offset >= 0}

    def _described(self, name: str, future: Future[Any] | None) -> Any:
        def ask() -> Future[Any]:
            asked: Future[Any] = self._admin.describe_consumer_groups([name], request_timeout=self._patience.seconds)[name]
            return asked

        return self._patiently(ask, "describing the group", name, future, missing=NO_SUCH_GROUP)

    def _patiently(self, ask: Callable[[], Future[Any]], doing: str, where: str, asked: Future[Any] | None = None, missing: Sequence[int] = ()) -> Any:
        """Wait for an answer; None where the broker says one of `missing`. `asked` is waited for first, where it was asked before."""
        seconds = self._patience.seconds

        def wait() -> Any:
            nonlocal asked
            answer, asked = asked or ask(), None
            return answer.result(seconds + 1)

        try:
            return self._patience.ask(lambda seconds: while_coming_back(wait, seconds))
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() in missing:
                return None
            raise translate(error, doing, where) from None
        except TimeoutError:
            raise no_answer(doing, where, seconds) from None


def _member(member: Any) -> Member:
    places = tuple(sorted((place.topic, place.partition) for place in member.assignment.topic_partitions)) if member.assignment is not None else ()
    return Member(member.member_id, member.client_id or member.member_id, (member.host or "").lstrip("/"), member.group_instance_id or "", places)
