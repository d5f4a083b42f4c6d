"""What a caller knows of the broker that no letter says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """Optional knowledge for `recognise`. Without it the homes are the best that can be told from the letter alone."""

    wait_queues: Mapping[str, str | None] | None = None
    """RabbitMQ: queues that only hold messages back (no consumers, a TTL, dead-lettering onwards) → the queue they
    return them to, None where that is not one queue. None instead of a mapping: the topology was not looked at."""
    dead_letter_destinations: frozenset[str] = frozenset()
    """Names known to hold dead letters: never a home."""


NO_FACTS = Facts()
