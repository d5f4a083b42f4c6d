"""Topics as they are declared: partitions, replicas, and every setting as the broker fills it in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from brokercli.backends.kafka.failures import no_answer, translate
from brokercli.backends.kafka.settings import PARTITIONS, REPLICAS, TOPIC
from brokercli.backends.kafka.topic_settings import own_values
from brokercli.model.declaration import Form, SettingValue
from brokercli.model.errors import NotAuthorised, NotFound

_BY_NAME = {setting.name: setting for setting in TOPIC}
_TOPICS_A_REQUEST = 200


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic, at one moment."""

    name: str
    identity: str
    """What another topic of the same name does not share; empty where the broker gives topics no ids (before 2.8)."""
    partitions: int
    replicas: int
    """Of the partition that has most."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Every configuration, in the broker's text."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Those of them that were set on the topic."""
    secret: str = ""
    """Why the configuration cannot be read; empty: it was."""

    def value(self, name: str) -> SettingValue:
        """Return one setting as it is declared; None where the broker has none of that name."""
        if name == PARTITIONS:
            return self.partitions
        if name == REPLICAS:
            return self.replicas
        text = self.settings.get(name)
        return None if text is None else from_text(name, text)


def read_states(admin: AdminClient, names: Collection[str], seconds: float) -> Iterator[TopicState]:
    """Yield those of the topics that there are, in order. Raises NotAuthorised for one that may not be seen; a configuration
    that may not be read is `secret`."""
    listed = list(names)
    for first in range(0, len(listed), _TOPICS_A_REQUEST):
        some = listed[first:first + _TOPICS_A_REQUEST]
        described = admin.describe_topics(TopicCollection(some), request_timeout=seconds)
        resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in some}
        configured = admin.describe_configs(list(resources.values()), request_timeout=seconds)
        for name in some:
            try:
                yield _state(name, described[name], configured[resources[name]], seconds)
            except NotFound:
                continue


def _state(name: str, described: Future[Any], configured: Future[Any], seconds: float) -> TopicState:
    topic = result(described, seconds, "looking at", name)
    identity = str(topic.topic_id) if topic.topic_id is not None else ""
    replicas = max((len(partition.replicas) for partition in topic.partitions), default=0)
    try:
        entries = result(configured, seconds, "reading the configuration of", name)
    except NotAuthorised as problem:
        return TopicState(name, identity, len(topic.partitions), replicas, secret=str(problem))
    settings = {setting: entry.value for setting, entry in entries.items() if entry.value is not None}
    return TopicState(name, identity, len(topic.partitions), replicas, settings, own_values(entries))


def result(future: Future[Any], seconds: float, doing: str, where: str) -> Any:
    """Wait for an administrative answer. Raises what went wrong in our words."""
    try:
        # the client gives up by itself after `seconds`; what it then says is more precise
        return future.result(seconds + 1)
    except KafkaException as problem:
        raise translate(problem.args[0], doing, where) from None
    except TimeoutError:
        raise no_answer(doing, where, seconds) from None


def code_of(future: Future[Any], seconds: float) -> KafkaError | None:
    """Wait for an administrative answer and return what is said against it; raises TimeoutError when there is none."""
    try:
        future.result(seconds + 1)
    except KafkaException as problem:
        error: KafkaError = problem.args[0]
        return error
    return None


def from_text(name: str, text: str) -> SettingValue:
    """Return a value of the broker's as it is declared: numbers as numbers, lists as lists. What is of another form stays text."""
    form = _BY_NAME[name].form if name in _BY_NAME else Form.TEXT
    try:
        match form:
            case Form.WHOLE | Form.DURATION | Form.SIZE:
                return int(text)
            case Form.REAL:
                return float(text)
            case Form.FLAG:
                return {"true": True, "false": False}.get(text.lower(), text)
            case Form.LIST:
                return [item.strip() for item in text.split(",") if item.strip()]
            case _:
                return text.strip()
    except ValueError:
        return text


def to_text(value: SettingValue) -> str:
    """Return a declared value as the broker reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(to_text, value))
    return str(value)


def same(name: str, have: SettingValue, want: SettingValue) -> bool:
    """Whether two values mean the same to the broker: numbers however they are written, lists in any order."""
    if have is None:
        return False
    ours, theirs = (from_text(name, to_text(value)) for value in (want, have))
    if isinstance(ours, list) and isinstance(theirs, list):
        return set(map(str, ours)) == set(map(str, theirs))
    return ours == theirs
