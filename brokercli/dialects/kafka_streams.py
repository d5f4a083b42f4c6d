"""Kafka Streams: errors.dead.letter.queue.topic.name (KIP-1034, 4.2 and later).

Every value is text. Streams 4.3 keeps the original's key, body, headers and time (verified), and chooses a partition
of its own. The exception's text is `class: message`; its own message may be a header without value.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.stack_traces import class_of
from brokercli.dialects.values import text_of
from brokercli.model.dead_letter import DeadLetter, Hop

_PREFIX = "__streams.errors."


def read(reading: Reading) -> DeadLetter | None:
    """Read the error headers; of repeated ones the last is the latest death."""
    topic = reading.text(f"{_PREFIX}topic")
    place = {"partition": reading.partition(f"{_PREFIX}partition", reading.last(f"{_PREFIX}partition")),
             "offset": reading.offset(f"{_PREFIX}offset", reading.last(f"{_PREFIX}offset"))}
    letter = reading.letter(dialect.name, [reading.home(topic, f"{_PREFIX}topic", place=dict(place))])
    letter.reason = "exception"
    letter.exception = class_of(reading.text(f"{_PREFIX}exception"))
    letter.exception_message = reading.text(f"{_PREFIX}message")
    letter.stack_trace = reading.text(f"{_PREFIX}stacktrace")
    letter.journey = tuple(Hop(text_of(value)) for value in reading.all(f"{_PREFIX}topic"))
    letter.original_time = reading.stored
    return letter


dialect = Dialect("kafka streams", read, frozenset({"kafka"}), sign_prefixes=(_PREFIX,), adds_prefixes=(_PREFIX,), reserved=True)
