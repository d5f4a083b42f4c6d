"""Spring AMQP: RepublishMessageRecoverer, and the Rabbit binder with republishToDlq.

There is no queue among its headers: the origin is an exchange and a routing key, and an empty exchange means the
default one, whose routing key is a queue. The stack trace is cut to what fits a frame, and may be off: then nothing
names the exception. `x-exception-message` may be void (verified).
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.stack_traces import root_class_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop

_SUFFIX = ".dlq"


def read(reading: Reading) -> DeadLetter | None:
    """Read a republished message; None without the origin that only this recoverer writes."""
    if not reading.all("x-original-routingKey"):
        return None
    exchange, key = reading.text("x-original-exchange"), reading.text("x-original-routingKey")
    letter = reading.letter(dialect.name, _homes(reading, exchange, key))
    letter.reason = "exception"
    letter.stack_trace = reading.text("x-exception-stacktrace")
    letter.exception = root_class_of(letter.stack_trace)
    letter.exception_message = reading.text("x-exception-message")
    letter.journey = (Hop(exchange or key, place={"exchange": exchange, "routing_key": key}),)
    reading.lost.append("content type, priority and delivery mode where the original had none: Spring fills in its own")
    return letter


def _homes(reading: Reading, exchange: str, key: str) -> list[Home | None]:
    place = {"exchange": exchange, "routing_key": key}
    if not exchange:
        return [reading.home(key, "x-original-routingKey through the default exchange", place=dict(place))]
    homes: list[Home | None] = []
    if reading.lies_in.endswith(_SUFFIX):
        homes.append(reading.home(reading.lies_in.removesuffix(_SUFFIX), f"the name of its queue without {_SUFFIX}", Confidence.LIKELY, place=dict(place)))
    homes.append(reading.home(exchange, "x-original-exchange and x-original-routingKey; every queue bound there gets it again", Confidence.GUESS,
                              kind="exchange", route=key, place=dict(place)))
    return homes


dialect = Dialect("spring amqp", read, frozenset({"rabbitmq"}), signs=frozenset({"x-original-routingKey"}),
                  adds=frozenset({"x-exception-message", "x-exception-stacktrace", "x-original-exchange", "x-original-routingKey"}))
