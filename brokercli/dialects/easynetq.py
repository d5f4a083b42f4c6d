"""EasyNetQ: `EasyNetQ_Default_Error_Queue`; the original is wrapped as JSON in the body.

`{RoutingKey, Exchange, Queue, Exception, Message, DateTime, BasicProperties}`: `Message` is the original body as text
(what was not UTF-8 is damaged for good), or base64 with Base64ErrorMessageSerializer. The record's own headers and
properties belong to the wrapping; the original's are in `BasicProperties` (its headers: `easynetq_headers.py`).
"""

from __future__ import annotations

from typing import Any

import orjson

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.easynetq_headers import base64_of, unwrap
from brokercli.dialects.reading import Reading
from brokercli.dialects.stack_traces import innermost_of
from brokercli.dialects.values import written_time
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import Header, HeaderValue, Message, Typed

_READ_AS_BASE64 = ("the original body, if it was plain text: it reads as base64, and is unwrapped as such (--through 'base64 -w0' puts back the text that it"
                   " was wrapped as)")
_NEEDED = ("RoutingKey", "Exchange", "Message", "Exception", "BasicProperties")
_LARGEST_BODY = 64 << 20
_TEXTS = {"ContentType": "content_type", "ContentEncoding": "content_encoding", "CorrelationId": "correlation_id", "ReplyTo": "reply_to",
          "Expiration": "expiration", "MessageId": "message_id", "Type": "type", "UserId": "user_id", "AppId": "app_id", "ClusterId": "cluster_id"}


def read(reading: Reading) -> DeadLetter | None:
    """Unwrap an error message; None for any other body."""
    error = _error_of(reading.record.message.body)
    if error is None:
        return None
    letter = reading.letter(dialect.name, _homes(reading, error))
    letter.reason = "exception"
    letter.stack_trace = _text(error.get("Exception"))
    letter.exception, letter.exception_message = innermost_of(letter.stack_trace)
    letter.last_death = written_time(_text(error.get("DateTime")))
    letter.journey = (Hop(_text(error.get("Queue")) or _text(error["Exchange"]), time=letter.last_death),)
    properties = error["BasicProperties"]
    letter.unwrapped = Message(body=_body_of(reading, error["Message"]), headers=_headers_of(reading, properties),
                               properties=_properties_of(properties), origin="rabbitmq")
    return letter


def _error_of(body: bytes | None) -> dict[str, Any] | None:
    if not body or body[:1] != b"{" or len(body) > _LARGEST_BODY:
        return None
    try:
        error = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if any(name not in error for name in _NEEDED) or not isinstance(error["Message"], str):
        return None
    return error if isinstance(error["BasicProperties"], dict) else None


def _homes(reading: Reading, error: dict[str, Any]) -> list[Home | None]:
    queue, exchange, key = _text(error.get("Queue")), _text(error["Exchange"]), _text(error["RoutingKey"])
    place = {"exchange": exchange, "routing_key": key}
    if queue:
        return [reading.home(queue, "Queue in the body", place=dict(place))]
    if not exchange:
        return [reading.home(key, "RoutingKey in the body through the default exchange", place=dict(place))]
    return [reading.home(exchange, "Exchange and RoutingKey in the body; every queue bound there gets it again", Confidence.GUESS,
                         kind="exchange", route=key, place=dict(place))]


def _body_of(reading: Reading, text: str) -> bytes:
    plain = text.encode(errors="surrogatepass")
    decoded = base64_of(text)
    if decoded is not None and not _is_json(plain):
        if not _is_json(decoded):
            # in the plan, because nothing tells the two apart: binary under Base64ErrorMessageSerializer, a number of an order under the default
            reading.lost.append(_READ_AS_BASE64)
        return decoded
    if "\ufffd" in text:
        reading.lost.append("the original body: it was not UTF-8, and EasyNetQ replaced what it could not read")
    return plain


def _headers_of(reading: Reading, properties: dict[str, Any]) -> tuple[Header, ...]:
    unwrapped = unwrap(properties.get("Headers"))
    reading.lost += unwrapped.lost
    reading.remarks += unwrapped.remarks
    return unwrapped.headers


def _properties_of(properties: dict[str, Any]) -> dict[str, HeaderValue]:
    """Return the AMQP properties that were set: by their `…Present` flags in old versions, else those not null."""
    found: dict[str, HeaderValue] = {}
    for written, name in _TEXTS.items():
        value = properties.get(written)
        if isinstance(value, str) and properties.get(f"{written}Present", True):
            found[name] = value.encode(errors="surrogatepass")
    for written, name, least in (("DeliveryMode", "delivery_mode", 1), ("Priority", "priority", 0)):
        value = properties.get(written)
        if type(value) is int and least <= value <= 255 and properties.get(f"{written}Present", True):
            found[name] = value
    stamp = properties.get("Timestamp")
    if type(stamp) is int and 0 < stamp < 2**63 and properties.get("TimestampPresent", True):
        found["timestamp"] = Typed("timestamp", stamp)
    return found


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


dialect = Dialect("easynetq", read, frozenset({"rabbitmq"}), body_sign=b'"BasicProperties"')
