"""The settings of a topic that decide what becomes of a message."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from time import time
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource, ConfigSource

BROKER_DEFAULT_MESSAGE_BYTES = 1_048_588
_BROKER_DEFAULT_AHEAD = 3_600_000
_WITHOUT_BOUND = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """What the broker says of a topic; its own defaults where we may not ask."""

    known: bool = False
    maximum_batch_bytes: int = BROKER_DEFAULT_MESSAGE_BYTES
    """`max.message.bytes`: the broker applies it to a whole batch."""
    needs_key: bool = False
    """A compacted topic: the broker refuses a message without a key, and every other one in its batch."""
    retention_milliseconds: int | None = None
    """How old a message gets by its own time before it may be deleted; None is for ever, or unknown."""
    own_time: bool = False
    """The broker stamps its own time (`message.timestamp.type=LogAppendTime`)."""
    minimum_in_sync: int = 1
    """`min.insync.replicas`: below it the broker refuses every confirmed write."""
    most_behind: int = _WITHOUT_BOUND
    """`message.timestamp.before.max.ms`: how far a message's time may lie before the broker's."""
    most_ahead: int = _BROKER_DEFAULT_AHEAD
    """`message.timestamp.after.max.ms`."""

    @property
    def oldest_kept(self) -> int:
        """The oldest time, in milliseconds, that a message can be given and keep for a while: 0 for any, one that never comes for none."""
        if self.own_time:
            return _WITHOUT_BOUND
        return 0 if self.retention_milliseconds is None else int(time() * 1000) - self.retention_milliseconds

    @property
    def does_to_times(self) -> str:
        """What the topic does to messages with older times, in words that go on from its name."""
        if self.own_time:
            return "stamps its own time on messages (message.timestamp.type=LogAppendTime); the time given is lost"
        return "deletes what is older than its retention.ms by its own time; messages that keep their old time may be deleted soon"

    def takes_time(self, milliseconds: int) -> bool:
        """Whether a message may have this time, by our clock."""
        return self.own_time or -self.most_behind <= milliseconds - int(time() * 1000) <= self.most_ahead


def request_settings(admin: AdminClient, topic: str, seconds: float) -> Future[Any]:
    """Ask for a topic's configuration, without waiting."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    future: Future[Any] = admin.describe_configs([resource], request_timeout=seconds)[resource]
    return future


def read_settings(answer: Future[Any], seconds: float) -> TopicSettings:
    """Wait for the answer; without the permission to ask, the broker's defaults are taken to hold."""
    try:
        entries = answer.result(seconds)
    except (KafkaException, TimeoutError):
        return TopicSettings()
    values = {name: entry.value for name, entry in entries.items()}
    policies = (values.get("cleanup.policy") or "delete").split(",")
    retention = int(values.get("retention.ms") or -1)
    return TopicSettings(
        known=True,
        maximum_batch_bytes=int(values.get("max.message.bytes") or BROKER_DEFAULT_MESSAGE_BYTES),
        needs_key="compact" in policies,
        retention_milliseconds=retention if retention >= 0 and "delete" in policies else None,
        own_time=values.get("message.timestamp.type") == "LogAppendTime",
        minimum_in_sync=int(values.get("min.insync.replicas") or 1),
        most_behind=int(values.get("message.timestamp.before.max.ms") or _WITHOUT_BOUND),
        most_ahead=int(values.get("message.timestamp.after.max.ms") or _BROKER_DEFAULT_AHEAD))


def own_values(entries: dict[str, Any]) -> dict[str, str]:
    """Return what was set on the topic itself, by name."""
    return {name: entry.value for name, entry in sorted(entries.items())
            if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and not entry.is_sensitive}
