"""What a caller knows of the broker that no letter says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """Optional knowledge for `recognise`. Without it the homes are the best that can be told from the letter alone."""

    wait_queues: Mapping[str, str | None] | None = None
    """RabbitMQ: queues that only hold messages back (no consumers, a TTL, dead-lettering onwards) → the queue they
    return them to, None where that is not one queue. None instead of a mapping: the topology was not looked at."""
    dead_letter_destinations: frozenset[str] = frozenset()
    """Names known to hold dead letters: never a home."""
    origins: Callable[[str, str, str], tuple[str, ...] | None] | None = None
    """RabbitMQ: the queue a letter lies in, an exchange and a routing key → which of the queues whose dead letters come there may get what is
    published so; None where that cannot be told. The answer to one question is always the same."""


NO_FACTS = Facts()
