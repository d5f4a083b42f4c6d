"""How the known frameworks name queues of dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from brokercli.model.pattern import matches

NAMES: tuple[tuple[str, str], ...] = (
    ("*_error", "MassTransit"), ("*_skipped", "MassTransit"), ("error", "NServiceBus, Rebus"), ("*.XQ", "Dramatiq"),
    ("EasyNetQ_Default_Error_Queue*", "EasyNetQ"), ("*.*.dlq", "Spring Cloud Stream"), ("wolverine-dead-letter-queue", "Wolverine"),
    ("FAILED_MESSAGES", "Moleculer"),
    ("*.dlq", ""), ("*-dlq", ""), ("*_dlq", ""), ("*.DLQ", ""), ("*-DLQ", ""), ("*_DLQ", ""), ("dlq", ""), ("DLQ", ""),
    ("*DLQ", ""), ("*Dlq", ""), ("*.dlq.v?", ""), ("*-dlq-v?", ""), ("*_dlq_v?", ""), ("dlq.*", ""), ("dlq-*", ""), ("dlq_*", ""), ("*.dlx", ""), ("*-dlx", ""),
    ("*.error", ""), ("*-error", ""), ("*.errors", ""), ("*-errors", ""), ("*_errors", ""),
    ("*.dead-letter", ""), ("*-dead-letter", ""), ("*_dead_letter", ""), ("*.dead-letters", ""), ("*-dead-letters", ""), ("*_dead_letters", ""),
    ("dead-letters", ""), ("dead_letters", ""), ("dead-letter", ""),
    ("*.dead-letter-queue", ""), ("*-dead-letter-queue", ""), ("dead-letter-queue", ""), ("*_dead_letter_queue", ""), ("dead_letter_queue", ""),
    ("*.dead_letter", ""), ("dead_letter", ""), ("*.deadletter", ""), ("*-deadletter", ""), ("*.dead", ""), ("*-dead", ""),
    ("*.parking-lot", "Spring AMQP"), ("*.parkingLot", "Spring AMQP"), ("*-parking-lot", ""), ("*.poison", ""), ("*-poison", ""), ("*_poison", ""),
)
"""Pattern, and whose it is where that is known (research of the frameworks' sources and documentation)."""

_ENDINGS = ("_error", "_skipped", ".XQ", ".dlq", "-dlq", "_dlq", ".DLQ", "-DLQ", "_DLQ", ".error", "-error", ".errors", "-errors",
            ".dead-letter", "-dead-letter", ".dead-letters", "-dead-letters", ".parking-lot", ".parkingLot", "-parking-lot")


def by_name(name: str, patterns: Sequence[str] = ()) -> str | None:
    """Say why a queue is taken for dead letters by its name; None where the name says nothing."""
    for pattern in patterns:
        if matches(name, pattern):
            return f"name matches {pattern}"
    for pattern, whose in NAMES:
        if matches(name, pattern):
            return f"name matches {pattern}" + (f" ({whose})" if whose else "")
    return None


def feed_of(name: str, exists: Callable[[str], bool]) -> str | None:
    """Return the queue whose letters these are, where the name says so and there is such a queue."""
    return next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending) and exists(name.removesuffix(ending))), None)
