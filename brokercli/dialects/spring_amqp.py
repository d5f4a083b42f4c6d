"""Spring AMQP: RepublishMessageRecoverer, and Spring Cloud Stream's Rabbit binder with republishToDlq.

There is no queue among its headers: the origin is an exchange and a routing key, and an empty exchange means the
default one, whose routing key is a queue. The stack trace is cut to what fits a frame, and may be off: then nothing
names the exception. `x-exception-message` may be void (verified), and is that of the outermost exception. The binder counts in
`retry-count` how often it has put a message among the letters, on from what a producer wrote there (verified on 4.3.1 and 5.0.4);
the recoverer alone passes that on.

The binder has the queue of each group that has dead letters (`autoBindDlq`) dead-letter to where it puts them itself, so that of the queues
the origin leads to, the one that does is home. Beside the recoverer alone a queue needs no dead-lettering, and nothing follows.
"""

from __future__ import annotations

from collections.abc import Callable

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.names import shown
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.stack_traces import root_class_of, root_message_of
from brokercli.dialects.values import integer_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop

_SUFFIX = ".dlq"
_COUNT = "retry-count"
_ORIGIN = "x-original-exchange and x-original-routingKey"
_OF_THE_CONTAINER = "org.springframework.amqp.rabbit.support.ListenerExecutionFailedException"

_Homes = Callable[[Reading, str, str], list[Home | None]]


def read(reading: Reading) -> DeadLetter | None:
    """Read a republished message; None without the origin that only this recoverer writes."""
    return _read(reading, dialect.name, _homes)


def read_of_binder(reading: Reading) -> DeadLetter | None:
    """Read a message that the binder republished; None for the recoverer's alone, whose outermost exception is the listener container's,
    and which may write no stack trace, as the binder always does."""
    if not reading.all(_COUNT, decides=Decides.NOTHING):
        return None
    stack_trace = reading.text("x-exception-stacktrace")
    if not stack_trace or stack_trace.startswith(_OF_THE_CONTAINER):
        return None
    letter = _read(reading, binder.name, _homes_of_binder)
    if letter is not None and (integer_of(reading.last(_COUNT)) or 0) > 1:
        reading.lost.append(f"{_COUNT} as the producer wrote it: the binder counts on in it")
    return letter


def _read(reading: Reading, name: str, homes: _Homes) -> DeadLetter | None:
    if not reading.all("x-original-routingKey"):
        return None
    exchange, key = reading.text("x-original-exchange"), reading.text("x-original-routingKey")
    letter = reading.letter(name, homes(reading, exchange, key))
    letter.reason = "exception"
    letter.stack_trace = reading.text("x-exception-stacktrace", decides=Decides.GROUP)
    letter.exception = root_class_of(letter.stack_trace)
    letter.exception_message = root_message_of(letter.stack_trace) or reading.text("x-exception-message", decides=Decides.NOTHING)
    letter.journey = (Hop(exchange or key, place={"exchange": exchange, "routing_key": key}),)
    reading.lost.append("content type, priority and delivery mode, where Spring fills in its own, and text in headers that was not UTF-8")
    return letter


def _homes_of_binder(reading: Reading, exchange: str, key: str) -> list[Home | None]:
    asked = reading.facts.origins
    origins = asked(reading.lies_in, exchange, key) if exchange and asked is not None else None
    if origins is None:
        return _homes(reading, exchange, key)
    if len(origins) != 1:
        some = ", ".join(shown(name) for name in origins[:3]) + (f" and {len(origins) - 3} more" if len(origins) > 3 else "")
        return _homes(reading, exchange, key, f": {some} dead-letter to here" if origins else ": none of them dead-letters to here")
    home = reading.home(origins[0], f"{_ORIGIN}: of the queues they lead to, it alone dead-letters to here", Confidence.LIKELY,
                        place={"exchange": exchange, "routing_key": key})
    return [home, *_homes(reading, exchange, key)]


def _homes(reading: Reading, exchange: str, key: str, more: str = "") -> list[Home | None]:
    place = {"exchange": exchange, "routing_key": key}
    if not exchange:
        return [reading.home(key, "x-original-routingKey through the default exchange", place=dict(place))]
    homes: list[Home | None] = []
    if reading.lies_in.endswith(_SUFFIX):
        homes.append(reading.home(reading.lies_in.removesuffix(_SUFFIX), f"the name of its queue without {_SUFFIX}", Confidence.LIKELY, place=dict(place)))
    homes.append(reading.home(exchange, f"{_ORIGIN}; every queue bound there gets it again{more}", Confidence.GUESS, kind="exchange", route=key,
                              place=dict(place)))
    return homes


_ADDS = frozenset({"x-exception-message", "x-exception-stacktrace", "x-original-exchange", "x-original-routingKey"})
dialect = Dialect("spring amqp", read, frozenset({"rabbitmq"}), signs=frozenset({"x-original-routingKey"}), adds=_ADDS)
binder = Dialect("spring cloud stream", read_of_binder, frozenset({"rabbitmq"}), signs=frozenset({"x-original-routingKey"}), adds=_ADDS | {_COUNT})
