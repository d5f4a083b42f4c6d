"""A message as AMQP 0.9.1 carries it: body, headers of any field type, basic properties, routing key.

| from | to |
|---|---|
| body | body; a null one is refused, AMQP has only empty ones |
| headers | as they are, every AMQP type exactly; bytes from Kafka and NATS are long strings, null is void |
| a header that repeats | one array of its values, in order: RabbitMQ keeps only the first of a name (verified on 4.3.6) |
| order of headers | by name: RabbitMQ sorts them |
| key | from another broker: header `x-message-key`, where the message has none; written by hand: refused, AMQP has no keys |
| id | property message_id |
| header `x-message-id` from another broker | property message_id, where there is no id; the header is left out |
| header `content-type` from another broker, or written by hand | property content_type, where there is none; the header is left out |
| properties | as they are; without delivery_mode a message is persistent (2) |
| time | property timestamp, in whole seconds; only where a time is given, and unless the timestamp property says that time already |
| route | the routing key, where the destination leaves it open |
| partition | refused, there are none |

Not passed on from a stored message (what is written by hand is meant so) unless control headers are to be kept, and counted
in `withheld`:

| what | why |
|---|---|
| headers `CC`, `BCC` | they are routing keys: the copy would go to those places as well |
| headers `x-death`, `x-first-death-…`, `x-last-death-…` | the broker's account of another life; before 4.0 it dropped a copy for them as a cycle |
| headers `x-delivery-count`, `x-acquired-count`, `x-stream-offset` | the broker's account of another delivery |
| property `expiration` of a RabbitMQ record | the copy would expire, counted from now |
| property `user_id` of a RabbitMQ record, unless it is our own login | the broker refuses another's (406) |
| property `reply_to`, where it is a direct reply address | it belongs to a channel that is not ours; the broker refuses it |

A stream keeps neither tables nor arrays, and a decimal on its way into one kills the connection (verified on 4.3.6), so a
message with one is refused alone; so is one whose reply_to or x-stream-filter-value is no text. An expiration that is no number has
the channel closed, and so goes alone. A body that is not what the type amqp-1.0 says is refused, because RabbitMQ ends the connection of whoever
consumes it over AMQP 1.0, and of a stream that of whoever publishes it (verified on 4.3.6). A stream turns `bytes` into long strings and drops
cluster_id. No broker answers a message whose header is a float that is no finite number (verified on 4.3.6), so that is refused as well.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from brokercli.backends.rabbitmq.amqp_table import CannotEncode, encode_table
from brokercli.backends.rabbitmq.exact_properties import encode_properties
from brokercli.backends.rabbitmq.times import time_of
from brokercli.model.message import Header, HeaderValue, Message, Typed
from brokercli.model.remembered import Remembered

KEY_HEADER = "x-message-key"
ID_HEADER = "x-message-id"
_ROUTING = ("CC", "BCC")
_WITHHELD = frozenset({*_ROUTING, "x-death", "x-delivery-count", "x-acquired-count", "x-stream-offset"})
_WITHHELD_PREFIXES = ("x-first-death-", "x-last-death-")
_DIRECT_REPLY = b"amq.rabbitmq.reply-to."
_PERSISTENT = 2
_FILTER = "x-stream-filter-value"
_LONGEST_KEY = 255
_LONGEST_EXPIRATION = 2**32 - 1
_SECOND = 1_000_000_000


class CannotCarry(ValueError):
    """AMQP, or this destination, has no form for this message; the text says why."""


class Native(NamedTuple):
    """What goes into the frames."""

    routing_key: bytes | None
    """The message's own; None where it has none."""
    properties: bytes
    body: bytes
    risk: str = ""
    """Why it may take its neighbours down with it, so that it is sent alone; empty for nearly all."""


class Converter:
    """Converts messages for one destination and counts what is withheld."""

    def __init__(self, *, user: str | None, to_stream: bool, certain: bool, keep_control_headers: bool) -> None:
        """`certain`: the destination is one queue of a known kind, so nothing else is on the way."""
        self._user = None if user is None else user.encode()
        self._to_stream = to_stream
        self._certain = certain
        self._keep = keep_control_headers
        self.withheld: dict[str, int] = {}
        self._encoded: Remembered[tuple[bytes, str]] = Remembered()

    def convert(self, message: Message) -> Native:
        """Convert one message. Raises CannotCarry."""
        if message.body is None:
            raise CannotCarry("AMQP has no null bodies, only empty ones")
        if message.partition is not None:
            raise CannotCarry("RabbitMQ has no partitions")
        withheld: list[str] = []
        try:
            properties = self._properties(message, withheld)
            # a letter of ours that keeps everything: its headers say nothing about its properties
            as_they_are = self._keep and message.origin == "rabbitmq" and message.key is None
            encoded_before = self._encoded.get(message.headers) if as_they_are else None
            if encoded_before is not None:
                table, risk = encoded_before
            else:
                headers = self._headers(message, properties, withheld)
                risk = self._check_headers(headers)
                table = encode_table(headers) if headers else b""
                if as_they_are:
                    self._encoded.put(message.headers, (table, risk))
            route = None if message.route is None else message.route.encode(errors="surrogateescape")
            if route is not None and len(route) > _LONGEST_KEY:
                raise CannotCarry(f"its routing key is {len(route)} bytes long; AMQP allows 255")
            risk = self._check_properties(properties) or risk
            encoded = encode_properties(properties, table)
        except CannotEncode as problem:
            raise CannotCarry(str(problem)) from None
        for name in withheld:
            self.withheld[name] = self.withheld.get(name, 0) + 1
        return Native(route, encoded, message.body, risk)

    def _properties(self, message: Message, withheld: list[str]) -> dict[str, HeaderValue]:
        properties: dict[str, HeaderValue] = {name: value for name, value in message.properties.items() if value is not None}
        if not self._keep and properties:
            for name in ("expiration", "user_id", "reply_to"):
                if name in properties and self._is_withheld(name, properties[name], message.origin):
                    del properties[name]
                    withheld.append(name)
        if message.id is not None:
            properties["message_id"] = message.id.encode(errors="surrogateescape")
        if message.time is not None and time_of(properties.get("timestamp")) != message.time:
            properties["timestamp"] = Typed("timestamp", _seconds(message.time))
        properties.setdefault("delivery_mode", _PERSISTENT)
        return properties

    def _is_withheld(self, name: str, value: HeaderValue, origin: str | None) -> bool:
        if name == "reply_to":
            return isinstance(value, bytes) and value.startswith(_DIRECT_REPLY)
        return origin == "rabbitmq" and (name == "expiration" or value != self._user)

    def _headers(self, message: Message, properties: dict[str, HeaderValue], withheld: list[str]) -> tuple[Header, ...]:
        foreign = message.origin is not None and message.origin != "rabbitmq"
        headers: list[Header] = []
        for name, value in message.headers:
            if message.origin is not None and not self._keep and (name in _WITHHELD or name.startswith(_WITHHELD_PREFIXES)):
                withheld.append(name)
            elif message.origin != "rabbitmq" and name.lower() == "content-type" and isinstance(value, bytes) and "content_type" not in properties:
                properties["content_type"] = value
            elif foreign and name.lower() == ID_HEADER and isinstance(value, bytes) and "message_id" not in properties:
                properties["message_id"] = value
            else:
                headers.append((name, value))
        if message.key is not None:
            if not foreign:
                raise CannotCarry(f"AMQP messages have no key; give it as a header, for example {KEY_HEADER}")
            if not any(name == KEY_HEADER for name, _ in headers):
                headers.append((KEY_HEADER, message.key))
        return _without_repeats(headers)

    def _check_headers(self, headers: tuple[Header, ...]) -> str:
        risk = ""
        kinds: set[str] = set()
        if headers:
            _kinds(headers, kinds)
        if "not finite" in kinds:
            raise CannotCarry("a header is a float that is no finite number, which RabbitMQ never answers")
        if self._to_stream and (lossy := kinds & {"decimal", "table", "array"}):
            raise CannotCarry(f"a stream keeps no header of the type {', '.join(sorted(lossy))}: {', '.join(_of_kind(headers, lossy))}"
                              + ("; one that repeats is an array" if "array" in lossy else ""))
        filtered = next((value for name, value in headers if name == _FILTER), b"")
        if not _is_text(filtered):
            risk = self._breaks_streams(f"the header {_FILTER} is no text")
        if "decimal" in kinds and not self._certain:
            risk = "a decimal header breaks the connection if a stream is among the places it is routed to"
        for name, keys in headers:
            if name not in _ROUTING:
                continue
            if not (isinstance(keys, Typed) and keys.kind == "array" and all(isinstance(key, bytes) for key in _items(keys))):
                raise CannotCarry(f"the header {name} is no array of strings, which RabbitMQ refuses")
            if name == "BCC":
                risk = "RabbitMQ takes BCC off what it returns, so that it could be any other that was routed by another"
        return risk

    def _check_properties(self, properties: dict[str, HeaderValue]) -> str:
        risk = ""
        reply_to = properties.get("reply_to")
        if "user_id" in properties and properties["user_id"] != self._user:
            risk = "its user_id is not our login"
        if isinstance(reply_to, bytes) and reply_to.startswith(b"amq.rabbitmq.reply-to"):
            risk = "its reply_to is a direct reply address"
        elif reply_to is not None and not _is_text(reply_to):
            risk = self._breaks_streams("its reply_to is no text") or risk
        expiration = properties.get("expiration")
        if isinstance(expiration, bytes) and not (expiration.isdigit() and int(expiration) <= _LONGEST_EXPIRATION):
            risk = "its expiration is no number of milliseconds that RabbitMQ takes"
        return risk

    def _breaks_streams(self, why: str) -> str:
        """Refuse what a stream would end the connection for, or return why it is a risk; empty where it is none."""
        if self._to_stream:
            raise CannotCarry(f"{why}, and a stream breaks the connection for that")
        return "" if self._certain else f"{why}, which breaks the connection if a stream is among the places it is routed to"


def _is_text(value: HeaderValue) -> bool:
    if not isinstance(value, bytes):
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_repeats(headers: list[Header]) -> tuple[Header, ...]:
    if len({name for name, _ in headers}) == len(headers):
        return tuple(headers)
    values: dict[str, list[HeaderValue]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return tuple((name, several[0] if len(several) == 1 else Typed("array", tuple(several))) for name, several in values.items())


def _items(value: Typed) -> tuple[HeaderValue, ...]:
    return value.value if isinstance(value.value, tuple) else ()


def _kinds(headers: Iterable[Header], kinds: set[str]) -> None:
    """Collect what kinds of values there are that need care, at any depth."""
    for _, value in headers:
        if isinstance(value, Typed):
            kinds.add(value.kind)
            if value.kind == "table" and isinstance(value.value, tuple):
                _kinds(value.value, kinds)
            elif value.kind == "array":
                _kinds((("", item) for item in _items(value)), kinds)
            elif value.kind in ("float32", "double") and isinstance(value.value, int) and not _finite(value.kind, value.value):
                kinds.add("not finite")
        elif isinstance(value, float) and not math.isfinite(value):
            kinds.add("not finite")


def _of_kind(headers: Iterable[Header], wanted: set[str]) -> Iterator[str]:
    """Return the names of headers in which a value of such a kind is."""
    for header in headers:
        kinds: set[str] = set()
        _kinds((header,), kinds)
        if kinds & wanted:
            yield header[0]


def _finite(kind: str, bits: int) -> bool:
    code, size = (">f", 4) if kind == "float32" else (">d", 8)
    try:
        number: float = struct.unpack(code, bits.to_bytes(size, "big"))[0]
    except OverflowError:
        raise CannotCarry(f"{bits} is no {kind}") from None
    return math.isfinite(number)


def _seconds(time: int) -> int:
    if time < 0:
        raise CannotCarry("its time is before 1970, where AMQP can say no time")
    return time // _SECOND
