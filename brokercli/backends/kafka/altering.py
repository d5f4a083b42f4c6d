"""The administrative requests that make, change and delete topics, and what the broker says against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from brokercli.backends.kafka.failures import AUTHORISATION, no_answer, translate
from brokercli.backends.kafka.settings import PARTITIONS, REPLICAS
from brokercli.backends.kafka.topic_name import COLLIDES
from brokercli.backends.kafka.topic_state import TopicState, code_of, read_states, to_text
from brokercli.model.declaration import Declaration, Difference, SettingValue
from brokercli.model.errors import BrokercliError, Failed, NotFound, Unreachable, Unsupported, UsageProblem

_T = TypeVar("_T")
_BY_DEFAULT = -1
_LOOK_AGAIN_SECONDS = 0.05
_WRONG = (KafkaError.INVALID_CONFIG, KafkaError.INVALID_PARTITIONS, KafkaError.INVALID_REQUEST)


class CameMeanwhile(Failed):
    """What is to be made exists already: somebody made it meanwhile, or the broker that was asked before had not heard of it yet."""


class Alterations:
    """Asks for changes of topics, for real or only to be checked by the broker. Each waits for its answer."""

    def __init__(self, admin: AdminClient, seconds: float) -> None:
        self._admin = admin
        self._seconds = seconds

    def check_creation(self, declaration: Declaration) -> list[str]:
        """Have the broker check a topic that is not made; returns remarks. Raises what it would say: CameMeanwhile where there is one."""
        return self._checked("creating", declaration.name, self._create(declaration, validate_only=True))

    def check_change(self, name: str, differences: Sequence[Difference]) -> list[str]:
        """Have the broker check changes that are not made."""
        remarks: list[str] = []
        for future in (self._alter(name, _settings(differences), validate_only=True), self._grow(name, differences, validate_only=True)):
            if future is not None:
                remarks += self._checked("changing", name, future)
        return list(dict.fromkeys(remarks))

    def _checked(self, doing: str, name: str, future: Future[Any]) -> list[str]:
        error = self._answer(doing, name, future)
        if error is None:
            return []
        if error.code() in AUTHORISATION:
            return [f"this login may not do it ({error.str()}), and so Kafka did not check the settings either"]
        raise _refusal(doing, name, error, UsageProblem)

    def create(self, declaration: Declaration) -> None:
        """Create a topic and wait until it can be used."""
        name = declaration.name
        self._do("creating", name, self._create(declaration))
        self._until(lambda: self._there(name), f"{name} was created")

    def change(self, state: TopicState, differences: Sequence[Difference]) -> None:
        """Change settings and then partitions; when the second fails, the settings are put back."""
        name, settings = state.name, _settings(differences)
        altered = self._alter(name, settings)
        if altered is not None:
            self._do("changing", name, altered)
        grown = self._grow(name, differences)
        if grown is not None:
            self._add_partitions(state, grown, settings)
        # the controller answers before the brokers have heard of it, and a plan made at once would find it undone
        self._until(lambda: (there := self._there(name)) is not None and all(map(partial(_taken_over, there), differences)), f"{name} was changed")

    def _add_partitions(self, state: TopicState, grown: Future[Any], settings: Mapping[str, str | None]) -> None:
        name = state.name
        try:
            self._do("adding partitions to", name, grown)
        except Unreachable:
            raise
        except BrokercliError:
            if settings:
                self._put_back(state, settings)
            raise

    def _put_back(self, state: TopicState, settings: Mapping[str, str | None]) -> None:
        back = self._alter(state.name, {setting: state.own.get(setting) for setting in settings})
        assert back is not None
        self._do("putting back the settings of", state.name, back)

    def delete(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        self._do("deleting", name, self._admin.delete_topics([name], request_timeout=self._seconds)[name])
        self._until(lambda: self._there(name) is None, f"{name} was deleted")

    def wait_for(self, name: str) -> TopicState:
        """Return a topic of which the controller knows, once the brokers have heard of it."""
        return self._until(lambda: self._there(name), f"{name} is there")

    def _there(self, name: str) -> TopicState | None:
        return next(read_states(self._admin, [name], self._seconds), None)

    def _create(self, declaration: Declaration, *, validate_only: bool = False) -> Future[Any]:
        settings = named(declaration)
        partitions, replicas = (_number(settings.pop(name, _BY_DEFAULT)) for name in (PARTITIONS, REPLICAS))
        try:
            topic = NewTopic(declaration.name, partitions, replicas, config={name: to_text(value) for name, value in settings.items()})
            future: Future[Any] = self._admin.create_topics([topic], request_timeout=self._seconds, validate_only=validate_only)[declaration.name]
        except (ValueError, TypeError, OverflowError) as problem:
            raise UsageProblem(f"Kafka's client refuses to create {declaration.name}: {problem}.") from None
        return future

    def _alter(self, name: str, settings: Mapping[str, str | None], *, validate_only: bool = False) -> Future[Any] | None:
        if not settings:
            return None
        operations = {True: AlterConfigOpType.DELETE, False: AlterConfigOpType.SET}
        entries = [ConfigEntry(setting, text, incremental_operation=operations[text is None]) for setting, text in settings.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        future: Future[Any] = self._admin.incremental_alter_configs([resource], request_timeout=self._seconds, validate_only=validate_only)[resource]
        return future

    def _grow(self, name: str, differences: Iterable[Difference], *, validate_only: bool = False) -> Future[Any] | None:
        wanted = next((difference.want for difference in differences if difference.setting == PARTITIONS), None)
        if not isinstance(wanted, int):
            return None
        try:
            future: Future[Any] = self._admin.create_partitions([NewPartitions(name, wanted)], request_timeout=self._seconds, validate_only=validate_only)[name]
        except (ValueError, TypeError, OverflowError) as problem:
            raise UsageProblem(f"Kafka's client refuses to give {name} {wanted} partitions: {problem}.") from None
        return future

    def _do(self, doing: str, name: str, future: Future[Any]) -> None:
        error = self._answer(doing, name, future)
        if error is not None:
            raise _refusal(doing, name, error, Failed)

    def _answer(self, doing: str, name: str, future: Future[Any]) -> KafkaError | None:
        try:
            return code_of(future, self._seconds)
        except TimeoutError:
            raise no_answer(doing, name, self._seconds) from None

    def _until(self, seen: Callable[[], _T | None], what: str) -> _T:
        """Wait until the brokers have heard of what the controller did, and return what is seen then."""
        deadline = monotonic() + self._seconds
        while not (found := seen()):
            if monotonic() >= deadline:
                raise Unreachable(f"Kafka says that {what}, and does not show it after {self._seconds:g} s.", hint="plan again to see how it is")
            sleep(_LOOK_AGAIN_SECONDS)
        return found


def named(declaration: Declaration) -> dict[str, SettingValue]:
    """Return the settings that say something: -1 partitions or replicas are as many as the cluster gives by itself."""
    return {name: value for name, value in declaration.settings.items()
            if value is not None and not (name in (PARTITIONS, REPLICAS) and value == _BY_DEFAULT)}


def _taken_over(there: TopicState, difference: Difference) -> bool:
    # the default may be what was set
    return difference.setting not in there.own if difference.want is None else there.value(difference.setting) != difference.have


def _number(value: SettingValue) -> int:
    assert isinstance(value, int)
    return value


def _settings(differences: Iterable[Difference]) -> dict[str, str | None]:
    return {difference.setting: None if difference.want is None else to_text(difference.want)
            for difference in differences if difference.setting not in (PARTITIONS, REPLICAS)}


def _refusal(doing: str, name: str, error: KafkaError, wrong: type[BrokercliError]) -> BrokercliError:
    """Return what to raise when a change is refused; `wrong` for one that no Kafka would take."""
    code, text = error.code(), error.str().rstrip(".")
    if code == KafkaError.TOPIC_EXCEPTION:
        return wrong(f"Kafka refuses {doing} {name}: {text}.", hint=COLLIDES)
    if code in _WRONG:
        return wrong(f"Kafka refuses {doing} {name}: {text}.", hint="correct the setting")
    if code == KafkaError.INVALID_REPLICATION_FACTOR:
        return Unsupported(f"This cluster cannot do that, {doing} {name}: {text}.", hint=f"{REPLICAS} is how many brokers keep each partition")
    if code == KafkaError.POLICY_VIOLATION:
        return Failed(f"A policy of the cluster forbids {doing} {name}: {text}.", hint="whoever runs the cluster knows its policies")
    if code == KafkaError.TOPIC_DELETION_DISABLED:
        return Unsupported(f"This cluster does not allow {doing} {name}: {text}.", hint="delete.topic.enable is false on its brokers")
    if code == KafkaError.TOPIC_ALREADY_EXISTS:
        return CameMeanwhile(f"{doing[0].upper()}{doing[1:]} {name} failed: it came meanwhile.", hint="plan again")
    if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return NotFound(f"{doing[0].upper()}{doing[1:]} {name} failed: it is gone.", hint="plan again")
    if code in (KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_CONTROLLER):
        return Unreachable(f"Whether {doing} {name} was done is not known: {text}.", hint="plan again to see how it is")
    return translate(error, doing, name)
