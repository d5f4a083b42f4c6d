"""What all messages of one `publish` have in common: key, headers, properties, id, time, partition."""

from __future__ import annotations

import re

import orjson

from brokercli.backends.envelope_values import decode_value
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Header, HeaderValue, Message
from brokercli.model.position import Moment, parse_position


def template_of(key: str | None, headers: list[str], typed: list[str], properties: list[str], identity: str | None, time: str | None,
                partition: int | None, route: str | None) -> Message:
    """Read what all messages have in common. Raises UsageProblem for what cannot be read."""
    moment = None
    if time is not None:
        position = parse_position(time if time.startswith("@") else f"@{time}")
        moment = position.nanoseconds if isinstance(position, Moment) else None
    return Message(body=b"", key=None if key is None else key.encode(errors="surrogateescape"),
                   headers=tuple(_header(text) for text in headers) + tuple(_typed_header(text) for text in typed), id=identity, time=moment,
                   partition=partition, route=route, properties=dict(_property(text) for text in properties))


def _header(text: str) -> Header:
    marks = [index for index in (text.find("="), text.find(":")) if index >= 0]
    if not marks:
        return _named(text), None
    name, value = text[:min(marks)], text[min(marks) + 1:]
    return _named(name), (value.removeprefix(" ") if text[min(marks)] == ":" else value).encode(errors="surrogateescape")


def _typed_header(text: str) -> Header:
    name, separator, value = text.partition("=")
    try:
        return _named(name), decode_value(orjson.loads(value))
    except (ValueError, OverflowError) as problem:
        raise UsageProblem(f"--header-json {name}: {problem if separator else 'has no ='}", hint="for example: --header-json 'n={\"int32\":5}'") from None


def _property(text: str) -> tuple[str, HeaderValue]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageProblem(f"--property {text!r} is not NAME=VALUE.", hint="for example: --property content_type=application/json")
    number = name in ("priority", "delivery_mode", "timestamp")
    if number and not re.fullmatch(r"\d{1,20}", value):
        raise UsageProblem(f"--property {name} is a number, not {value[:40]!r}.")
    return name, int(value) if number else value.encode(errors="surrogateescape")


def _named(name: str) -> str:
    if not name:
        raise UsageProblem("A header needs a name.", hint="-H NAME=VALUE, -H NAME (null), -H NAME= (empty)")
    return name
