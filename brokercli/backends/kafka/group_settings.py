"""Settings that the broker keeps for a group: timeouts; of share groups also when they give a message up, and where to (`share_letters`)."""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from brokercli.backends.kafka.groups import SHARE, STREAMS, Group

_OF_KIND = {SHARE: ("share.", "errors."), STREAMS: ("streams.",), "consumer group": ("consumer.",)}


def group_settings(admin: AdminClient, names: Collection[str], seconds: float) -> dict[str, dict[str, str]]:
    """Return the settings of groups by name. A group is missing where the broker has none (before 4.0) or they may not be read."""
    resources = {name: ConfigResource(ResourceType.GROUP, name) for name in names}
    # the broker takes one resource of this type after another, each with an answer of its own
    asked = admin.describe_configs(list(resources.values()), request_timeout=seconds) if resources else {}
    found: dict[str, dict[str, str]] = {}
    for name, resource in resources.items():
        try:
            found[name] = {setting: entry.value or "" for setting, entry in sorted(asked[resource].result(seconds + 1).items())}
        except (KafkaException, TimeoutError):
            continue
    return found


def that_apply(group: Group, settings: dict[str, str]) -> dict[str, str]:
    """Leave out settings of other kinds of groups: the broker gives all of them for every name."""
    return {name: value for name, value in settings.items() if name.startswith(_OF_KIND.get(group.kind, ("no setting",)))}
