"""Values of settings: read as a user types them or a file holds them, shown as a user would type them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from brokercli.model.declaration import Form, Setting, SettingValue
from brokercli.model.errors import UsageProblem
from brokercli.model.position import NANOSECONDS, parse_duration

LARGEST = 2**63 - 1
_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_REAL = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|[kKMGT]i?B)", re.ASCII)
_BYTES = {"b": 1} | {f"{letter}{unit}": base**power for power, letter in enumerate("kmgt", 1) for unit, base in (("b", 1000), ("ib", 1024))}
_SHOWN_SIZES = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_SHOWN_DURATIONS = (("d", 86_400 * NANOSECONDS), ("h", 3600 * NANOSECONDS), ("m", 60 * NANOSECONDS), ("s", NANOSECONDS), ("ms", 1_000_000))


class Unfit(Exception):
    """A name or a value that does not fit; whoever knows where it was written says that as well."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def find_setting(name: str, known: Sequence[Setting], of: str) -> Setting:
    """Return the setting of that name. Raises Unfit with the nearest name there is; `of` says whose settings they are
    (`a Kafka topic`)."""
    for setting in known:
        if setting.name == name:
            return setting
    raise Unfit(f"{of} has no setting {name!r}", nearest(name, [setting.name for setting in known]))


def find_unset(name: str, known: Sequence[Setting], of: str) -> Setting:
    """Return the setting of that name, which somebody wants to have back at its default. Raises Unfit, also where it never changes."""
    setting = find_setting(name, known, of)
    if setting.fixed:
        raise Unfit(f"{name} cannot be unset, because it never changes: {setting.fixed.rstrip('.')}")
    return setting


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the hint for a name that is not known: the one that was probably meant, or a few there are."""
    from difflib import get_close_matches

    if close := get_close_matches(name, known, n=1, cutoff=0.5):
        return f"did you mean {close[0]}?"
    # half a name, or the same in another spelling: replication for replication.factor
    if part := [other for other in known if _plain(name) and _plain(name) in _plain(other)]:
        return f"did you mean {part[0]}?"
    return f"known: {', '.join(sorted(known)[:12])}{', …' if len(known) > 12 else ''}" if known else None


def read_text(setting: Setting, text: str) -> SettingValue:
    """Read what stands after `=` on a command line. Raises Unfit."""
    match setting.form:
        case Form.LIST if not text.lstrip().startswith("["):
            return [_read_item(setting, part.strip()) for part in text.split(",")] if text.strip() else []
        case Form.LIST | Form.TABLE:
            try:
                return read_value(setting, json.loads(text))
            except ValueError:
                example = '{"name": "value"}' if setting.form is Form.TABLE else '["a", "b"], or a,b'
                raise Unfit(f"{text!r} is no {setting.form}", f"written as JSON: {example}") from None
        case Form.FLAG:
            if text not in ("true", "false"):
                raise Unfit(f"{text!r} is neither true nor false")
            return text == "true"
        case Form.WHOLE:
            return _whole(text)
        case Form.REAL:
            if not _REAL.fullmatch(text):
                raise Unfit(f"{text!r} is no number")
            return float(text)
    return _read_word(setting, text)


def read_value(setting: Setting, value: object) -> SettingValue:
    """Read a value of TOML or JSON: numbers are numbers there, and durations and sizes may be texts. Raises Unfit."""
    match setting.form, value:
        case Form.FLAG, bool():
            return value
        case (Form.WHOLE | Form.DURATION | Form.SIZE | Form.REAL), bool():
            pass
        case (Form.WHOLE | Form.DURATION | Form.SIZE), int():
            return _bounded(value)
        case Form.REAL, int() | float():
            return float(value)
        case (Form.TEXT | Form.DURATION | Form.SIZE), str():
            return _read_word(setting, value)
        case Form.LIST, list():
            return [read_value(_item_of(setting), item) for item in value]
        case Form.TABLE, dict():
            return {str(name): _plain_value(inner) for name, inner in value.items()}
    raise Unfit(f"{_shown(value)} is not {_WANTED[setting.form]}")


def show(setting: Setting | None, value: SettingValue) -> str:
    """Write a value so that `read_text` reads the same; `-` where there is none."""
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case list():
            item = None if setting is None else _item_of(setting)
            texts = [show(item, one) for one in value]
            simple = all(text == text.strip() and text and "," not in text for text in texts) and not any(isinstance(one, (list, dict)) for one in value)
            return ",".join(texts) if simple and texts and not texts[0].startswith("[") else json.dumps(value, ensure_ascii=False)
        case dict():
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        case int() if setting is not None and value > 0 and setting.form in _SHOWN:
            return _SHOWN[setting.form](setting, value)
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
    return str(value)


def _read_item(setting: Setting, text: str) -> SettingValue:
    return read_text(_item_of(setting), text)


def _item_of(setting: Setting) -> Setting:
    return Setting(setting.name, setting.items, setting.help, setting.unit, setting.choices)


def _read_word(setting: Setting, text: str) -> SettingValue:
    match setting.form:
        case Form.DURATION:
            return _whole(text) if _WHOLE.fullmatch(text) else _duration(setting, text)
        case Form.SIZE:
            return _whole(text) if _WHOLE.fullmatch(text) else _bytes(text)
    if setting.choices and text not in setting.choices:
        raise Unfit(f"{text!r} is none of {', '.join(setting.choices)}", nearest(text, setting.choices) if text else None)
    return text


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise Unfit(f"{text!r} is no whole number")
    return _bounded(int(text))


def _bounded(number: int) -> int:
    if abs(number) > LARGEST:
        raise Unfit(f"{number} is larger than any broker counts")
    return number


def _duration(setting: Setting, text: str) -> int:
    try:
        nanoseconds = parse_duration(text, None)
    except UsageProblem as problem:
        raise Unfit(str(problem).rstrip("."), f"{problem.hint}; a bare number counts in {_unit_name(setting.unit)}") from None
    if nanoseconds % setting.unit:
        raise Unfit(f"{text} is not a whole number of {_unit_name(setting.unit)}, in which this is counted")
    return _bounded(nanoseconds // setting.unit)


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Unfit(f"{text!r} is no size", "sizes: 1048576, 64MiB, 1GB")
    size = Decimal(match[1]) * _BYTES[match[2].lower()]
    if size != int(size):
        raise Unfit(f"{text} is not a whole number of bytes")
    return _bounded(int(size))


def _plain_value(value: object) -> SettingValue:
    match value:
        case None | str() | bool() | float():
            return value
        case int():
            return _bounded(value)
        case list():
            return [_plain_value(item) for item in value]
        case Mapping():
            return {str(name): _plain_value(inner) for name, inner in value.items()}
    raise Unfit(f"{_shown(value)} is nothing a setting can hold", "texts, numbers, true and false, lists and tables are")


def _show_duration(setting: Setting, value: int) -> str:
    rest, text = value * setting.unit, ""
    for name, size in _SHOWN_DURATIONS:
        count, rest = divmod(rest, size)
        text += f"{count}{name}" if count else ""
    return str(value) if rest else text


def _show_size(setting: Setting, value: int) -> str:
    return next((f"{value // size}{name}" for name, size in _SHOWN_SIZES if value % size == 0), str(value))


def _unit_name(unit: int) -> str:
    names = {1: "nanoseconds", 1000: "microseconds", 1_000_000: "milliseconds", NANOSECONDS: "seconds", 60 * NANOSECONDS: "minutes",
             3600 * NANOSECONDS: "hours", 86_400 * NANOSECONDS: "days"}
    return names.get(unit, f"units of {unit} nanoseconds")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _shown(value: object) -> str:
    return json.dumps(value) if isinstance(value, (str, bool, int, float, list, dict)) and len(str(value)) < 80 else f"a {type(value).__name__}"


_WANTED = {
    Form.TEXT: "a text: write it in quotes", Form.WHOLE: "a whole number", Form.REAL: "a number", Form.FLAG: "true or false",
    Form.DURATION: 'a duration: "7d", "1h30m", or a number', Form.SIZE: 'a size: "64MiB", "1GB", or a number of bytes', Form.LIST: "a list: [...]",
    Form.TABLE: "a table: {...}",
}
_SHOWN: dict[Form, Callable[[Setting, int], str]] = {Form.DURATION: _show_duration, Form.SIZE: _show_size}
