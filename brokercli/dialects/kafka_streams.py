"""Kafka Streams: errors.dead.letter.queue.topic.name (KIP-1034, 4.2 and later).

Every value is text. Streams 4.3 keeps the original's key, body, headers and time (verified), and chooses a partition
of its own. The exception's own message may be a header without value.

Of a record that fails after something was sent for it (a topology with several outputs, or an output that the broker refuses) key
and body are null: by then Streams has let go of them (RecordCollectorImpl.freeRawRecord; verified on 4.3.0). Such a letter only points
at its original. One that a punctuation made points nowhere.
"""

from __future__ import annotations

from brokercli.dialects.coordinates import Coordinates, point_at, read_coordinates
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.model.dead_letter import DeadLetter

_PREFIX = "__streams.errors."


def read(reading: Reading) -> DeadLetter | None:
    """Read the error headers; of repeated ones the last is the latest death."""
    return _read(reading, read_coordinates(reading, _PREFIX))


def read_emptied(reading: Reading) -> DeadLetter | None:
    """Read a letter without key and body."""
    origin = read_coordinates(reading, _PREFIX)
    letter = _read(reading, origin)
    point_at(reading, letter, origin)
    return letter


def _read(reading: Reading, origin: Coordinates) -> DeadLetter:
    letter = reading.letter(dialect.name, origin.homes)
    letter.reason = "exception"
    letter.exception = reading.text(f"{_PREFIX}exception")
    letter.exception_message = reading.text(f"{_PREFIX}message", decides=Decides.NOTHING)
    letter.stack_trace = reading.text(f"{_PREFIX}stacktrace", decides=Decides.NOTHING)
    letter.journey = origin.journey
    letter.original_time = reading.stored
    return letter


def _is_empty(key: bytes | None, body: bytes | None) -> bool:
    return key is None and body is None


_SIGNS = (_PREFIX,)
dialect = Dialect("kafka streams", read, frozenset({"kafka"}), sign_prefixes=_SIGNS, adds_prefixes=_SIGNS, reserved=True)
emptied = Dialect("kafka streams", read_emptied, frozenset({"kafka"}), sign_prefixes=_SIGNS, adds_prefixes=_SIGNS, may_hold=_is_empty)
