"""The header set that Spring for Apache Kafka writes, under the prefixes of its two kinds of letters, and Spring Cloud Stream under `x-`.

Numbers are binary, big-endian. By default each hop appends its `original-*` headers, so that the first are the true
origin and the last the latest hop, and replaces the `exception-*` headers; appendOriginalHeaders=false keeps only the
first origin, stripPreviousExceptionHeaders=false repeats the exceptions (verified on 3.3.9). So the first origin and the
last exception are right under every setting.
"""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.stack_traces import root_class_of
from brokercli.dialects.values import big_endian_of, milliseconds_of, offset_of, partition_of, text_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import HeaderValue

VALUE_EXCEPTION = "springDeserializerExceptionValue"
# both hold Java-serialised exceptions and are left in a letter under retainExceptionHeader, or when key and value failed;
# the two kafka_ ones are put into a record on its way to the listener and travel on with it
CONTAINER_HEADERS = frozenset({"springDeserializerExceptionKey", VALUE_EXCEPTION, "kafka_deliveryAttempt", "kafka_listenerInfo"})


def read_origin(reading: Reading, prefix: str) -> tuple[list[Home | None], tuple[Hop, ...], int | None]:
    """Return the homes (the true origin first), the hops (oldest first) and the true origin's record time."""
    topics = reading.all(f"{prefix}original-topic")
    partitions, offsets, times = (_aligned(reading.all(f"{prefix}original-{what}", decides=Decides.NOTHING), len(topics))
                                  for what in ("partition", "offset", "timestamp"))
    homes: list[Home | None] = []
    hops: list[Hop] = []
    for index, value in enumerate(topics[:100]):
        name = text_of(value)
        if index == 0:
            place = {"partition": reading.partition(f"{prefix}original-partition", partitions[0], binary=True),
                     "offset": reading.offset(f"{prefix}original-offset", offsets[0], binary=True)}
        else:
            place = {"partition": partition_of(big_endian_of(partitions[index], 4, 4)), "offset": offset_of(big_endian_of(offsets[index], 8, 8))}
        hops.append(Hop(name, place=dict(place), time=milliseconds_of(big_endian_of(times[index], 8, 8))))
        if index == 0 or name != text_of(topics[index - 1]):
            confidence = Confidence.GUESS if index else Confidence.CERTAIN if all(other == value for other in topics) else Confidence.LIKELY
            hop = "" if len(topics) == 1 else " (the first hop)" if index == 0 else f" (hop {index + 1})"
            homes.append(reading.home(name, f"{prefix}original-topic{hop}", confidence, place=dict(place)))
    if len(topics) > 100:
        reading.remarks.append(f"it names {len(topics)} hops; the first 100 are shown")
    return homes, tuple(hops), hops[0].time if hops else None


def read_exception(reading: Reading, letter: DeadLetter, prefix: str) -> None:
    """Enter class, message and stack trace; of a letter whose key could not be deserialised, the key's."""
    failed = "exception"
    if not reading.all(f"{prefix}exception-fqcn", decides=Decides.GROUP) and reading.all(f"{prefix}key-exception-fqcn", decides=Decides.GROUP):
        failed = "key-exception"
    wrapper = reading.text(f"{prefix}{failed}-fqcn", decides=Decides.GROUP)
    letter.exception = reading.text(f"{prefix}exception-cause-fqcn", decides=Decides.GROUP) or wrapper
    letter.exception_message = reading.text(f"{prefix}{failed}-message", decides=Decides.NOTHING)
    letter.stack_trace = reading.text(f"{prefix}{failed}-stacktrace", decides=Decides.NOTHING)
    letter.reason = "exception"
    if wrapper.endswith(".DeserializationException"):
        letter.reason = "key deserialisation" if failed == "key-exception" else "value deserialisation"
        # its cause header names the wrapper again (verified on 3.3.9)
        letter.exception = root_class_of(reading.text(f"{prefix}{failed}-stacktrace", decides=Decides.GROUP)) or wrapper


def read_attempts(reading: Reading) -> int | None:
    """Return the container's own count of deliveries; it is there only with deliveryAttemptHeader=true."""
    return reading.count("kafka_deliveryAttempt", reading.last("kafka_deliveryAttempt", decides=Decides.GROUP), 4, 4)


def _aligned(values: Sequence[HeaderValue], length: int) -> Sequence[HeaderValue]:
    # values that were not written at every hop cannot be told apart, but for a single hop
    return values if len(values) == length else [None] * length
