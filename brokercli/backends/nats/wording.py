"""Settings and durations as a user would type them."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from brokercli.backends.nats.configuration import setting_of
from brokercli.model.declaration import Form, SettingValue
from brokercli.model.description import Value

_SECOND = 1_000_000_000


def duration(nanoseconds: int) -> str | None:
    """Write a duration; None for none."""
    seconds = nanoseconds / _SECOND
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s" if nanoseconds else None


def setting_rows(kind: str, settings: Mapping[str, SettingValue]) -> list[dict[str, Value]]:
    """Return a row for each setting."""
    return [{"setting": name, "value": _shown(kind, name, value)} for name, value in settings.items()]


def _shown(kind: str, name: str, value: SettingValue) -> Value:
    setting = setting_of(kind, name)
    if setting.form is Form.DURATION and isinstance(value, int):
        return duration(value) or "0s"
    if isinstance(value, list):
        return ", ".join(str(_item(setting.items, item)) for item in value)
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return value


def _item(form: Form, value: SettingValue) -> str:
    if form is Form.DURATION and isinstance(value, int):
        return duration(value) or "0s"
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
