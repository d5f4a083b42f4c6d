"""Symfony Messenger for PHP, on RabbitMQ: the failure transport, to which a worker sends what it has tried often enough.

What happened is in stamps: headers `X-Message-Stamp-…` that hold JSON, or where the serializer is PHP's own (as it comes) inside the
body. No queue is among them; the routing key is the name of the queue that the message was received from (AmqpSender, verified on 5.4.53),
while x-death only has the delay queue that its retries waited in.

A message that bears SentToFailureTransportStamp is not sent to the failure transport again: failing once more, its worker rejects it, and
without a dead-letter exchange it is gone (verified on 5.4.53, where a redrive with the stamp on lost the letter). So the stamp comes off, and
a body that holds it goes nowhere by itself.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any

import orjson

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.rabbitmq_x_death import read_deaths
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import count_of, integer_of, written_time
from brokercli.model.dead_letter import Confidence, DeadLetter, Hop

_STAMP = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\"
_SENT, _ERROR, _TRIED = f"{_STAMP}SentToFailureTransportStamp", f"{_STAMP}ErrorDetailsStamp", f"{_STAMP}RedeliveryStamp"
_ADDS = frozenset({_SENT, _ERROR, _TRIED, f"{_STAMP}DelayStamp"})
_SERIALISED = (b'O:36:\\"Symfony', b"TzozNjpcI")
"""How a body begins that PHP has serialised, as it is and, where it is not UTF-8, in base64."""
_LARGEST_BODY = 16 << 20
_MARK = b"SentToFailureTransportStamp"
_FIELD = rb'\\0%s\\";s:\d+:\\"(.*?)\\";'
_AGAIN = ("that it was among the failed already is in its body: where it fails once more, Symfony rejects it for good; messenger:failed:retry of its"
          " own takes that off")


def read(reading: Reading) -> DeadLetter | None:
    """Read a message of the failure transport whose stamps are headers."""
    sent, error, tries = (_stamps(reading, name) for name in (_SENT, _ERROR, _TRIED))
    if not sent:
        return None
    came_from = _text(reading.record.place.get("routing_key"))
    letter = reading.letter(dialect.name, [reading.home(came_from, "the routing key, for which the failure transport takes the name of its queue",
                                                        Confidence.LIKELY)] if came_from and tries else [])
    _fill_in(reading, letter, sent[-1].get("originalReceiverName"), *(error[-1].get(name) for name in ("exceptionClass", "exceptionMessage")) if error
             else ("", ""))
    # the last is the failure transport's own, and counts nothing
    counts = [count_of(integer_of(tried.get("retryCount"))) for tried in tries[-2:-1]]
    letter.attempts = next((count + 1 for count in counts if count is not None), 1)
    letter.last_death = written_time(_text(tries[-1].get("redeliveredAt"))) if tries else None
    return letter


def read_serialised(reading: Reading) -> DeadLetter | None:
    """Read a message of the failure transport whose stamps are in its body; None for one that has not failed for good."""
    body = _plain(reading.record.message.body or b"")
    if _MARK not in body:
        return None
    letter = reading.letter(serialised.name)
    _fill_in(reading, letter, *(_field(body, name) for name in (b"originalReceiverName", b"exceptionClass", b"exceptionMessage")))
    reading.lost.append(_AGAIN)
    return letter


def _fill_in(reading: Reading, letter: DeadLetter, receiver: object, exception: object, message: object) -> None:
    letter.reason = "exception"
    letter.consumer, letter.exception, letter.exception_message = (_text(value) for value in (receiver, exception, message))
    letter.journey = tuple(Hop(death.queue, death.reason, time=death.time, count=death.count) for death in reversed(read_deaths(reading)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _stamps(reading: Reading, name: str) -> list[dict[str, Any]]:
    """Return the stamps of a kind, the oldest first."""
    try:
        found = orjson.loads(reading.text(name) or "[]")
    except orjson.JSONDecodeError:
        return []
    return [stamp for stamp in found if isinstance(stamp, dict)] if isinstance(found, list) else []


def _plain(body: bytes) -> bytes:
    if body.startswith(_SERIALISED[0]):
        return body
    try:
        return b64decode(body)
    except binascii.Error:
        return b""


def _field(body: bytes, name: bytes) -> str:
    found = re.search(_FIELD % name, body, re.DOTALL)
    return "" if found is None else re.sub(rb"\\(.)", rb"\1", found[1]).decode(errors="replace")


def _may_hold(key: bytes | None, body: bytes | None) -> bool:
    return body is not None and body.startswith(_SERIALISED) and len(body) <= _LARGEST_BODY


dialect = Dialect("symfony messenger", read, frozenset({"rabbitmq"}), signs=frozenset({_SENT}), adds=_ADDS)
serialised = Dialect("symfony messenger", read_serialised, frozenset({"rabbitmq"}), may_hold=_may_hold)
