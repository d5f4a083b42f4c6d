"""Whole batches of letters put on as they are: with the headers given, in their order, and no less careful than one by one."""

from __future__ import annotations

import pytest

from brokercli.backends.dead_letters import Goal, RepairPolicy
from brokercli.backends.rabbitmq import holding
from brokercli.dialects.redrive_headers import stamps
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import count, fail, make, queue, work_and_letters


def test_a_batch_goes_on_as_it_is_with_the_headers_given(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_FIRST_PART", 16)
    work, dlq = work_and_letters(places)
    other = make(places, "classic")
    fail(places, work, [b"a", b"b"], {"headers": {"tenant": "acme"}, "message_id": "m-1", "reply_to": "answers"})
    fail(places, work, [b"c", b"d"], {"priority": 3})
    with places.open().repair(queue(dlq), RepairPolicy(batch=100)) as repair:
        batch = repair.read(5)
        assert batch is not None
        assert batch.bodies() == [b"a", b"b", b"c", b"d"]
        home, without = Goal(queue(work)), Goal(queue(other), without=("reply_to",))
        missing, itself = Goal(queue(f"{work}.no-such")), Goal(queue(dlq))
        own = (("why", b"x"), ("number", 7))
        receipts = repair.forward(batch, [home, without, missing, itself], [own, (), own, own])()
        assert (receipts.confirmed, receipts.refused) == (2, 2)
        reasons = {receipt.index: receipt.reason for receipt in receipts.problems}
        assert "there is no queue" in reasons[2]
        assert "where it lies" in reasons[3]
        again = repair.forward(batch, [home] * 4, [()] * 4)()
        assert (again.confirmed, again.refused) == (2, 2)
        assert {receipt.index: receipt.reason for receipt in again.problems} == {0: "it is settled already", 1: "it is settled already"}
    assert count(places, dlq) == 0
    body, properties, _ = places.wire.get(work)  # type: ignore[misc]
    found = dict(properties)
    assert (body, found["message_id"], found["reply_to"], found["headers"]) == (b"a", b"m-1", b"answers", ((b"number", ("l", 7)), (b"why", ("S", b"x"))))
    assert places.taken(work) == [b"c", b"d"]
    body, properties, _ = places.wire.get(other)  # type: ignore[misc]
    found = dict(properties)
    assert (body, found["message_id"], found.get("reply_to"), found.get("headers")) == (b"b", b"m-1", None, None)


def test_letters_without_any_header_go_with_what_is_written_on_them(places: Places) -> None:
    dlq, work = places.queue(), places.queue()
    places.put("", dlq, [b"bare"])
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        batch = repair.read(5)
        assert batch is not None
        assert repair.forward(batch, [Goal(queue(work))], [stamps("queue:dlq", 0, 1)])().confirmed == 1
    assert (places.taken(work), count(places, dlq)) == ([b"bare"], 0)
