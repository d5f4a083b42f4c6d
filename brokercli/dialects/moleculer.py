"""Moleculer's channels for Node.js (@moleculer/channels): what its Kafka, NATS and AMQP adapters send where a channel has dead lettering.

All values are text. A channel is a topic, a subject, or on AMQP a fanout exchange, of which each group has a queue `GROUP.CHANNEL` (verified on
0.1.8). Later versions write the error down too, its stack in base64 because NATS has no line breaks in headers. The count of its retries, left on, would
make the next failure the last.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.values import integer_of, milliseconds_of, text_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import HeaderValue, Place

_CHANNEL, _GROUP, _PARTITION, _COUNT = "x-original-channel", "x-original-group", "x-original-partition", "x-redelivered-count"
_ERROR = "x-error-"
_ERRORS = ("message", "code", "type", "data", "name", "retryable", "stack", "timestamp")
# what the adapter does not copy onto a letter
_LEFT_BEHIND = {"nats": "headers", "rabbitmq": "headers and properties"}


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter of a channel's group."""
    channel, group = reading.text(_CHANNEL), reading.text(_GROUP)
    place: Place = {}
    if reading.broker == "kafka":
        partition = reading.partition("the original partition", reading.last(_PARTITION, decides=Decides.NOTHING))
        place = {} if partition is None else {"partition": partition}
    letter = reading.letter(dialect.name, [_home(reading, channel, group, place)] if channel else [])
    letter.reason, letter.group = "exception", group
    letter.exception = reading.text(f"{_ERROR}name", decides=Decides.GROUP)
    letter.exception_message = reading.text(f"{_ERROR}message", decides=Decides.NOTHING)
    letter.stack_trace = _stack_of(reading.last(f"{_ERROR}stack", decides=Decides.NOTHING))
    retried = reading.count("the number of retries", reading.last(_COUNT, decides=Decides.GROUP))
    letter.attempts = None if retried is None else retried + 1
    letter.last_death = reading.time_of_death(f"{_ERROR}timestamp", lambda written: milliseconds_of(integer_of(written)))
    letter.journey = (Hop(channel, letter.reason, place, letter.last_death, letter.attempts),) if channel else ()
    if left := _LEFT_BEHIND.get(reading.broker):
        reading.lost.append(f"the original's {left}, if it had any: Moleculer does not copy them")
    return letter


def _home(reading: Reading, channel: str, group: str, place: Place) -> Home | None:
    if reading.broker != "rabbitmq":
        return reading.home(channel, _CHANNEL, place=place)
    if group:
        return reading.home(f"{group}.{channel}", f"{_GROUP} and {_CHANNEL}")
    return reading.home(channel, f"{_CHANNEL}; the queue of every group gets it again", Confidence.GUESS, kind="exchange", place={"exchange": channel})


def _stack_of(value: HeaderValue) -> str:
    text = text_of(value)
    try:
        return b64decode(text, validate=True).decode()
    except (Error, ValueError):
        return text


dialect = Dialect("moleculer", read, frozenset({"kafka", "nats", "rabbitmq"}), signs=frozenset({_CHANNEL}), by_headers=True,
                  adds=frozenset({_CHANNEL, _GROUP, _PARTITION, _COUNT, *(f"{_ERROR}{error}" for error in _ERRORS)}))
