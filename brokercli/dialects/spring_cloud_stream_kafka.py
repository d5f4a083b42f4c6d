"""Spring Cloud Stream, Kafka binder: enableDlq, `error.<destination>.<group>`.

`x-original-partition`, `-offset` and `-timestamp` are big-endian binary, and each hop appends its own headers. `x-exception-fqcn` is the
wrapper; the cause is only in the stack trace. With headerMode=embeddedHeaders everything is inside the body, and the letter is unknown.
In batch mode with native decoding, what ErrorHandlingDeserializer could not read is null among the letters too: they hold what the
listener got (KafkaMessageChannelBinder.handleRecordForDlq).
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.spring_headers import VALUE_EXCEPTION, read_origin
from brokercli.dialects.stack_traces import root_class_of
from brokercli.model.dead_letter import DeadLetter

_PREFIX = "x-"
_SIGNS = frozenset({"x-original-timestamp-type", "x-exception-fqcn", "x-exception-stacktrace", "x-original-partition"})
_ADDS = frozenset({"x-original-topic", "x-original-partition", "x-original-offset", "x-original-timestamp", "x-original-timestamp-type",
                   "x-exception-fqcn", "x-exception-message", "x-exception-stacktrace"})


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers; None unless the topic is there, and the type of its time or a binary neighbour."""
    if not reading.all("x-original-topic") or not (reading.all("x-original-timestamp-type") or _is_binary(reading)):
        return None
    homes, journey, original_time = read_origin(reading, _PREFIX)
    letter = reading.letter(dialect.name, homes)
    letter.reason = "exception"
    letter.stack_trace = reading.text("x-exception-stacktrace", decides=Decides.GROUP)
    letter.exception = root_class_of(letter.stack_trace) or reading.text("x-exception-fqcn", decides=Decides.GROUP)
    letter.exception_message = reading.text("x-exception-message", decides=Decides.NOTHING)
    letter.group = _group_of(reading.lies_in, journey[-1].where)
    letter.journey, letter.original_time = journey, original_time
    if reading.all(VALUE_EXCEPTION) and reading.record.message.body is None:
        letter.homes = ()
        reading.without_body(f"{_PREFIX}original-topic", journey[-1], "what could not be deserialised is null among the letters of a batch")
    return letter


def _is_binary(reading: Reading) -> bool:
    partition, offset = reading.last("x-original-partition"), reading.last("x-original-offset")
    return (isinstance(partition, bytes) and len(partition) == 4) or (isinstance(offset, bytes) and len(offset) == 8 and not offset.isdigit())


def _group_of(destination: str, topic: str) -> str:
    prefix = f"error.{topic}."
    return destination.removeprefix(prefix) if topic and destination.startswith(prefix) else ""


dialect = Dialect("spring cloud stream", read, frozenset({"kafka"}), signs=_SIGNS, adds=_ADDS)
