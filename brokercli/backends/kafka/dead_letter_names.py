"""How the known frameworks name topics of dead letters, and which headers their letters carry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from brokercli.model.message import Header
from brokercli.model.pattern import matches

NAMES: tuple[tuple[str, str], ...] = (
    ("*-dlt", "Spring Kafka"), ("*.DLT", "Spring Kafka before 3.0"), ("*.dlt", ""), ("*_dlt", ""),
    ("*.dlq", ""), ("*-dlq", ""), ("*__dlq", "Uber's client"), ("*_dlq", ""), ("*.DLQ", ""), ("*-DLQ", ""), ("*_DLQ", ""), ("DLQ", ""), ("dlq", ""),
    ("*DLQ", ""), ("*Dlq", ""), ("*DLT", ""), ("*Dlt", ""), ("*.dlq.v?", ""), ("*-dlq-v?", ""), ("*_dlq_v?", ""), ("*.dlt.v?", ""), ("*-dlt-v?", ""),
    ("error.*.*", "Spring Cloud Stream"),
    ("dlq.*", "share groups"), ("dlq-*", ""), ("dlq_*", ""),
    ("dead-letter-topic-*", "SmallRye"), ("FAILED_MESSAGES", "Moleculer"),
    ("*.dead-letter", ""), ("*-dead-letter", ""), ("*.deadletter", ""), ("*-dead-letters", ""), ("*.dead-letters", ""), ("dead-letters", ""),
    ("*.dead-letter-queue", ""), ("*-dead-letter-queue", ""), ("dead-letter-queue", ""), ("dead-letter-topic", ""),
    ("*.dead_letter", ""), ("*_dead_letter", ""), ("*_dead_letters", ""), ("dead_letters", ""), ("*_dead_letter_queue", ""), ("dead_letter_queue", ""),
)
"""Pattern, and whose it is where that is known (research of the frameworks' sources and documentation)."""

_RETRY = re.compile(r"-retry(-\d+)?$|[._]retry([._].*)?$|__retry$")
_RETRIES = re.compile(r"^(.+?)(?:-retry(?:-\d+)?|[._]retry(?:[._].*)?|__retry)$")
_DUE = "retry_topic-backoff-timestamp"
_PLAUSIBLE = re.compile(r"dlq|dlt|dlx|dead|letter|error|fail|poison|park|reject|invalid|discard|quarantine|undeliver", re.IGNORECASE)
_PREFIXES = ("kafka_dlt-", "kafka_exception-", "__connect.errors.", "__streams.errors.", "__dlq.errors.", "_dlq.errors.", "__rule.", "x-exception-",
             "kafka_throwable_", "dlq.", "dlq-", "dlq_", "x-dlq-", "x.dlq.", "dlqoriginal", "dlqreason", "dlqerror", "x-dead-letter-", "dead-letter-")
_HEADERS = frozenset({"x-original-topic", "x-original-offset", "x.original.topic", "x_original_topic", "x-failure-reason", "reason_poisoned",
                      "topic_poisoned", "x-error-message", "delayed-retry-topic", "source_attempts", "original_attempts", "x-original-channel"})
_SUFFIX = re.compile(r"(?i)^(.+?)(?:[._-]|__)(?:dlq|dlt|dead-?letters?)$")
_PREFIX = re.compile(r"^(?:dlq|dead-letter-topic|dead-?letters?)[._-](.+)$")


def by_name(name: str, patterns: Sequence[str]) -> str | None:
    """Say why a topic is taken for dead letters by its name; None where the name says nothing."""
    for pattern in patterns:
        if matches(name, pattern):
            return f"name matches {pattern}"
    if _RETRY.search(name):
        return None
    for pattern, whose in NAMES:
        if matches(name, pattern):
            return f"name matches {pattern}" + (f" ({whose})" if whose else "")
    return None


def is_retry(name: str) -> bool:
    """Whether a topic holds messages that wait for another try. They have the headers of dead letters, and are none."""
    return _RETRY.search(name) is not None


def waits(headers: Sequence[Header], time: int) -> bool:
    """Whether a record that was written at `time`, in milliseconds, says that it waits for another try, whatever its topic is called.

    Spring's retry topics and the topic of their dead letters have the same headers, the last of which says when a record is due: when
    it was tried plus the delay, and a dead letter has none (verified on 4.0.2).
    """
    due = next((value for name, value in reversed(headers) if name == _DUE), None)
    return isinstance(due, bytes) and int.from_bytes(due, "big", signed=True) > time


def is_plausible(name: str) -> bool:
    """Whether a name makes it worth a look at what the topic holds."""
    return _PLAUSIBLE.search(name) is not None


def by_headers(samples: Sequence[Collection[str]]) -> str | None:
    """Say why a topic is taken for dead letters by the header names of some of its records: more than half carry one."""
    signs = [sign for headers in samples if (sign := _sign(headers)) is not None]
    if 2 * len(signs) <= len(samples):
        return None
    [(commonest, _), *others] = Counter(signs).most_common()
    return f"header {commonest}{' and the like' if others else ''} in {len(signs)} of its last {len(samples)} records"


def _sign(headers: Collection[str]) -> str | None:
    # in whatever order they come, the same is said of the same records
    for name in sorted(headers):
        lower = name.lower()
        if lower in _HEADERS or lower.startswith(_PREFIXES):
            return name
    return None


def feeds_of(name: str, exists: Callable[[str], bool]) -> str | None:
    """Return the topic whose letters these are, where the name says so and there is such a topic."""
    candidates: list[str] = []
    if match := _SUFFIX.match(name):
        candidates.append(match[1])
        # <group>__<topic>__dlq
        candidates.append(match[1].partition("__")[2])
    if match := _PREFIX.match(name):
        candidates.append(match[1])
    if name.startswith("error."):
        # error.<topic>.<group>, and both may hold dots
        parts = name.split(".")[1:]
        candidates += [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    return next((candidate for candidate in candidates if candidate and candidate != name and exists(candidate)), None)


def retries_of(name: str, exists: Callable[[str], bool]) -> str | None:
    """Return the topic whose messages wait in this one for another try, where the name says so and there is such a topic."""
    match = _RETRIES.match(name)
    # <group>__<topic>__retry
    candidates = (match[1], match[1].partition("__")[2]) if match else ()
    return next((candidate for candidate in candidates if candidate and exists(candidate)), None)
