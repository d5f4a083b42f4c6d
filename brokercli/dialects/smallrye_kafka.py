"""SmallRye Reactive Messaging on Kafka, which Quarkus uses: `dead-letter-topic-<channel>`, and delayed retries.

All values are text. Its headers are put before those the record had, so of repeated ones the first is the latest death
(KafkaDeadLetterQueue). With delayed retries each failure is one more hop, through `<channel>_retry_<milliseconds>`, and the last
`delayed-retry-topic` is the topic it came from; the count is added behind (KafkaDelayedRetryTopic).
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import integer_of, milliseconds_of, text_of
from brokercli.model.dead_letter import DeadLetter, Home, Hop

_DEAD, _RETRIED = "dead-letter-", "delayed-retry-"
_WRITTEN = ("exception-class-name", "cause-class-name", "reason", "cause", "topic", "partition", "offset")


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter; None without the topic, partition and offset it came from."""
    written = next((prefix for prefix in (_DEAD, _RETRIED) if all(reading.all(f"{prefix}{name}", deciding=name == "topic") for name in _WRITTEN[-3:])), None)
    if written is None:
        return None
    letter = reading.letter(dialect.name, _homes(reading))
    letter.reason = "exception"
    letter.exception = _latest(reading, f"{written}cause-class-name") or _latest(reading, f"{written}exception-class-name")
    letter.exception_message = _latest(reading, f"{written}cause") or _latest(reading, f"{written}reason")
    if reading.all(f"{_RETRIED}count"):
        retries = reading.count(f"{_RETRIED}count", reading.last(f"{_RETRIED}count"))
        letter.attempts = None if retries is None else retries + 1
    letter.original_time = milliseconds_of(integer_of(reading.last(f"{_RETRIED}original-timestamp", deciding=False)))
    letter.journey = tuple(Hop(text_of(value)) for prefix in (_RETRIED, _DEAD) for value in reversed(reading.all(f"{prefix}topic")))
    return letter


def _homes(reading: Reading) -> list[Home | None]:
    """Return the topic it was first retried from, else the topics it died in, the latest first: what holds letters itself is none of them."""
    retried = reading.all(f"{_RETRIED}topic")
    if retried:
        return [_home(reading, _RETRIED, len(retried) - 1)]
    return [_home(reading, _DEAD, number) for number in range(len(reading.all(f"{_DEAD}topic")))]


def _home(reading: Reading, prefix: str, number: int) -> Home | None:
    def value(name: str) -> object:
        values = reading.all(f"{prefix}{name}", deciding=False)
        return values[number] if number < len(values) else None

    place = {"partition": reading.partition(f"{prefix}partition", value("partition")), "offset": reading.offset(f"{prefix}offset", value("offset"))}
    return reading.home(text_of(reading.all(f"{prefix}topic")[number]), f"{prefix}topic", place=dict(place))


def _latest(reading: Reading, name: str) -> str:
    values = reading.all(name)
    return text_of(values[0]) if values else ""


dialect = Dialect("smallrye kafka", read, frozenset({"kafka"}), signs=frozenset({f"{_DEAD}topic", f"{_RETRIED}topic"}),
                  adds=frozenset(f"{_DEAD}{name}" for name in _WRITTEN), adds_prefixes=(_RETRIED, "deserialization-failure-"))
