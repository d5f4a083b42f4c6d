"""Whether what a tap was bound with is bound still. RabbitMQ tells nobody when an exchange is deleted: the tap's queue stays, and gets nothing
of one that is made anew under its name (seen on 4.3.6). Nor when the queue goes whose messages it shows: then the tap is what they are routed
to, and their publisher is told that they were."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from brokercli.backends.rabbitmq.management import Away, Management

_SECONDS = 1.0
"""Messages wait for the answer."""


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
