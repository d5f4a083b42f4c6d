"""Kafka Connect: sink connectors with errors.deadletterqueue.context.headers.enable=true.

Every value is text; the message of an exception that had none is a header without value (verified on 4.4.0). Connect
keeps the original's key, body, headers and time. Without context headers, its default, nothing tells its letters from
any other record: those are unknown.
"""

from __future__ import annotations

from brokercli.dialects.coordinates import read_coordinates
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.model.dead_letter import DeadLetter

_PREFIX = "__connect.errors."


def read(reading: Reading) -> DeadLetter | None:
    """Read the context headers; of repeated ones (put back without being stripped) the last is the latest death."""
    origin = read_coordinates(reading, _PREFIX)
    letter = reading.letter(dialect.name, origin.homes)
    letter.reason = reading.text(f"{_PREFIX}stage").lower().replace("_", " ") or "failed"
    letter.exception = reading.text(f"{_PREFIX}exception.class.name")
    letter.exception_message = reading.text(f"{_PREFIX}exception.message", decides=Decides.NOTHING)
    letter.stack_trace = reading.text(f"{_PREFIX}exception.stacktrace", decides=Decides.NOTHING)
    letter.connector = reading.text(f"{_PREFIX}connector.name")
    task, code = reading.text(f"{_PREFIX}task.id"), reading.text(f"{_PREFIX}class.name")
    letter.consumer = f"{code} (task {task})" if code and task else code or (f"task {task}" if task else "")
    letter.journey = origin.journey
    letter.original_time = reading.stored
    return letter


dialect = Dialect("kafka connect", read, frozenset({"kafka"}), sign_prefixes=(_PREFIX,), adds_prefixes=(_PREFIX,), reserved=True)
