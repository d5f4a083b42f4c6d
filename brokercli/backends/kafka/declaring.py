"""Declaring topics: what there is against what ought to be, one change at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from brokercli.backends.declaring import Declarer
from brokercli.backends.kafka.altering import Alterations, CameMeanwhile, named
from brokercli.backends.kafka.listing import is_internal
from brokercli.backends.kafka.removal import goes_with, messages_in
from brokercli.backends.kafka.retrying import retry_topology
from brokercli.backends.kafka.settings import PARTITIONS, REPLICAS, SETTINGS
from brokercli.backends.kafka.topic_name import check_collisions, check_topic_name
from brokercli.backends.kafka.topic_state import TopicState, from_text, read_states, same
from brokercli.model.amount import amount
from brokercli.model.declaration import Action, Change, Declaration, Difference, RetrySpecification, RetryTopology, SettingValue
from brokercli.model.errors import Failed, NotAuthorised, NotFound, UsageProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka.admin import AdminClient

_KNOWN = frozenset(setting.name for setting in SETTINGS["topic"])
_FIXED_REPLICAS = "it stays {have}: {why}; or make a new topic and copy the messages (brokercli replay {name} --to NEW)"
_WHY_FIXED = next(setting.fixed for setting in SETTINGS["topic"] if setting.name == REPLICAS)
_FEWER = "Kafka takes no partition away: make a new topic with {want} and copy the messages (brokercli replay {name} --to NEW)"


class _Removal(NamedTuple):
    """What a deletion was planned on."""

    state: TopicState
    messages: int | None
    """None: it was not known, and said so."""


class KafkaDeclarer(Declarer):
    """Plans and makes topics."""

    def __init__(self, admin: AdminClient, metadata: Callable[[], Any], seconds: float) -> None:
        """`metadata` returns what the cluster says of all its topics."""
        self._admin = admin
        self._metadata = metadata
        self._seconds = seconds
        self._alterations = Alterations(admin, seconds)
        self.notes: list[str] = []

    def plan(self, wanted: Sequence[Declaration]) -> list[Change]:
        once: dict[str, Declaration] = {}
        for declaration in wanted:
            _check(declaration)
            if once.setdefault(declaration.name, declaration).settings != declaration.settings:
                raise UsageProblem(f"The {declaration} is declared twice, with different settings.", hint="keep one of the two")
        there = {state.name: state for state in read_states(self._admin, once, self._seconds)}
        # the broker checks each of them against those there are
        check_collisions(name for name in once if name not in there)
        planned: list[Change] = []
        for declaration in wanted:
            if once.pop(declaration.name, None) is None:
                planned.append(Change(declaration, Action.UNCHANGED, remarks=("it is declared twice",)))
                continue
            state = there.get(declaration.name)
            planned.append(self._creation(declaration) if state is None else self._change(declaration, state))
        return planned

    def _creation(self, declaration: Declaration) -> Change:
        try:
            remarks = self._alterations.check_creation(declaration)
        except CameMeanwhile:
            # the controller knows of a topic before the brokers do
            return self._change(declaration, self._alterations.wait_for(declaration.name))
        differences = tuple(Difference(name, None, value) for name, value in named(declaration).items())
        return Change(declaration, Action.CREATE, differences, (*remarks, *_unsound(declaration, None)))

    def _change(self, declaration: Declaration, state: TopicState) -> Change:
        if state.secret and any(name not in (PARTITIONS, REPLICAS) for name in declaration.settings):
            raise NotAuthorised(state.secret, hint="ask for DESCRIBE_CONFIGS on the topic, or use a context with another login")
        unknown = [name for name in declaration.settings if name not in (PARTITIONS, REPLICAS) and name not in state.settings]
        if unknown:
            raise UsageProblem(f"This Kafka has no setting {', '.join(unknown)} for topics.", hint="it is of another version; leave the setting out")
        differences = (*(_difference(state, name, value) for name, value in named(declaration).items() if not same(name, state.value(name), value)),
                       *(Difference(name, state.value(name), None) for name, value in declaration.settings.items() if value is None and name in state.own))
        if not differences:
            return Change(declaration, Action.UNCHANGED, handle=state)
        if any(difference.obstacle for difference in differences):
            return Change(declaration, Action.CANNOT, differences, handle=state)
        remarks = self._alterations.check_change(declaration.name, differences)
        return Change(declaration, Action.CHANGE, differences, (*remarks, *_consequences(differences), *_unsound(declaration, state)), handle=state)

    def apply(self, change: Change) -> None:
        name = change.declaration.name
        match change.action:
            case Action.CREATE:
                self._alterations.create(change.declaration)
            case Action.CHANGE:
                planned = change.handle
                assert isinstance(planned, TopicState)
                now = self._same_topic(planned)
                moved = [difference.setting for difference in change.differences if now.value(difference.setting) != difference.have]
                if moved:
                    raise Failed(f"{name} is no longer what was planned on: somebody changed {', '.join(moved)}. Nothing was changed.", hint="plan again")
                self._alterations.change(now, change.differences)
            case Action.DELETE:
                removal = change.handle
                assert isinstance(removal, _Removal)
                self._same_topic(removal.state)
                self._require_empty_still(removal)
                self._alterations.delete(name)
            case _:
                raise Failed(f"There is nothing to apply about {change.declaration}: {change.action}.")

    def _same_topic(self, planned: TopicState) -> TopicState:
        now = next(read_states(self._admin, [planned.name], self._seconds), None)
        if now is None:
            raise NotFound(f"{planned.name} is no longer what was planned on: it is gone. Nothing was changed.", hint="plan again")
        if now.identity != planned.identity:
            raise Failed(f"{planned.name} is no longer what was planned on: it was made anew. Nothing was changed.", hint="plan again")
        return now

    def _require_empty_still(self, removal: _Removal) -> None:
        name = removal.state.name
        if removal.messages == 0 and (count := messages_in(name, self._metadata(), self._admin, self._seconds)) != 0:
            what = f"has got {amount(count, 'message')}" if count else "does not say any more what it holds"
            raise Failed(f"{name} {what} since it was looked at, so it was not deleted.", hint="look at what is in it, then plan again")

    def declared(self, kinds: Sequence[str] = ()) -> Iterable[Declaration]:
        if kinds and "topic" not in kinds:
            return
        names = sorted(name for name, topic in self._metadata().topics.items() if topic.error is None and not is_internal(name))
        for state in read_states(self._admin, names, self._seconds):
            settings: dict[str, SettingValue] = {PARTITIONS: state.partitions, REPLICAS: state.replicas}
            if state.secret:
                self.notes.append(f"{state.name}: its settings are left out: {state.secret}")
            settings |= {name: from_text(name, text) for name, text in state.own.items() if name in _KNOWN}
            if strange := [name for name in state.own if name not in _KNOWN]:
                self.notes.append(f"{state.name}: left out, because this version of brokercli does not know them: {', '.join(strange)}")
            yield Declaration("topic", state.name, settings)

    def plan_removal(self, unwanted: Sequence[Declaration]) -> list[Change]:
        for declaration in unwanted:
            _check(declaration)
        by_name = {declaration.name: declaration for declaration in unwanted}
        states = list(read_states(self._admin, by_name, self._seconds))
        losses = goes_with([state.name for state in states], self._metadata(), self._admin, self._seconds)
        return [Change(by_name[state.name], Action.DELETE, remarks=losses[state.name].remarks, handle=_Removal(state, losses[state.name].messages))
                for state in states]

    def retry(self, specification: RetrySpecification) -> RetryTopology:
        check_topic_name(specification.source)
        state = next(read_states(self._admin, [specification.source], self._seconds), None)
        if state is None and specification.declared is None:
            raise UsageProblem(f"There is no topic {specification.source} to make retries for.",
                               hint=f"brokercli declare topic {specification.source}")
        return retry_topology(specification, state, self._metadata().topics)


def _check(declaration: Declaration) -> None:
    if declaration.kind != "topic":
        raise UsageProblem(f"Kafka has topics; a {declaration.kind} cannot be declared on it.")
    check_topic_name(declaration.name)
    if is_internal(declaration.name):
        raise UsageProblem(f"{declaration.name} is the broker's own; nothing about it is declared from here.")
    for name in (PARTITIONS, REPLICAS):
        if declaration.settings.get(name, 1) is None:
            raise UsageProblem(f"The {name} of the {declaration} cannot be unset: a topic keeps what it was made with.", hint="leave it out")
        value = named(declaration).get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageProblem(f"The {declaration} cannot have {name} {value}: it is a whole number from 1 on.")


def _difference(state: TopicState, name: str, want: SettingValue) -> Difference:
    have = state.value(name)
    obstacle = ""
    if name == REPLICAS:
        obstacle = _FIXED_REPLICAS.format(have=have, why=_WHY_FIXED, name=state.name)
    elif name == PARTITIONS and isinstance(want, int) and want < state.partitions:
        obstacle = _FEWER.format(want=want, name=state.name)
    return Difference(name, have, want, obstacle)


def _consequences(differences: Sequence[Difference]) -> Iterable[str]:
    """Say what a change does to messages."""
    for difference in differences:
        have, want = difference.have, difference.want
        match difference.setting:
            case "partitions":
                yield "messages with a key go to other partitions from now on: those of one key are no longer in order across the change"
            case "cleanup.policy" if want is None:
                yield "from now on the broker's own cleanup.policy holds: it may delete messages, or compact them"
            case "retention.ms" | "retention.bytes" if want is None:
                yield f"messages beyond the broker's own {difference.setting} are deleted soon after"
            case "retention.ms" | "retention.bytes" if isinstance(want, int) and isinstance(have, int) and want >= 0 and (have < 0 or want < have):
                yield f"messages beyond the new {difference.setting} are deleted soon after"
            case "max.message.bytes" if isinstance(want, int) and isinstance(have, int) and want < have:
                yield "larger messages are refused from now on, also when they are put back from dead letters"
            case "min.insync.replicas" if isinstance(want, int) and isinstance(have, int) and want < have:
                yield f"a message is confirmed once {amount(want, 'replica has', 'replicas have')} it: fewer losses of brokers are survived"
            case "remote.storage.enable" if have is True and want is not True:
                yield "messages that lie in remote storage, and not on the brokers any more, are deleted"
            case "unclean.leader.election.enable" if want is True:
                yield "a replica that lacks messages may lead when no other is left: those messages are lost"
            case "cleanup.policy":
                before, after = (value if isinstance(value, list) else [] for value in (have, want))
                if "compact" in after and "compact" not in before:
                    yield "of messages with the same key only the newest stays, and messages without a key are refused from now on"
                if "delete" in after and "delete" not in before:
                    yield "messages older than retention.ms are deleted soon after"


def _unsound(declaration: Declaration, state: TopicState | None) -> Iterable[str]:
    """Say what in a declaration keeps messages from being confirmed, on some brokers at least (KAFKA-15583)."""
    minimum = declaration.settings.get("min.insync.replicas")
    replicas = state.replicas if state is not None else declaration.settings.get(REPLICAS)
    if isinstance(minimum, int) and isinstance(replicas, int) and 0 < replicas < minimum:
        yield (f"min.insync.replicas is {minimum}, and there {'is' if replicas == 1 else 'are'} {amount(replicas, 'replica')}: a broker before Kafka 3.7 "
               "confirms nothing, later ones want all of them")
