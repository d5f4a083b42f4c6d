"""No framework anybody knows, but headers whose names speak: x-original-topic, dlq.error.message, X-DLQ-Delivery-Count, OriginalTopic, …

Tried last. Names are compared whatever their case, with `-`, `_`, `.` or nothing between their words, behind one of the usual prefixes.
Behind a plain `x-` some may as well be the application's own: those are read, and go back with the message. The stems are what was found in
services that write such headers themselves.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.written_fields import read_fields
from brokercli.model.dead_letter import Confidence, DeadLetter

_DEAD = ("x-dlq-", "dlq-", "x-dead-letter-", "dead-letter-")
_PREFIXES = ("x-", *_DEAD)
_STEMS = {
    "topic": ("original-topic", "source-topic"), "subject": ("original-subject", "source-subject"), "queue": ("original-queue", "source-queue"),
    "exchange": ("original-exchange", "source-exchange"),
    "routing_key": ("original-routing-key", "original-routingkey", "source-routing-key"),
    "stream": ("original-stream", "source-stream"), "partition": ("original-partition", "source-partition"),
    "offset": ("original-offset", "source-offset"), "sequence": ("original-sequence", "source-sequence", "original-seq", "original-stream-seq"),
    "reason": ("reason", "failure-reason", "dead-letter-reason", "failed-reason", "error-reason", "last-failure-reason", "error-code"),
    "exception": ("exception-class", "exception-type", "exception-fqcn", "exception-name", "error-class", "error-type", "error-name", "failure-exception"),
    "exception_message": ("exception-message", "error-message", "error", "last-error", "exception", "error-msg", "failure-message"),
    "stack_trace": ("exception-stacktrace", "exception-stack-trace", "error-stacktrace", "error-stack-trace", "error-stack", "stacktrace", "stack-trace"),
    "attempts": ("attempts", "retry-count", "delivery-count", "attempt", "retries", "attempt-count", "failed-attempts", "retry-attempt", "retry-attempts",
                 "delivered-count", "delivery-attempt", "delivery-attempts", "final-retry-count", "handler-retry-count", "error-attempt", "redelivery-count",
                 "deliveries"),
    "consumer": ("consumer", "failed-consumer", "original-consumer", "failed-by", "failure-worker"),
    "group": ("consumer-group", "group-id", "original-consumer-group", "source-consumer-group", "source-consumer-group-id", "consumer-group-id",
              "original-group"),
    "failed_at": ("failed-at", "dead-lettered-at", "failure-time", "failure-timestamp", "failed-timestamp", "error-timestamp", "failed-at-utc", "failure-ts",
                  "error-time", "last-failure-at", "last-failure-time", "last-failure-timestamp", "timestamp", "time", "at"),
    "first_failed_at": ("first-failure-at", "first-failure-time", "first-failure-timestamp", "first-failed-at"),
    "original_time": ("original-timestamp", "source-timestamp")}
# a refund's reason, a chat's group, how often a job may be tried: what is left on a message does no harm, what was taken off one is lost.
# Counters that retry tools write are not among them: left, they make the next failure the last
_AMBIGUOUS = frozenset({"reason", "error", "consumer", "group-id", "attempt", "retries", "error-code", "deliveries"})
# without a prefix only the unmistakable ones
_BARE = frozenset(stem for stems in _STEMS.values() for stem in stems if stem.startswith("original-"))
# the time of what, a plain x- does not say
_OF_THE_QUEUE = frozenset({"timestamp", "time", "at"})


def spellings(stem: str) -> tuple[str, ...]:
    """Return every header name, in lower case, that a stem is read from."""
    prefixes = (*(_DEAD if stem in _OF_THE_QUEUE else _PREFIXES), *([""] if stem in _BARE else []))
    return tuple(name for prefix in prefixes for name in _spelled(prefix, stem))


def _spelled(prefix: str, stem: str) -> tuple[str, ...]:
    """Return a name with one sign between all its words, or none, or none between those of the stem alone: `X-OriginalTopic`."""
    name = prefix + stem
    return tuple(dict.fromkeys((*(name.replace("-", sign) for sign in ("-", "_", ".", "")), prefix + stem.replace("-", ""))))


OWN = frozenset(name for stem in _AMBIGUOUS for name in _spelled("x-", stem))
"""Names that are read and stay, because they may be the application's own."""
FIELDS = {meaning: tuple(sorted((name for stem in stems for name in spellings(stem)), key=OWN.__contains__)) for meaning, stems in _STEMS.items()}
_TELLING = frozenset(name for meaning in ("topic", "subject", "queue", "exchange", "exception", "exception_message", "stack_trace") for name in FIELDS[meaning])
_TELLING |= frozenset(FIELDS["reason"]) - OWN
NAMES = frozenset(name for names in FIELDS.values() for name in names) - OWN
"""Names of what the writers of dead letters add."""

_COUNTS = frozenset(FIELDS["attempts"]) - OWN
_COUNTS |= frozenset(name for stem in _STEMS["attempts"] if "-" in stem for name in _spelled("", stem))


def counts_tries(name: str) -> bool:
    """Whether a header's name says that tries are counted in it."""
    return name.lower() in _COUNTS


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers that speak; the home is likely, no more."""
    return read_fields(reading, dialect.name, FIELDS, Confidence.LIKELY)


dialect = Dialect("generic", read, frozenset({"kafka", "nats", "rabbitmq"}), signs=_TELLING, adds=NAMES, by_headers=True, ignores_case=True)
