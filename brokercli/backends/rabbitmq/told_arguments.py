"""The arguments of a binding as the management API tells them: it says "undefined" for null, which a headers exchange takes for "whatever it is"
(seen on 4.0.5 and 4.3.6; its export of definitions says so as well). Of a text that reads so it says the same, and null is by far the likelier one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_NULL = "undefined"


def as_told(value: object) -> object:
    """Return a value as the management API tells it."""
    return _each(value, lambda one: _NULL if one is None else one)


def as_meant(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to bind with for arguments that were told so."""
    return {name: _each(value, lambda one: None if one == _NULL else one) for name, value in arguments.items()}


def _each(value: object, change: Callable[[object], object]) -> object:
    if isinstance(value, Mapping):
        return {name: _each(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_each(inner, change) for inner in value]
    return change(value)
