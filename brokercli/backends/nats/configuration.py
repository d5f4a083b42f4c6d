"""Configurations of streams and consumers as the JetStream API has them: compared with what is declared, and merged with it.

Pure functions over raw JSON. What the server leaves out of an answer, and what it fills in (`_DEFAULTS`), is as
nats-server 2.15.1 does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from brokercli.backends.nats.settings import ONE_WAY, SETTINGS
from brokercli.backends.nats.streams import Json
from brokercli.model.declaration import Difference, Form, Setting, SettingValue
from brokercli.model.errors import UsageProblem
from brokercli.model.position import NANOSECONDS, parse_time

DEFAULT_WINDOW = 120 * NANOSECONDS
DEFAULT_ACK_WAIT = 30 * NANOSECONDS
SERVERS_OWN = "_nats."
"""The server's own entries of the metadata begin so (ADR-44)."""

_DEFAULTS: dict[str, dict[str, SettingValue]] = {
    "stream": {"retention": "limits", "storage": "file", "num_replicas": 1, "max_bytes": -1, "max_msgs": -1, "max_msgs_per_subject": -1, "max_msg_size": -1,
               "max_consumers": -1, "discard": "old", "compression": "none", "persist_mode": "default", "duplicate_window": DEFAULT_WINDOW},
    "consumer": {"ack_policy": "none", "deliver_policy": "all", "replay_policy": "instant", "ack_wait": DEFAULT_ACK_WAIT, "max_deliver": -1,
                 "max_ack_pending": 1000, "max_waiting": 512, "priority_policy": "none"},
}
_EMPTY: dict[Form, SettingValue] = {Form.FLAG: False, Form.WHOLE: 0, Form.SIZE: 0, Form.DURATION: 0, Form.REAL: 0}
_BY_NAME = {kind: {setting.name: setting for setting in settings} for kind, settings in SETTINGS.items()}
_IN_ANY_ORDER = {"subjects", "filter_subjects", "sources"}
_FILTERS = ("filter_subject", "filter_subjects")


def setting_of(kind: str, name: str) -> Setting:
    """Return a setting by name. Raises UsageProblem for one that is not known."""
    found = _BY_NAME[kind].get(name)
    if found is None:
        raise UsageProblem(f"A {kind} has no setting {name!r}.", hint=f"it has {', '.join(_BY_NAME[kind])}")
    return found


def value_of(kind: str, name: str, config: Mapping[str, object]) -> SettingValue:
    """Return a setting as it is in force: what an answer leaves out has its default."""
    if name in _FILTERS and not config.get(name):
        filters = filters_of(config)
        if name == "filter_subjects":
            return list(filters)
        return filters[0] if len(filters) == 1 else ""
    if name == "duplicate_window" and not config.get(name):
        if config.get("mirror") or config.get("sources"):
            return 0  # the server gives one to no stream that is filled from others (seen on 2.15.1)
        age = config.get("max_age")
        return min(DEFAULT_WINDOW, age) if isinstance(age, int) and age else DEFAULT_WINDOW
    if name == "ack_wait" and config.get("backoff"):
        backoff = config["backoff"]
        return backoff[0] if isinstance(backoff, list) else DEFAULT_ACK_WAIT
    return canonical(kind, name, config.get(name))


def filters_of(config: Mapping[str, object]) -> tuple[str, ...]:
    """Return the subjects a consumer gets; empty: all."""
    several, one = config.get("filter_subjects"), config.get("filter_subject")
    return tuple(map(str, several)) if isinstance(several, list) and several else (str(one),) if one else ()


def is_internal(consumer: Mapping[str, object]) -> bool:
    """Whether a consumer, by its configuration, is the server's own: it feeds a mirror, or a stream that is filled from this
    one. Since 2.14 those of interest and work-queue streams are durable and shown like anybody's (seen on 2.15.1)."""
    return bool(consumer.get("sourcing") or consumer.get("direct"))


def canonical(kind: str, name: str, value: object) -> SettingValue:
    """Return a value as it is compared: empty ones as their default, unlimited as -1, tables without what is empty in them."""
    setting = _BY_NAME[kind][name]
    default = _DEFAULTS[kind].get(name)
    if name == "metadata" and isinstance(value, dict):
        return {key: entry for key, entry in value.items() if not key.startswith(SERVERS_OWN)}
    if value is None or value == "" or (not value and default is not None):
        empty: SettingValue = [] if setting.form is Form.LIST else {} if setting.form is Form.TABLE else _EMPTY.get(setting.form, "")
        return empty if default is None else default
    if default == -1 and isinstance(value, int) and value < 0:
        return -1
    if setting.form is Form.TABLE or setting.items is Form.TABLE:
        return _pruned(value)
    return value  # type: ignore[return-value]


def _pruned(value: object) -> SettingValue:
    if isinstance(value, dict):
        return {key: pruned for key, entry in value.items() if (pruned := _pruned(entry)) not in (None, "", 0, [], {})}
    if isinstance(value, list):
        return [_pruned(entry) for entry in value]
    return value  # type: ignore[return-value]


def same(name: str, have: SettingValue, want: SettingValue) -> bool:
    """Whether two canonical values mean the same."""
    if name in _IN_ANY_ORDER and isinstance(have, list) and isinstance(want, list):
        return sorted(map(_key, have)) == sorted(map(_key, want))
    if name == "opt_start_time" and isinstance(have, str) and isinstance(want, str) and have and want:
        return parse_time(have) == parse_time(want)
    return have == want


def _key(value: SettingValue) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def differences(kind: str, config: Json, settings: Mapping[str, SettingValue]) -> list[Difference]:
    """Compare the settings that are named with what there is, and say what could not be changed."""
    found: list[Difference] = []
    for name, value in settings.items():
        setting = setting_of(kind, name)
        have, want = value_of(kind, name, config), canonical(kind, name, value)
        if value is None:
            want = _unset(kind, name, config)
        if name in ("duplicate_window", "ack_wait") and not value:
            want = value_of(kind, name, {**config, **settings, name: None})
        if name in _FILTERS and not value and any(settings.get(other) for other in _FILTERS):
            continue  # the other of the two says it
        if not same(name, have, want):
            found.append(Difference(name, None if have in ("", [], {}) else have, want, _obstacle(kind, setting, have, want, config, settings)))
    return found + _implied(kind, config, settings)


def _implied(kind: str, config: Json, settings: Mapping[str, SettingValue]) -> list[Difference]:
    """Return what has to change with something that is named: ids cannot be remembered for longer than messages (10052)."""
    age = settings.get("max_age")
    if kind != "stream" or not isinstance(age, int) or not age or "duplicate_window" in settings or config.get("mirror"):
        return []
    window = value_of(kind, "duplicate_window", config)
    return [Difference("duplicate_window", window, age)] if isinstance(window, int) and window > age else []


def _obstacle(kind: str, setting: Setting, have: SettingValue, want: SettingValue, config: Json, settings: Mapping[str, SettingValue]) -> str:
    anew = "the consumer would have to be removed and made anew" if kind == "consumer" else "the stream would have to be made anew, and its messages copied"
    if config.get("sealed"):
        return f"the stream is sealed; {anew}"
    if setting.fixed:
        return f"{setting.fixed}; {anew}"
    if kind == "stream":
        if setting.name == "retention" and "workqueue" in (have, want):
            return f"a stream is made as a work queue or never becomes one, and stays one; {anew}"
        if ONE_WAY.get(setting.name) and have is True:
            return f"{setting.name} cannot be taken back; {anew}"
        if setting.name == "mirror" and want:
            return f"a stream becomes a mirror when it is made, or not at all; {anew}"
    elif setting.name == "deliver_subject" and not (have and want):
        return f"a consumer that is pulled from stays one, and so does one that pushes; {anew}"
    elif setting.name == "ack_wait" and config.get("backoff") and "backoff" not in settings:
        return "its backoff decides: the server takes the first of it for ack_wait; declare backoff"
    return ""


def merged(kind: str, config: Json, changes: Iterable[Difference]) -> Json:
    """Return the raw configuration with changes in it; everything else stays, also what we do not know."""
    result = dict(config)
    for change in changes:
        if change.setting in _FILTERS:
            for name in _FILTERS:
                result.pop(name, None)
        if change.setting == "metadata":
            own = {key: value for key, value in (config.get("metadata") or {}).items() if key.startswith(SERVERS_OWN)}
            result["metadata"] = own | (change.want if isinstance(change.want, dict) else {})
        elif change.want in ("", [], {}):
            result.pop(change.setting, None)
        else:
            result[change.setting] = change.want
    return result


def settings_beyond_defaults(kind: str, config: Json) -> dict[str, SettingValue]:
    """Return what one would have to declare to get such a thing on a server without it."""
    found: dict[str, SettingValue] = {}
    for setting in SETTINGS[kind]:
        value = value_of(kind, setting.name, config)
        if setting.name in _FILTERS and not config.get(setting.name):
            continue
        if setting.name == "ack_wait" and config.get("backoff"):
            continue
        if setting.name == "mirror_direct" and config.get("mirror"):
            found[setting.name] = value  # the server takes it from what is mirrored
        elif not same(setting.name, value, _default(kind, setting.name, config)):
            found[setting.name] = value
    return found


def _default(kind: str, name: str, config: Json) -> SettingValue:
    if name == "ack_policy":
        return "explicit"  # ours: what declare makes, and every client library
    decides = ("max_age", "mirror", "sources") if name == "duplicate_window" else ()
    return value_of(kind, name, {other: config.get(other) for other in decides})


def _unset(kind: str, name: str, config: Json) -> SettingValue:
    """Return what a thing that exists has where nothing is set."""
    if name == "subjects" and not config.get("mirror") and not config.get("sources"):
        return [str(config.get("name"))]
    return _default(kind, name, config)


def with_our_defaults(kind: str, settings: Mapping[str, SettingValue]) -> Json:
    """Return settings as a configuration to create a thing with."""
    given = {name: value for name, value in settings.items() if value not in (None, "", [], {})}
    return {"ack_policy": "explicit"} | given if kind == "consumer" else dict(given)


def feeding(config: Mapping[str, object]) -> set[str]:
    """Return the streams, of this account and domain, that one with such a configuration is copied from or filled from."""
    mirror, sources = config.get("mirror"), config.get("sources")
    tables = [mirror, *(sources if isinstance(sources, list) else [])]
    return {str(table.get("name")) for table in tables if isinstance(table, dict) and not table.get("external")}
