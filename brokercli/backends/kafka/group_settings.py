"""Settings that the broker keeps for a group: timeouts; of share groups also when they give a message up, and where to (`share_letters`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

SHARE, STREAMS, EITHER = "share group", "streams group", "share or streams group"
_OF_SHARE, _OF_STREAMS = ("share.", "errors."), ("streams.",)
_OF_KIND = {SHARE: _OF_SHARE, STREAMS: _OF_STREAMS, EITHER: (*_OF_SHARE, *_OF_STREAMS), "consumer group": ("consumer.",)}


def group_settings(admin: AdminClient, names: Collection[str], seconds: float) -> dict[str, dict[str, str]]:
    """Return the settings of groups by name. A group is missing where the broker has none (before 4.0) or they may not be read."""
    return {name: {setting: entry.value or "" for setting, entry in sorted(entries.items())} for name, entries in _entries(admin, names, seconds)}


def kinds_by_settings(admin: AdminClient, names: Collection[str], seconds: float) -> dict[str, str]:
    """Return which kind each group was set up as: the one that somebody has set something of for it, and of no other. The broker keeps
    settings for any name, whatever the group is; of those that were not set it tells the defaults."""
    kinds = {}
    for name, entries in _entries(admin, names, seconds):
        was_set = [setting for setting, entry in entries.items() if not entry.is_default]
        share, streams = (any(setting.startswith(prefixes) for setting in was_set) for prefixes in (_OF_SHARE, _OF_STREAMS))
        kinds[name] = EITHER if share == streams else SHARE if share else STREAMS
    return kinds


def _entries(admin: AdminClient, names: Collection[str], seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    resources = {name: ConfigResource(ResourceType.GROUP, name) for name in names}
    # the broker takes one resource of this type after another, each with an answer of its own
    asked = admin.describe_configs(list(resources.values()), request_timeout=seconds) if resources else {}
    for name, resource in resources.items():
        try:
            yield name, asked[resource].result(seconds + 1)
        except (KafkaException, TimeoutError):
            continue


def that_apply(kind: str, settings: dict[str, str]) -> dict[str, str]:
    """Leave out settings of other kinds of groups: the broker gives all of them for every name."""
    return {name: value for name, value in settings.items() if name.startswith(_OF_KIND.get(kind, ("no setting",)))}
