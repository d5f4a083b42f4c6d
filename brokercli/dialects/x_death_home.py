"""Which of the queues in x-death a letter should go back to.

Neither the latest death nor the first is right by itself (verified on 4.3.6): after a TTL retry loop the latest is the
wait queue, in a delay lane that ends in a reject the first is. A queue that somebody rejected from has a consumer; a
queue in which a message only expired may be either, and only the topology tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from brokercli.dialects.names import shown
from brokercli.dialects.reading import Reading
from brokercli.model.dead_letter import Confidence, Home


class QueueDeath(Protocol):
    """What is needed of an entry of x-death."""

    @property
    def queue(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def exchange(self) -> str: ...
    @property
    def routing_keys(self) -> tuple[str, ...]: ...


_RANK = {"rejected": 0, "delivery_limit": 0, "maxlen": 1}
"""Reasons that speak for a work queue, the stronger the lower; an expired message says least."""


def choose_homes(reading: Reading, deaths: Sequence[QueueDeath], wait_queues: frozenset[str] = frozenset()) -> tuple[Home, ...]:
    """Return the homes, the best first: queues that were rejected from, then overflowed, then only expired in, each kind
    the earliest first; wait queues that are known, and that nobody rejected from, count as the queue they return to. `deaths` is the latest
    first."""
    first_queue = reading.text("x-first-death-queue")
    known = reading.facts.wait_queues
    # whatever the topology looks like now, while those who work there may be away
    worked_on = {death.queue for death in deaths if _RANK.get(death.reason) == 0}
    ranked: dict[str, tuple[int, int, str, QueueDeath]] = {}
    returning: list[tuple[str, str, QueueDeath]] = []
    for age, death in enumerate(deaths):
        if death.queue == reading.lies_in:
            continue
        target = (known or {}).get(death.queue)
        if death.queue in wait_queues or (known is not None and death.queue in known and death.queue not in worked_on):
            if target is not None:
                returning.append((target, death.queue, death))
            continue
        # the oldest is the last of x-death, but the broker says the first by name, and that is never overwritten
        order = -len(deaths) if death.queue == first_queue else -age
        candidate = (_RANK.get(death.reason, 2), order, death.reason, death)
        if death.queue not in ranked or candidate[:2] < ranked[death.queue][:2]:
            ranked[death.queue] = candidate
    homes: list[Home] = []
    ordered = sorted(ranked.items(), key=lambda item: item[1][:2])
    best_rank = ordered[0][1][0] if ordered else None
    rivals = sum(rank == best_rank for _, (rank, *_) in ordered)
    for index, (queue, (rank, _, reason, death)) in enumerate(ordered):
        confidence = _confidence(index, rank, rivals, known is not None)
        _add(reading, homes, queue, _said(queue, reason, first_queue, deaths), confidence, death)
    for target, wait_queue, death in returning:
        _add(reading, homes, target, f"the wait queue {shown(wait_queue)} returns to it", Confidence.GUESS if homes else Confidence.LIKELY, death)
    if not homes and not ranked:
        reading.remarks.append("it only died in wait queues that do not say where they return to, or in the queue it lies in")
    if len(homes) > 1:
        others = ", ".join(shown(home.address.name) for home in homes[1:])
        reading.remarks.append(f"it also died in or comes from {others}; home is {shown(homes[0].address.name)}: {homes[0].derived}")
    return tuple(homes)


def _add(reading: Reading, homes: list[Home], queue: str, derived: str, confidence: Confidence, death: QueueDeath) -> None:
    if any(home.address.name == queue for home in homes):
        return
    place = {"exchange": death.exchange, "routing_key": death.routing_keys[0] if death.routing_keys else None}
    if (home := reading.home(queue, derived, confidence, place=dict(place))) is not None:
        homes.append(home)


def _confidence(index: int, rank: int, rivals: int, topology_known: bool) -> Confidence:
    if index:
        return Confidence.GUESS
    if rivals > 1:
        return Confidence.LIKELY if rank == 0 else Confidence.GUESS
    if rank == 0 or topology_known:
        return Confidence.CERTAIN
    return Confidence.LIKELY


def _said(queue: str, reason: str, first_queue: str, deaths: Sequence[QueueDeath]) -> str:
    which = "x-first-death-queue" if queue == first_queue else "x-death[0]" if queue == deaths[0].queue else "x-death"
    words = {"rejected": "rejected there", "delivery_limit": "delivered there too often", "maxlen": "pushed out of there", "expired": "expired there"}
    return f"{which}, {words.get(reason, 'died there')}"
