"""Spring Cloud Stream, Kafka binder: enableDlq, `error.<destination>.<group>`.

`x-original-partition`, `-offset` and `-timestamp` are big-endian binary. `x-exception-fqcn` is the wrapper; the cause is
only in the stack trace. With headerMode=embeddedHeaders everything is inside the body, and the letter is unknown.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.stack_traces import root_class_of
from brokercli.dialects.values import big_endian_of, milliseconds_of, text_of
from brokercli.model.dead_letter import DeadLetter, Hop

_SIGNS = frozenset({"x-original-timestamp-type", "x-exception-fqcn", "x-exception-stacktrace", "x-original-partition"})
_ADDS = frozenset({"x-original-topic", "x-original-partition", "x-original-offset", "x-original-timestamp", "x-original-timestamp-type",
                   "x-exception-fqcn", "x-exception-message", "x-exception-stacktrace"})


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers; None unless the topic and one of its binary neighbours are there."""
    partition, offset = reading.last("x-original-partition"), reading.last("x-original-offset")
    binary = (isinstance(partition, bytes) and len(partition) == 4) or (isinstance(offset, bytes) and len(offset) == 8 and not offset.isdigit())
    if not reading.all("x-original-topic") or not (binary or reading.all("x-original-timestamp-type")):
        return None
    place = {"partition": reading.partition("x-original-partition", partition, binary=True),
             "offset": reading.offset("x-original-offset", offset, binary=True)}
    letter = reading.letter(dialect.name, [reading.home(reading.text("x-original-topic"), "x-original-topic", place=dict(place))])
    letter.reason = "exception"
    letter.stack_trace = reading.text("x-exception-stacktrace")
    letter.exception = root_class_of(letter.stack_trace) or reading.text("x-exception-fqcn")
    letter.exception_message = reading.text("x-exception-message")
    letter.group = _group_of(reading.lies_in, reading.text("x-original-topic"))
    letter.original_time = milliseconds_of(big_endian_of(reading.last("x-original-timestamp"), 8, 8))
    letter.journey = tuple(Hop(text_of(value)) for value in reading.all("x-original-topic"))
    return letter


def _group_of(destination: str, topic: str) -> str:
    prefix = f"error.{topic}."
    return destination.removeprefix(prefix) if topic and destination.startswith(prefix) else ""


dialect = Dialect("spring cloud stream", read, frozenset({"kafka"}), signs=_SIGNS, adds=_ADDS)
