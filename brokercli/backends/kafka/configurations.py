"""What a broker or a topic is set to, for whoever does without where it may not be asked."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType


def values_of(admin: AdminClient, kind: ResourceType, name: str, seconds: float) -> dict[str, str]:
    """Return the settings that have a value, by name; none where they may not be asked, or nobody answers within so many seconds."""
    resource = ConfigResource(kind, name)
    try:
        entries = admin.describe_configs([resource], request_timeout=seconds)[resource].result(seconds + 1)
    except (KafkaException, TimeoutError):
        return {}
    return {setting: entry.value for setting, entry in entries.items() if entry.value is not None}
