"""Sneakers and its successor Kicks, for Ruby: what their Maxretry handler publishes to the error exchange of a queue when it gives up.

Kicks sends the body as it was and writes all else down as JSON in a header `retry_info`, a list with the latest first where that happened before:
the message that lies there has neither the headers nor the content type of the original. Sneakers wrapped the body in such JSON, in base64
(`payload`), some versions with the properties, which can be read where Rails wrote them. The worker's queue is in none of them by name: it is
where x-death says that the message was rejected for its retries, and what the error queue is called after.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import orjson

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.json_headers import LOST_NUMBERS, headers_of, keeps_no_width
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import text_of, written_time
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import HeaderValue, Message, Typed

_HEADER, _ENDING = "retry_info", "-error"
_TEXTS = ("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id", "type", "user_id", "app_id", "cluster_id")
_LOST = "the original's headers and properties, if it had any: this version of Sneakers does not write them down so that they can be read"
_LARGEST_BODY = 64 << 20


def read(reading: Reading) -> DeadLetter | None:
    """Read a message that says in a header why it was given up; None where the header is something else."""
    info = _info_of(text_of(reading.last(_HEADER)))
    return None if info is None else _read(reading, info, reading.record.message.body, info.get("properties"))


def read_wrapped(reading: Reading) -> DeadLetter | None:
    """Unwrap a body; None for any other."""
    body = reading.record.message.body
    info = None if body is None or len(body) > _LARGEST_BODY else _info_of(body)
    if info is None or (payload := _base64_of(info.get("payload"))) is None:
        return None
    return _read(reading, info, payload, _json_of(_base64_of(info.get("properties"))))


def _read(reading: Reading, info: dict[str, Any], body: bytes | None, written: object) -> DeadLetter:
    properties = dict(written) if isinstance(written, list) and all(_is_pair(item) for item in written) else written
    if not isinstance(properties, dict):
        reading.lost.append(_LOST)
        properties = {}
    headers = properties.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    rejected = tuple(_rejected_in(headers.get("x-death")))
    letter = reading.letter(dialect.name, _homes(reading, rejected))
    letter.exception, letter.exception_message = _text(info.get("error_class")), _text(info.get("error_message")) or _text(info.get("error"))
    letter.reason = "exception" if letter.exception else "rejected" if letter.exception_message == "reject" else "given up"
    trace = info.get("backtrace")
    letter.stack_trace = "\n".join(map(_text, trace)) if isinstance(trace, list) else _text(trace).replace(", ", "\n")
    letter.attempts = reading.count("num_attempts", info["num_attempts"])
    letter.last_death = written_time(_text(info["failed_at"]))
    letter.journey = tuple(Hop(queue) for queue in reversed(rejected))
    if keeps_no_width(headers, but=("x-death",)):
        reading.lost.append(LOST_NUMBERS)
    letter.unwrapped = Message(body=body, headers=headers_of(headers), properties=_properties_of(properties), origin="rabbitmq")
    return letter


def _homes(reading: Reading, rejected: tuple[str, ...]) -> Iterator[Home | None]:
    named = reading.lies_in.removesuffix(_ENDING) if reading.lies_in.endswith(_ENDING) else ""
    if named and named in rejected:
        yield reading.home(named, f"rejected there, says x-death in {_HEADER}")
    elif named:
        yield reading.home(named, "the error queue is called after it", Confidence.LIKELY)
    for queue in rejected[:1]:
        yield reading.home(queue, f"rejected there, says x-death in {_HEADER}", Confidence.LIKELY)


def _rejected_in(deaths: object) -> Iterator[str]:
    """Yield the queues of an x-death in which the message was rejected, the latest first."""
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and death.get("reason") == "rejected" and (queue := _text(death.get("queue"))):
            yield queue


def _info_of(text: str | bytes) -> dict[str, Any] | None:
    info = _json_of(text)
    if isinstance(info, list):
        info = info[0] if info else None
    return info if isinstance(info, dict) and "num_attempts" in info and "failed_at" in info else None


def _json_of(text: str | bytes | None) -> object:
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _base64_of(text: object) -> bytes | None:
    """Return the bytes of base64 in lines, as Ruby writes it; None for anything else."""
    try:
        return b64decode("".join(text.split()), validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def _properties_of(written: dict[Any, Any]) -> dict[str, HeaderValue]:
    found: dict[str, HeaderValue] = {name: _text(written[name]).encode(errors="surrogatepass") for name in _TEXTS if isinstance(written.get(name), str)}
    for name, least in (("delivery_mode", 1), ("priority", 0)):
        if type(value := written.get(name)) is int and least <= value <= 255:
            found[name] = value
    if (moment := written_time(_text(written.get("timestamp")).replace(" ", "T", 1).replace(" ", "").replace("UTC", "Z"))) is not None:
        found["timestamp"] = Typed("timestamp", moment // 1_000_000_000)
    return found


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


dialect = Dialect("sneakers", read, frozenset({"rabbitmq"}), signs=frozenset({_HEADER}), adds=frozenset({_HEADER}))
wrapped = Dialect("sneakers", read_wrapped, frozenset({"rabbitmq"}), body_sign=b'"num_attempts"')
