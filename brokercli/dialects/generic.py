"""No framework anybody knows, but headers whose names speak: x-original-topic, X-Exception-Message, dlq-reason, …

Tried last. Names are compared whatever their case, with `-` or `_`, behind one of the usual prefixes. Behind a plain `x-`
some may as well be the application's own: those are read, and go back with the message.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.written_fields import read_fields
from brokercli.model.dead_letter import Confidence, DeadLetter

_PREFIXES = ("x-", "x-dlq-", "dlq-", "x-dead-letter-", "dead-letter-")
_STEMS = {
    "topic": ("original-topic", "source-topic"), "subject": ("original-subject", "source-subject"), "queue": ("original-queue", "source-queue"),
    "exchange": ("original-exchange",), "routing_key": ("original-routing-key", "original-routingkey"),
    "stream": ("original-stream", "source-stream"), "partition": ("original-partition", "source-partition"),
    "offset": ("original-offset", "source-offset"), "sequence": ("original-sequence", "source-sequence"),
    "reason": ("reason", "failure-reason", "dead-letter-reason", "failed-reason"),
    "exception": ("exception-class", "exception-type", "exception-fqcn", "exception-name", "error-class", "error-type"),
    "exception_message": ("exception-message", "error-message", "error", "last-error", "exception"),
    "stack_trace": ("exception-stacktrace", "exception-stack-trace", "error-stacktrace", "error-stack", "stacktrace", "stack-trace"),
    "attempts": ("attempts", "retry-count", "delivery-count", "attempt", "retries"),
    "consumer": ("consumer", "failed-consumer", "original-consumer"), "group": ("consumer-group", "group-id", "original-consumer-group"),
    "failed_at": ("failed-at", "dead-lettered-at", "failure-time", "failure-timestamp", "failed-timestamp", "error-timestamp"),
    "original_time": ("original-timestamp", "source-timestamp")}
# a refund's reason, a chat's group, how often a job may be tried: what is left on a message does no harm, what was taken off one is lost.
# Counters that retry tools write are not among them: left, they make the next failure the last
_AMBIGUOUS = frozenset({"reason", "error", "consumer", "group-id", "attempt", "retries"})
# without a prefix only the unmistakable ones
_BARE = frozenset(stem for stems in _STEMS.values() for stem in stems if stem.startswith("original-"))


def spellings(stem: str) -> tuple[str, ...]:
    """Return every header name, in lower case, that a stem is read from."""
    names = [f"{prefix}{stem}" for prefix in _PREFIXES] + ([stem] if stem in _BARE else [])
    return tuple(dict.fromkeys(spelled for name in names for spelled in (name, name.replace("-", "_"))))


OWN = frozenset(name for stem in _AMBIGUOUS for name in spellings(stem)[:2])
"""Names that are read and stay, because they may be the application's own."""
FIELDS = {meaning: tuple(sorted((name for stem in stems for name in spellings(stem)), key=OWN.__contains__)) for meaning, stems in _STEMS.items()}
_TELLING = frozenset(name for meaning in ("topic", "subject", "queue", "exchange", "exception", "exception_message", "stack_trace") for name in FIELDS[meaning])
_TELLING |= frozenset(FIELDS["reason"]) - OWN
NAMES = frozenset(name for names in FIELDS.values() for name in names) - OWN
"""Names of what the writers of dead letters add."""


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers that speak; the home is likely, no more."""
    return read_fields(reading, dialect.name, FIELDS, Confidence.LIKELY)


dialect = Dialect("generic", read, frozenset({"kafka", "nats", "rabbitmq"}), signs=_TELLING, adds=NAMES, by_headers=True, ignores_case=True)
