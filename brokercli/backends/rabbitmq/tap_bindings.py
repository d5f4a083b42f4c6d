"""Whether what a tap was bound with is bound still. RabbitMQ tells nobody when an exchange is deleted: the tap's queue stays, and gets nothing
of one that is made anew under its name (seen on 4.3.6)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from brokercli.backends.rabbitmq.management import Away, Management

_SECONDS = 1.0
"""Messages wait for the answer."""


def ask_for_sources(management: Management) -> Callable[[str], set[str] | None]:
    """Return a question: of which exchanges a queue gets messages now; None where nobody knows, or the queue is not there."""
    def sources(queue: str) -> set[str] | None:
        try:
            with closing(management.hurried(_SECONDS, _SECONDS)) as asked:
                found = {str(binding.get("source")) for binding in asked.bindings_to_queue(queue)}
        except Away:
            return None
        # the default exchange leads to every queue that there is
        return found if "" in found else None

    return sources
