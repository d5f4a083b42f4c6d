"""Whole batches of letters put on as they are: with the headers given, in their order, and no less careful than one by one."""

from __future__ import annotations

from collections import Counter

import pytest

from brokercli.backends.contract import Batch, PublishPolicy
from brokercli.backends.dead_letters import Goal, Repair, State
from brokercli.model.address import Address
from brokercli.model.message import Message
from tests.backends.kafka_redrive import committed, repair, states, stored
from tests.backends.kafka_topics import Topics, bodies


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_a_batch_goes_on_as_it_is_with_the_headers_given(groups: Topics, guarantee: str) -> None:
    dlq, home, other = groups.make(), groups.make(), groups.make()
    with groups.backend().publisher(dlq, PublishPolicy()) as publisher:
        assert publisher.send([Message(None, b"k", (("why", b"x"),)), Message(b"", b"", (("a", None), ("a", b"\0\xff"))), Message(b"c")]) == 3
        assert publisher.finish(20).confirmed == 3
    run = repair(groups, dlq, guarantee=guarantee)
    batch = read_whole(run, 3)
    goals = [Goal(home), Goal(other), Goal(home)]
    receipts = run.forward(batch, goals, [(("from", b"0:0"),), (("a", None), ("a", b"\0\xff")), ()])()
    assert (receipts.confirmed, receipts.problems) == (3, [])
    assert [(record.message.body, record.message.key, record.message.headers) for record in stored(groups, home)] == [
        (None, b"k", (("from", b"0:0"),)), (b"c", None, ())]
    assert [(record.message.body, record.message.key, record.message.headers) for record in stored(groups, other)] == [
        (b"", b"", (("a", None), ("a", b"\0\xff")))]
    assert committed(groups, dlq) == 3
    again = run.forward(batch, goals, [(), (), ()])()
    assert (again.confirmed, again.refused) == (0, 3)
    assert "handled already" in again.problems[0].reason


def test_what_cannot_be_stored_of_a_batch_is_refused_alone(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    small = groups.make(**{"max.message.bytes": "1000"})
    groups.fill(dlq, [b"a", b"b" * 2000, b"c", b"d"])
    run = repair(groups, dlq)
    batch = read_whole(run, 4)
    missing = Address(f"{home.name}.no-such", "topic")
    receipts = run.forward(batch, [Goal(home), Goal(small), Goal(missing), Goal(home)], [(), (), (), (("x\0y", b""),)])()
    assert (receipts.confirmed, receipts.refused) == (1, 3)
    reasons = {receipt.index: receipt.reason for receipt in receipts.problems}
    assert "larger than the broker takes" in reasons[1]
    assert missing.name in reasons[2]
    assert "NUL" in reasons[3]
    assert bodies(stored(groups, home)) == [b"a"]
    assert Counter(states(groups, dlq).values()) == Counter({State.PENDING: 3, State.REDRIVEN: 1})


def read_whole(run: Repair, count: int) -> Batch:
    """Read letters in one batch; they were all stored before the run."""
    batch = run.read(20)
    assert batch is not None
    assert len(batch) == count
    return batch
