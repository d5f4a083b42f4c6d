"""JetStream's own record of a dead letter: an advisory that some stream captured.

MAX_DELIVERIES, MSG_TERMINATED and MSG_NAKED carry JSON that points at a message by stream and sequence; the message
lies where it always did, or is gone: terminated on a work-queue stream, or aged out (verified on nats-server 2.15.1).
"""

from __future__ import annotations

from typing import Any

import orjson

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import offset_of, written_time
from brokercli.model.dead_letter import DeadLetter, Hop

_TYPE = "io.nats.jetstream.advisory.v1."
_REASONS = {"max_deliver": "max deliveries", "terminated": "terminated", "nak": "nak"}
_LARGEST = 65_536


def read(reading: Reading) -> DeadLetter | None:
    """Read an advisory that points at a message; None for any other body."""
    advisory = _advisory_of(reading.record.message.body)
    if advisory is None:
        return None
    letter = reading.letter(dialect.name)
    letter.reason = _REASONS[advisory["type"].removeprefix(_TYPE)]
    sequence = _integer(advisory.get("stream_seq"))
    if offset_of(sequence) is None or not sequence:
        reading.remarks.append("it does not say which message it means")
        sequence = None
    letter.pointer = {"stream": advisory["stream"], "sequence": sequence}
    letter.consumer = _text(advisory.get("consumer"))
    letter.exception_message = _text(advisory.get("reason"))
    letter.attempts = reading.count("deliveries", advisory.get("deliveries")) if "deliveries" in advisory else None
    letter.last_death = written_time(_text(advisory.get("timestamp"))[:64])
    if letter.reason == "nak":
        reading.remarks.append("a negative acknowledgement alone does not mean that it died: it may still be delivered again")
    letter.journey = (Hop(advisory["stream"], letter.reason, dict(letter.pointer), letter.last_death, letter.attempts),)
    return letter


def _advisory_of(body: bytes | None) -> dict[str, Any] | None:
    if not body or len(body) > _LARGEST or body[:1] != b"{":
        return None
    try:
        advisory = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    kind = advisory.get("type")
    known = isinstance(kind, str) and kind.startswith(_TYPE) and kind.removeprefix(_TYPE) in _REASONS
    return advisory if known and isinstance(advisory.get("stream"), str) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


dialect = Dialect("jetstream advisory", read, frozenset({"nats"}), body_sign=_TYPE.encode())
