"""What others delete while brokercli is at it: RabbitMQ's queue of dead letters with its letters in hand."""

from __future__ import annotations

import pytest

from brokercli.backends.dead_letters import Move, Repair, RepairPolicy, State
from brokercli.model.errors import NotFound
from brokercli.model.message import Record
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import letters, make, numbered, queue


def read_on(repair: Repair, held: list[Record]) -> None:
    """Read until what ends it is raised."""
    while True:
        batch = repair.read(0.2)
        held += batch.records() if batch is not None else []


def some_then_deleted(places: Places, repair: Repair, dlq: str) -> list[Record]:
    """Read a few letters, have the queue deleted, and read until that is noticed; return the letters that are in hand."""
    held = letters(repair, 10)
    places.delete_queue(dlq)
    with pytest.raises(NotFound, match=r"was deleted while its letters were being taken|was deleted, or lost its leader"):
        read_on(repair, held)
    return held


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_in_hand_go_home_all_the_same_for_they_are_nowhere_else(places: Places, kind: str) -> None:
    dlq, home = make(places, kind), make(places, "classic")
    places.put("", dlq, numbered(100))
    with places.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        held = some_then_deleted(places, repair, dlq)
        receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
        assert (receipts.confirmed, receipts.problems) == (len(held), [])
    assert places.taken(home) == numbered(len(held))
    assert not [note for note in repair.notes if "did not confirm" in note]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_in_hand_that_are_dropped_are_gone(places: Places, kind: str) -> None:
    dlq = make(places, kind)
    places.put("", dlq, numbered(100))
    with places.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        held = some_then_deleted(places, repair, dlq)
        receipts = repair.mark(held, State.DROPPED)
        assert (receipts.confirmed, receipts.problems) == (len(held), [])
