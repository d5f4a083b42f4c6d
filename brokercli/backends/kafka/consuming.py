"""Groups as consumers: who they are, how far they are, and what may be done to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from confluent_kafka import KafkaError, KafkaException

from brokercli.backends.consumers import Consumers
from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka import SUPPORT
from brokercli.backends.kafka.failures import NO_SUCH_GROUP, no_answer, translate, while_coming_back
from brokercli.backends.kafka.group_settings import EITHER, SHARE, group_settings, that_apply
from brokercli.backends.kafka.groups import GROUPS_AT_A_TIME, Coordinators, Group, without_coordinator
from brokercli.backends.kafka.handled_group import topic_of
from brokercli.backends.kafka.not_shown import allowed_on_cluster, groups_not_shown
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import HANDLED, handled_topic, lags_of, total
from brokercli.backends.kafka.seeking import Seeker
from brokercli.backends.kafka.share_letters import dead_letters_in_words, gives_up, letters_go_to, written_nowhere
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.capability import Capability
from brokercli.model.consumption import Consumption, Lag, Seek
from brokercli.model.description import Description, Section, Value
from brokercli.model.errors import BrokercliError, Failed, NotFound, Unsupported
from brokercli.model.pattern import matches
from brokercli.model.position import Position

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_FOREIGN = "only their names are known to this client; kafka-share-groups.sh and kafka-streams-groups.sh tell more"
_MEMBERS = "who is a member is not told to this client; kafka-streams-groups.sh tells it"
_HIDDEN = "what it has committed in topics that this login may not describe is not shown, and forgotten as well"


class KafkaConsumers(Consumers):
    """The groups of one cluster."""

    def __init__(self, admin: AdminClient, metadata: Callable[[], Any], seeker: Seeker, seconds: float) -> None:
        """`metadata` returns what the cluster says of all its topics."""
        self._admin = admin
        self._metadata = metadata
        self._seeker = seeker
        self._seconds = seconds
        self.notes: list[str] = []

    def find(self, patterns: Sequence[str] = ()) -> Iterator[Consumption]:
        patience = Patience(self._seconds)
        coordinators = Coordinators(self._admin, patience)
        known = coordinators.listed()
        foreign = {name: group for name, group in coordinators.foreign(known).items() if _matches(name, patterns)}
        metadata = self._metadata()
        self.notes = [*coordinators.notes, *without_coordinator(metadata)]
        wanted = {name: kind for name, kind in known.items() if _matches(name, patterns)}
        names = sorted(wanted | foreign)
        for first in range(0, len(names), GROUPS_AT_A_TIME):
            some = names[first:first + GROUPS_AT_A_TIME]
            groups = {group.name: group for group in coordinators.groups({name: wanted[name] for name in some if name in wanted})}
            groups |= {name: foreign[name] for name in some if name in foreign and foreign[name].committed}
            lags = lags_of(groups.values(), metadata, self._admin, patience) if groups else {}
            for name in some:
                yield self._found(groups[name], lags[name]) if name in groups else Consumption(name, foreign[name].kind, facts={"remark": _FOREIGN})

    def _found(self, group: Group, lags: Sequence[Lag]) -> Consumption:
        facts: dict[str, Value] = {}
        kind, topic = group.kind, topic_of(group.name)
        if topic is not None:
            kind = HANDLED
            facts["remark"] = f"keeps which letters of {topic} are handled"
        if group.refused:
            facts["remark"] = group.refused
            return Consumption(group.name, kind, facts=facts)
        reads = tuple(str(Address(name, "topic")) for name in group.topics)
        lag, untold = total(lags), sum(one.is_untold for one in lags)
        if lag is not None and untold and topic is None:
            facts["remark"] = f"lag as far as known: not that of {untold:,} of {amount(len(lags), 'partition')}"
        if group.foreign:
            facts["remark"] = "; ".join([_MEMBERS.partition(";")[0], *map(str, facts.values())])
        return Consumption(group.name, kind, group.state, None if group.foreign else len(group.members), lag, reads=reads, facts=facts)

    def names(self) -> list[str]:
        coordinators = Coordinators(self._admin, Patience(self._seconds))
        names = list(coordinators.listed())
        self.notes = [*coordinators.notes, *without_coordinator(self._metadata())]
        return names

    def not_shown(self) -> str:
        return groups_not_shown(self._admin, self._seconds)

    def describe(self, name: str) -> Description:
        group = self._group(name)
        metadata = self._metadata()
        lags = lags_of([group], metadata, self._admin, Patience(self._seconds))[name]
        kind = HANDLED if topic_of(name) is not None else group.kind
        description = Description("consumer", name, kind)
        facts = description.facts
        facts["state"] = group.state or None
        settings = group_settings(self._admin, [name], self._seconds).get(name, {})
        applied = that_apply(group.kind, settings)
        if group.foreign and not group.committed:
            if group.kind in (SHARE, EITHER) and settings:
                # said of what may as well be a streams group, which gives nothing up
                provided = "" if group.kind == SHARE else "if it is a share group, "
                topic = letters_go_to(settings)
                obstacle = written_nowhere(topic, metadata, self._admin, self._seconds) if topic else ""
                facts["gives a message up"] = f"{provided}{gives_up(settings)}"
                facts["dead letters"] = f"{provided}{dead_letters_in_words(settings, obstacle)}"
            _enter_settings(description, applied)
            description.missing.append(f"members, offsets and lag: {_FOREIGN}")
            return description
        if kind == HANDLED:
            facts["keeps"] = _holds(name)
        if group.foreign:
            description.missing.append(f"state and members: {_MEMBERS}")
        else:
            facts["members"] = len(group.members)
        if group.assignor:
            facts["assignor"] = group.assignor
        facts["coordinator"] = group.coordinator or None
        facts["lag"] = total(lags)
        if group.members:
            description.sections.append(Section("members", [
                {"member": member.id, "client": member.client, "host": member.host or None, "instance": member.instance or None,
                 "reads": shown_places(member.places) or None} for member in group.members]))
        if lags:
            description.sections.append(Section("partitions", [
                {"source": lag.source, "partition": lag.partition, "position": lag.position, "start": lag.start, "end": lag.end, "lag": lag.lag,
                 "member": lag.member or None} for lag in lags]))
        _enter_settings(description, applied)
        description.missing += _unknown(lags, {str(Address(topic, "topic")) for topic in group.topics if topic not in metadata.topics})
        return description

    def lag(self, name: str) -> Sequence[Lag]:
        group = self._group(name)
        if group.foreign and not group.committed:
            raise Unsupported(f"{name} is a {group.kind}: {SUPPORT['topic'][Capability.CONSUMERS].note}.")
        return lags_of([group], self._metadata(), self._admin, Patience(self._seconds))[name]

    def plan_seek(self, name: str, position: Position, source: Address | None = None) -> Seek:
        group = self._group(name)
        self._refuse_ours(group, "moved")
        if group.foreign and not group.committed:
            raise Unsupported(f"{name} is a {group.kind}: {_FOREIGN}.")
        return self._seeker.plan(group, position, source)

    def seek(self, planned: Seek) -> None:
        self._seeker.seek(planned)

    def pause(self, name: str, until: int) -> NoReturn:
        raise Unsupported(f"{SUPPORT['topic'][Capability.PAUSE_CONSUMERS].note}.")

    def resume(self, name: str) -> NoReturn:
        raise Unsupported(f"{SUPPORT['topic'][Capability.PAUSE_CONSUMERS].note}.")

    def goes_with(self, name: str) -> Sequence[str]:
        self._removable(name)
        # who may do on the cluster what its brokers may is a superuser, or anybody where nobody is asked for permissions
        return () if "CLUSTER_ACTION" in allowed_on_cluster(self._admin, self._seconds) else (_HIDDEN,)

    def remove(self, name: str) -> None:
        group = self._removable(name)
        try:
            while_coming_back(lambda: self._admin.delete_consumer_groups([name], request_timeout=self._seconds)[name].result(self._seconds + 1), self._seconds)
        except TimeoutError:
            raise no_answer("removing the group", name, self._seconds) from None
        except KafkaException as problem:
            raise self._not_removed(group, problem.args[0]) from None

    def _removable(self, name: str) -> Group:
        group = self._group(name)
        self._refuse_ours(group, "removed")
        if group.members:
            raise _at_work(group)
        return group

    def _not_removed(self, group: Group, error: KafkaError) -> BrokercliError:
        if error.code() == KafkaError.NON_EMPTY_GROUP:
            return _at_work(Coordinators(self._admin, Patience(self._seconds)).find(group.name) or group)
        if error.code() in NO_SUCH_GROUP:
            return _no_such_group(group.name)
        return translate(error, "removing the group", group.name)

    def _group(self, name: str) -> Group:
        group = Coordinators(self._admin, Patience(self._seconds)).find(name)
        if group is None:
            raise _no_such_group(name)
        return group

    def _refuse_ours(self, group: Group, done: str) -> None:
        """Refuse what would make handled letters pending again, or hide pending ones."""
        topic = handled_topic(group, self._metadata()) if topic_of(group.name) is not None else None
        if topic is not None:
            raise Failed(f"{group.name} is not {done}: it keeps which letters of {topic} were put back and dropped, and they would be put back a second time, "
                         "or others never.", hint=f"brokercli dlq inspect topic:{topic} says what it holds; once the topic is deleted, the group can go")


def _enter_settings(description: Description, settings: dict[str, str]) -> None:
    if settings:
        description.sections.append(Section("settings", [{"setting": name, "value": value} for name, value in settings.items()]))


def _holds(name: str) -> str:
    return f"which letters of {topic_of(name)} are handled (brokercli dlq inspect topic:{topic_of(name)})"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(matches(name, pattern) for pattern in patterns)


def _no_such_group(name: str) -> NotFound:
    return NotFound(f"There is no group {name} on this cluster.", hint="brokercli consumers ls shows those there are")


def _at_work(group: Group) -> Failed:
    who = ", ".join(map(str, group.members)) or "it has members"
    return Failed(f"{group.name} is at work, so it was not removed: {who}.", hint="stop its members first")


def shown_places(places: Sequence[tuple[str, int]]) -> str:
    """Write partitions by topic: `orders 0,1,2; payments 0`."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in places:
        by_topic.setdefault(topic, []).append(partition)
    return "; ".join(f"{topic} {','.join(map(str, partitions))}" for topic, partitions in by_topic.items())


def _unknown(lags: Sequence[Lag], hidden: Collection[str]) -> list[str]:
    """Say what is not known of a group's partitions; `hidden` are those topics of it that the broker does not show."""
    silent = [f"{lag.source} {lag.partition}" for lag in lags if lag.end is None and lag.source not in hidden]
    beyond = [f"{lag.source} {lag.partition}" for lag in lags if lag.end is not None and lag.position is not None and lag.position > lag.end]
    found = [f"ends of {some_of(silent, 5)}: no leader answers for them"] if silent else []
    if hidden:
        found.insert(0, f"lag in {some_of(sorted(hidden), 5)}: deleted, or not shown to this login, which wants DESCRIBE on the topic")
    if beyond:
        found.append(f"lag of {some_of(beyond, 5)}: the committed offset lies beyond the end, so the topic was made anew or has lost its end")
    untold = [f"{lag.source} {lag.partition}" for lag in lags if lag.lag is None and lag.end is not None and lag.position is not None
              and lag.position <= lag.end]
    if untold:
        found.append(f"lag of {some_of(untold, 5)}: whether this is still the topic whose letters were handled, with all of them, cannot be told now")
    return found
