"""AMQP headers out of plain JSON, in which some frameworks write them down."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import orjson

from brokercli.model.message import Header, HeaderValue, Typed

LOST_NUMBERS = "the AMQP types of the original's headers: JSON keeps numbers without their width"
DEEPEST = 32


def headers_of(written: dict[str, Any]) -> tuple[Header, ...]:
    """Return the headers of an object. What is nested too deep, and a number that AMQP has not, stays as the JSON it was."""
    return tuple((name, _value(value)) for name, value in written.items())


def keeps_no_width(written: dict[str, Any], but: Collection[str] = ()) -> bool:
    """Whether some header, of others than `but`, was a number: JSON does not say of how many bytes."""
    return any(is_number(value) for name, held in written.items() if name not in but for value in _leaves(held))


def plain(value: Any) -> HeaderValue:
    """Return what is no text and holds nothing else. What AMQP has not stays as the JSON it was."""
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    return orjson.dumps(value)


def is_number(value: object) -> bool:
    """Whether a value is a number, of whatever width it was."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _value(value: Any, depth: int = 0) -> HeaderValue:
    match value:
        case str():
            return value.encode(errors="surrogatepass")
        case dict() if depth < DEEPEST:
            return Typed("table", tuple((name, _value(item, depth + 1)) for name, item in value.items()))
        case list() if depth < DEEPEST:
            return Typed("array", tuple(_value(item, depth + 1) for item in value))
    return plain(value)


def _leaves(value: Any, depth: int = 0) -> Iterator[Any]:
    if not isinstance(value, (dict, list)):
        yield value
    elif depth < DEEPEST:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item, depth + 1)
