"""What a run put back and finds again it leaves; a letter that only says so of itself is one like any other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Goal, Move, Repair, RepairPolicy, State
from brokercli.model.receipt import Receipts
from tests.backends.rabbitmq_places import SECONDS, Places
from tests.backends.rabbitmq_redrive import count, fail, letters, make, moves_home, numbered, queue, redrive, work_and_letters
from tests.brokers.server import wait_until


def settle(repair: Repair, batch: Batch) -> Receipts:
    return repair.settle(moves_home(batch.records()))


def forward(repair: Repair, batch: Batch) -> Receipts:
    moves = moves_home(batch.records())
    return repair.forward(batch, [Goal(move.destination) for move in moves], [move.message.headers for move in moves])()


def stamped(ahead: timedelta) -> dict[str, str]:
    """What brokercli writes on a letter where the clock is ahead of this one."""
    at = (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"x-brokercli-redriven-at": at, "x-brokercli-redriven-count": "1", "x-brokercli-redriven-from": "queue:orders.dlq"}


@pytest.mark.parametrize("ahead", [timedelta(minutes=3), timedelta(days=3650)], ids=str)
def test_a_letter_that_was_put_back_by_a_clock_ahead_of_this_one_goes_home(places: Places, ahead: timedelta) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, [b"from the future"], {"headers": stamped(ahead)})
    fail(places, work, [b"of now"])
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 2
    assert list(repair.notes) == []
    assert places.taken(work) == [b"from the future", b"of now"]
    assert count(places, dlq) == 0


def test_a_letter_that_was_put_back_by_a_clock_ahead_of_this_one_can_be_dropped(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, [b"from the future"], {"headers": stamped(timedelta(minutes=3))})
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert repair.mark(letters(repair), State.DROPPED).confirmed == 1
    assert count(places, dlq) == 0


@pytest.mark.parametrize("put_back", [settle, forward])
def test_what_this_run_put_back_and_died_again_is_left_and_that_is_said(places: Places, put_back: Callable[[Repair, Batch], Receipts]) -> None:
    dlq = make(places, "classic")
    # whatever comes here is dead at once
    work = places.queue(x_message_ttl=("l", 0), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    places.put("", work, numbered(8))
    wait_until(lambda: count(places, dlq) == 8, SECONDS, "eight letters")
    seen: list[bytes | None] = []
    others: list[bytes] = []
    with places.open().repair(queue(dlq), RepairPolicy(batch=4)) as repair:
        while not repair.finished:
            batch = repair.read(0.2)
            if batch is None or not len(batch):
                continue
            seen += batch.bodies()
            # eight were counted, and others take three of them: so the run comes to three that it put back itself
            others = others or [message[0] for _ in range(3) if (message := places.wire.get(dlq)) is not None]
            assert put_back(repair, batch).confirmed == len(batch)
    assert [note for note in repair.notes if "this run" in note] == ["letters that were put back since this run began, died again and are left: 3"]
    assert sorted([*others, *map(bytes, filter(None, seen))]) == numbered(8)
    assert sorted(places.taken(dlq)) == sorted(map(bytes, filter(None, seen)))


def test_where_what_died_again_came_before_others_it_is_said_that_those_are_left(places: Places) -> None:
    dlq = places.queue("classic", x_max_priority=("l", 10))
    work = places.queue(x_message_ttl=("l", 0), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    places.put("", work, numbered(40), {"priority": 0})
    places.put("", work, [b"high"] * 4, {"priority": 5})
    wait_until(lambda: count(places, dlq) == 44, SECONDS, "all the letters")
    with places.open().repair(queue(dlq), RepairPolicy(batch=4)) as repair:
        while not repair.finished:
            batch = repair.read(0.2)
            if batch is not None and len(batch):
                assert settle(repair, batch).confirmed == len(batch)
    (note,) = [note for note in repair.notes if "this run" in note]
    assert "where the queue goes by priority they came before others, which are left as well then" in note
    assert count(places, dlq) == 44


def test_a_letter_that_only_speaks_of_the_stamp_is_no_letter_that_this_run_put_back(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, [b"first"])
    fail(places, work, [b"second"], {"headers": {"note": "where does x-brokercli-redriven-at come from?"}})
    with places.open().repair(queue(dlq), RepairPolicy(batch=1)) as repair:
        for body in (b"first", b"second"):
            (record,) = letters(repair, 1)
            assert record.message.body == body
            # as it is, nothing written on it
            assert repair.settle([Move(record, record.message, queue(work))]).confirmed == 1
    assert places.taken(work) == [b"first", b"second"]


@pytest.mark.parametrize("how", ["settle", "forward"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_that_an_earlier_run_put_back_are_all_parked_with_what_that_wrote_on_them(places: Places, kind: str, how: str) -> None:
    # the letters of one batch have it in common: those of the next part were taken for what this run itself had put back
    work, dlq = work_and_letters(places, kind)
    parked = places.queue(kind)
    fail(places, work, numbered(6), {"headers": stamped(timedelta(days=-1))})
    went = 0
    with places.open().repair(queue(dlq), RepairPolicy(batch=4, homeward=False)) as repair:
        while not repair.finished:
            batch = repair.read(0.2)
            if batch is None or not len(batch):
                continue
            records = batch.records()
            if how == "settle":
                went += repair.settle([Move(record, record.message, queue(parked)) for record in records]).confirmed
            else:
                went += repair.forward(batch, [Goal(queue(parked))] * len(records), [record.message.headers for record in records])().confirmed
    assert (went, list(repair.notes)) == (6, [])
    assert (places.taken(parked), count(places, dlq)) == (numbered(6), 0)
