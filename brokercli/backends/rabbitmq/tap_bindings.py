"""Whether what a tap was bound with is bound still. RabbitMQ tells nobody when an exchange is deleted: the tap's queue stays, and gets nothing
of one that is made anew under its name (seen on 4.3.6). Nor when the queue goes whose messages it shows: then the tap is what they are routed
to, and their publisher is told that they were."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from brokercli.backends.rabbitmq.management import Away, Management

_SECONDS = 1.0
"""Messages wait for the answer."""
_MANY = 1000
"""Where so many bindings lead away from an exchange they are not asked for again and again: they do not all go at once."""


def ask_for_sources(management: Management) -> Callable[[str], set[str] | None]:
    """Return a question: of which exchanges a queue gets messages now, the default exchange among them; of none where it is not there; None
    where nobody knows."""
    def sources(queue: str) -> set[str] | None:
        try:
            with closing(management.hurried(_SECONDS, _SECONDS)) as asked:
                found = {str(binding.get("source")) for binding in asked.bindings_to_queue(queue)}
                # the default exchange is told to lead to any name, whether there is such a queue or not (seen on 4.0.5 and 4.3.6)
                return found if found - {""} or asked.queue_now(queue) is not None else set()
        except Away:
            return None

    return sources


def ask_for_others(management: Management, exchange: str) -> Callable[[str], bool | None]:
    """Return a question: whether anything is bound to an exchange beside the tap of this name; None where nobody knows, or where it is not bound."""
    many = False

    def others(tap: str) -> bool | None:
        nonlocal many
        if many:
            return None
        try:
            with closing(management.hurried(_SECONDS, _SECONDS)) as asked:
                bound = [str(binding.get("destination")) for binding in asked.bindings_from(exchange)]
        except Away:
            return None
        many = len(bound) > _MANY
        return any(name != tap for name in bound) if tap in bound else None

    return others
