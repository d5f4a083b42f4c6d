"""Which keys a configuration file may hold, and of which type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

Setting = str | bool | float | tuple[str, ...]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a context may be called: no slash, because of @NAME/ADDRESS; no control character."""


class Misfit(Exception):
    """A key or value that does not belong; `path` leads to it from the top of the file."""

    def __init__(self, path: tuple[str, ...], message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


class _Kind(NamedTuple):
    wanted: str
    read: Callable[[object], Setting | None]


_TEXT = _Kind("a string", lambda value: value if isinstance(value, str) and value else None)
_FLAG = _Kind("true or false", lambda value: value if isinstance(value, bool) else None)
_SECONDS = _Kind("a number of seconds from 0.1 to 600",
                 lambda value: float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.1 <= value <= 600 else None)
_ARGUMENTS = _Kind('a list of strings, the program first: ["pass", "show", "kafka/prod"]',
                   lambda value: tuple(value) if isinstance(value, list) and value and all(isinstance(part, str) and part for part in value) else None)
_PROPERTY = _Kind("a string, a number or true or false", lambda value: _spell_property(value))

CONTEXT_KEYS: Mapping[str, _Kind] = {
    "url": _TEXT, "user": _TEXT, "password": _TEXT, "password_command": _ARGUMENTS, "token": _TEXT, "credentials": _TEXT, "mechanism": _TEXT,
    "management": _TEXT, "vhost": _TEXT, "dlq": _TEXT, "protected": _FLAG, "readonly": _FLAG, "connect_timeout": _SECONDS,
}
TLS_KEYS: Mapping[str, _Kind] = {
    "ca": _TEXT, "certificate": _TEXT, "key": _TEXT, "key_password": _TEXT, "server_name": _TEXT, "insecure": _FLAG,
}
_TOP_KEYS = ("current", "contexts", "trusted", "dead_letters", "dialects")


class Document(NamedTuple):
    """What one configuration file says."""

    current: str | None
    contexts: Mapping[str, Mapping[str, Setting]]
    """The settings of each context, nested keys joined by a dot."""
    trusted: tuple[str, ...]
    """Directories whose brokercli.toml may do everything."""
    dead_letters: tuple[str, ...] = ()
    """Names (with * and ?) that are taken for destinations of dead letters."""
    dialects: Mapping[str, Mapping[str, object]] = MappingProxyType({})
    """Dialects of the user's own; what is in them is checked by whoever reads letters."""


def check_document(document: Mapping[str, object]) -> Document:
    """Return what a file says. Raises Misfit for the first key that is unknown or of a wrong type."""
    for key in document:
        if key not in _TOP_KEYS:
            raise _unknown((), key, _TOP_KEYS)
    current = document.get("current")
    if current is not None and not (isinstance(current, str) and NAME.fullmatch(current)):
        raise Misfit(("current",), "current is not the name of a context", 'for example: current = "local"')
    trusted = document.get("trusted", [])
    if not (isinstance(trusted, list) and all(isinstance(path, str) and path for path in trusted)):
        raise Misfit(("trusted",), "trusted is not a list of directories", 'for example: trusted = ["/home/me/shop"]')
    contexts = document.get("contexts", {})
    if not isinstance(contexts, dict):
        raise Misfit(("contexts",), "contexts is not a table", 'for example: [contexts.staging]')
    return Document(current, {name: _check_context(name, table) for name, table in contexts.items()}, tuple(trusted),
                    _check_patterns(document.get("dead_letters", [])), _check_dialects(document.get("dialects", {})))


def _check_patterns(patterns: object) -> tuple[str, ...]:
    if not (isinstance(patterns, list) and all(isinstance(pattern, str) and pattern for pattern in patterns)):
        raise Misfit(("dead_letters",), "dead_letters is not a list of names", 'for example: dead_letters = ["*.graveyard"]')
    if any(not pattern.strip("*?") for pattern in patterns):
        raise Misfit(("dead_letters",), "a name in dead_letters matches everything", 'for example: dead_letters = ["*.graveyard"]')
    return tuple(patterns)


def _check_dialects(dialects: object) -> dict[str, Mapping[str, object]]:
    if not isinstance(dialects, dict):
        raise Misfit(("dialects",), "dialects is not a table", "for example: [dialects.acme]")
    for name, table in dialects.items():
        if not NAME.fullmatch(name):
            raise Misfit(("dialects", name), f"{name!r} is no name for a dialect", "names: letters, digits, dot, dash and underscore, 64 at most")
        if not isinstance(table, dict):
            raise Misfit(("dialects", name), f"{name} is not a table", f"for example: [dialects.{name}]")
    return dict(dialects)


def _check_context(name: str, table: object) -> dict[str, Setting]:
    here = ("contexts", name)
    if not NAME.fullmatch(name):
        raise Misfit(here, f"{name!r} is no name for a context", "names: letters, digits, dot, dash and underscore, 64 at most")
    if name == "local":
        raise Misfit(here, "local is the built-in context and cannot be defined", "give it another name")
    if not isinstance(table, dict):
        raise Misfit(here, f"{name} is not a table", f"for example: [contexts.{name}]")
    settings: dict[str, Setting] = {}
    for key, value in table.items():
        if key == "tls":
            _read_table((*here, "tls"), value, TLS_KEYS, settings)
        elif key == "options":
            _read_table((*here, "options"), value, None, settings)
        elif key in CONTEXT_KEYS:
            settings[key] = _read((*here, key), value, CONTEXT_KEYS[key])
        else:
            raise _unknown(here, key, (*CONTEXT_KEYS, "tls", "options"))
    if "url" not in settings:
        raise Misfit(here, f"the context {name} has no url", 'for example: url = "nats://localhost:4222"')
    if "password" in settings and "password_command" in settings:
        raise Misfit((*here, "password_command"), f"the context {name} has both password and password_command", "keep one of them")
    return settings


def _read_table(here: tuple[str, ...], table: object, keys: Mapping[str, _Kind] | None, settings: dict[str, Setting]) -> None:
    if not isinstance(table, dict):
        raise Misfit(here, f"{here[-1]} is not a table", f"for example: [{'.'.join(here)}]")
    for key, value in table.items():
        if keys is not None and key not in keys:
            raise _unknown(here, key, tuple(keys))
        settings[f"{here[-1]}.{key}"] = _read((*here, key), value, keys[key] if keys is not None else _PROPERTY)


def _read(path: tuple[str, ...], value: object, kind: _Kind) -> Setting:
    setting = kind.read(value)
    if setting is None:
        raise Misfit(path, f"{path[-1]} is not {kind.wanted}")  # the value itself may be a secret
    return setting


def _spell_property(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _unknown(path: tuple[str, ...], key: str, known: tuple[str, ...]) -> Misfit:
    from difflib import get_close_matches

    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return Misfit((*path, key), f"{key!r} is no known key", f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}")
