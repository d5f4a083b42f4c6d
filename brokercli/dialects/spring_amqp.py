"""Spring AMQP: RepublishMessageRecoverer, and Spring Cloud Stream's Rabbit binder with republishToDlq.

There is no queue among its headers: the origin is an exchange and a routing key, and an empty exchange means the
default one, whose routing key is a queue. The stack trace is cut to what fits a frame, and may be off: then nothing
names the exception. `x-exception-message` may be void (verified), and is that of the outermost exception. The binder counts in
`retry-count` how often it has put a message among the letters, on from what a producer wrote there (verified on 4.3.1 and 5.0.4);
the recoverer alone passes that on.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.stack_traces import root_class_of, root_message_of
from brokercli.dialects.values import integer_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop

_SUFFIX = ".dlq"
_COUNT = "retry-count"
_OF_THE_CONTAINER = "org.springframework.amqp.rabbit.support.ListenerExecutionFailedException"


def read(reading: Reading) -> DeadLetter | None:
    """Read a republished message; None without the origin that only this recoverer writes."""
    return _read(reading, dialect.name)


def read_of_binder(reading: Reading) -> DeadLetter | None:
    """Read a message that the binder republished; None for the recoverer's alone, whose outermost exception is the listener container's,
    and which may write no stack trace, as the binder always does."""
    stack_trace = reading.text("x-exception-stacktrace")
    if not reading.all(_COUNT) or not stack_trace or stack_trace.startswith(_OF_THE_CONTAINER):
        return None
    letter = _read(reading, binder.name)
    if letter is not None and (integer_of(reading.last(_COUNT)) or 0) > 1:
        reading.lost.append(f"{_COUNT} as the producer wrote it: the binder counts on in it")
    return letter


def _read(reading: Reading, name: str) -> DeadLetter | None:
    if not reading.all("x-original-routingKey"):
        return None
    exchange, key = reading.text("x-original-exchange"), reading.text("x-original-routingKey")
    letter = reading.letter(name, _homes(reading, exchange, key))
    letter.reason = "exception"
    letter.stack_trace = reading.text("x-exception-stacktrace")
    letter.exception = root_class_of(letter.stack_trace)
    letter.exception_message = root_message_of(letter.stack_trace) or reading.text("x-exception-message")
    letter.journey = (Hop(exchange or key, place={"exchange": exchange, "routing_key": key}),)
    reading.lost.append("content type, priority and delivery mode, where Spring fills in its own, and text in headers that was not UTF-8")
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


_ADDS = frozenset({"x-exception-message", "x-exception-stacktrace", "x-original-exchange", "x-original-routingKey"})
dialect = Dialect("spring amqp", read, frozenset({"rabbitmq"}), signs=frozenset({"x-original-routingKey"}), adds=_ADDS)
binder = Dialect("spring cloud stream", read_of_binder, frozenset({"rabbitmq"}), signs=frozenset({"x-original-routingKey"}), adds=_ADDS | {_COUNT})
