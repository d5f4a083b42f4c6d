"""JetStream: letters that workers publish themselves, to `dlq.>` and the like. There is no standard; four conventions
are seen (natural names after each other in `_FIELDS`): Nats-Original-*, X-Original-*, X-NATS-*, and nestjs-jetstream's
x-dead-letter-reason. None of these names is the server's own.
"""

from __future__ import annotations

from brokercli.dialects import generic
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.written_fields import read_fields
from brokercli.model.dead_letter import Confidence, DeadLetter

_OWN = {
    "subject": ("nats-original-subject", "x-nats-original-subject"),
    "stream": ("nats-original-stream", "x-nats-stream", "x-nats-original-stream"),
    "sequence": ("nats-original-sequence", "x-nats-stream-sequence", "x-nats-original-sequence"),
    "reason": ("x-nats-dlq-reason",),
    "exception_message": ("nats-failure-description",),
    "attempts": ("nats-num-delivered", "x-nats-num-delivered"),
    "consumer": ("x-nats-consumer", "nats-original-consumer")}
_FIELDS = {meaning: _OWN.get(meaning, ()) + names for meaning, names in generic.FIELDS.items()}
_OWN_NAMES = frozenset(name for names in _OWN.values() for name in names)
_SIGNS = frozenset({"nats-original-subject", "nats-failure-description", "x-nats-original-subject", "x-nats-dlq-reason", "x-original-subject",
                    "x-original-stream", "x-dead-letter-reason"})


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers of any of the conventions."""
    letter = read_fields(reading, dialect.name, _FIELDS, Confidence.CERTAIN)
    letter.reason = letter.reason or "failed"
    return letter


dialect = Dialect("jetstream convention", read, frozenset({"nats"}), signs=_SIGNS, adds=generic.NAMES | _OWN_NAMES | {"x-error"}, ignores_case=True,
                  by_headers=True)
