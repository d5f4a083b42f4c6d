"""A message as Kafka carries it: key, value, headers of text and bytes, time in milliseconds, partition.

| from | to |
|---|---|
| body, key | value, key; null stays null, empty stays empty |
| headers of Kafka origin | as they are: order, repeats, null, empty and binary values |
| headers from elsewhere | name and bytes as they are; AMQP's numbers, booleans and times as text, void as null, tables and arrays as the JSON of the envelope |
| header `x-message-key` from another broker | the key, where the message has none; the header is left out |
| id | header `x-message-id` |
| property content_type | header `content-type` |
| property correlation_id | header `x-correlation-id` |
| property message_id | header `x-message-id`, where there is no id |
| property headers' neighbours (`reply_to`, `type`, `priority`, …) | header `x-amqp-NAME` with `-` for `_`; delivery_mode is left out: Kafka stores everything |
| time | milliseconds; the rest is cut off |
| route | left out: the destination names the topic |

A header that the message already has under the new name is not written a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import orjson

from brokercli.backends.envelope_values import encode_value
from brokercli.model.message import Header, HeaderValue, Message, Typed
from brokercli.model.position import format_time

KEY_HEADER = "x-message-key"
ID_HEADER = "x-message-id"
_PROPERTY_HEADERS = {"content_type": "content-type", "correlation_id": "x-correlation-id", "message_id": ID_HEADER}
_LEFT_OUT = ("delivery_mode",)
_MILLISECOND = 1_000_000
_REMEMBERED = 1024
_carried: set[tuple[str, ...]] = set()
"""Names of headers, all of one message's, that Kafka's client can send."""


class CannotCarry(ValueError):
    """Kafka has no form for this message; the text says why."""


class Native(NamedTuple):
    """What `Producer.produce` takes."""

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes | None]] | None
    partition: int
    """-1 leaves it to the partitioner."""
    timestamp: int
    """Milliseconds; 0 is now."""


def to_kafka(message: Message) -> Native:
    """Convert a message; raises CannotCarry with the reason."""
    key = message.key
    headers: list[tuple[str, bytes | None]] = []
    # only other brokers have no key of their own
    foreign = message.origin is not None and message.origin != "kafka"
    for name, value in message.headers:
        if foreign and key is None and name.lower() == KEY_HEADER and isinstance(value, bytes):
            key = value
            continue
        headers.append((_name(name), value if value is None or isinstance(value, bytes) else write_value(value)))
    if message.id is not None or message.properties:
        _add_identity(headers, message)
    return Native(message.body, key, headers or None, -1 if message.partition is None else message.partition, _timestamp(message.time))


def forwarded(value: bytes | None, key: bytes | None, headers: Sequence[Header]) -> Native:
    """Return what is produced for a message whose parts Kafka stored already; raises CannotCarry as `to_kafka`."""
    names = tuple([name for name, _ in headers])
    if names not in _carried:
        for name in names:
            _name(name)
        if len(_carried) >= _REMEMBERED:
            _carried.clear()
        _carried.add(names)
    return Native(value, key, list(headers) or None, -1, 0)  # type: ignore[arg-type]


def to_message(native: Native) -> Message:
    """Return the message that `to_kafka` makes this of."""
    value, key, headers, partition, timestamp = native
    return Message(value, key, tuple(headers or ()), time=timestamp * _MILLISECOND or None, partition=None if partition < 0 else partition, origin="kafka")


def _name(name: str) -> str:
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CannotCarry("a header's name is not UTF-8, which Kafka's client cannot send") from None
    if "\0" in name:
        raise CannotCarry("a header's name holds a NUL, where Kafka's client would cut it off")
    return name


def _timestamp(time: int | None) -> int:
    if time is None:
        return 0
    milliseconds = time // _MILLISECOND
    if milliseconds <= 0:
        raise CannotCarry(f"the time {format_time(time)} is not after 1970, where Kafka's client can say no time")
    return milliseconds


def _add_identity(headers: list[tuple[str, bytes | None]], message: Message) -> None:
    present = {name.lower() for name, _ in headers}
    added: list[Header] = [] if message.id is None else [(ID_HEADER, message.id.encode(errors="surrogateescape"))]
    for name, value in message.properties.items():
        if name not in _LEFT_OUT:
            added.append((_PROPERTY_HEADERS.get(name) or f"x-amqp-{name.replace('_', '-')}", value))
    for name, value in added:
        if name not in present:
            present.add(name)
            headers.append((_name(name), value if value is None or isinstance(value, bytes) else write_value(value)))


def write_value(value: HeaderValue) -> bytes:
    """Write a value of an AMQP type as text."""
    match value:
        case bytes():
            return value
        case bool():
            return b"true" if value else b"false"
        case int():
            return str(value).encode()
        case float():
            return repr(value).encode()
        case Typed(kind="bytes", value=bytes() as raw):
            return raw
        case Typed(kind="decimal", value=(int(scale), int(unscaled))):
            return str(Decimal(unscaled).scaleb(-scale)).encode()
        case Typed(kind="timestamp", value=int(seconds)):
            return str(seconds).encode()
        case Typed(kind=kind, value=int(number)) if kind not in ("float32", "double"):
            return str(number).encode()
    (inner,) = (encode_value(value) or {None: None}).values()
    return inner.encode() if isinstance(inner, str) else orjson.dumps(inner)
