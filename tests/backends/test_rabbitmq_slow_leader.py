"""A quorum queue whose leader is slow: RabbitMQ then counts for it and says that there is nothing, which nobody may rely on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq import counting, holding
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.rescue_queue import RescueQueue
from brokercli.model.address import Address
from brokercli.model.declaration import Declaration
from brokercli.model.errors import Failed, Unreachable
from tests.backends.rabbitmq_declared import only
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import letters, make, numbered, queue
from tests.brokers.rabbitmq import RabbitMQ

MILLISECONDS = 2000


@pytest.fixture
def own(private_rabbitmq: RabbitMQ) -> Iterator[Places]:
    """Places on a broker one of whose queues may be held up."""
    made = Places(private_rabbitmq.address, private_rabbitmq.management)
    yield made
    made.close()


def hold_up(server: RabbitMQ, queue: str, milliseconds: int = MILLISECONDS) -> None:
    """Have the leader of a queue do nothing for a while."""
    server.evaluate(f"Leader = '%2F_{queue}', sys:suspend(Leader), timer:apply_after({milliseconds}, sys, resume, [Leader]).")


def test_what_would_be_lost_with_it_is_said(private_rabbitmq: RabbitMQ, own: Places) -> None:
    name = own.queue("quorum")
    own.put("", name, numbered(3))
    declarer = own.open().declarer()
    hold_up(private_rabbitmq, name)
    assert only(declarer.plan_removal([Declaration("queue", name)])).remarks == ("3 messages are lost with it",)


def test_it_is_not_deleted_with_messages_that_came_since(private_rabbitmq: RabbitMQ, own: Places) -> None:
    name = own.queue("quorum")
    declarer = own.open().declarer()
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    own.put("", name, numbered(3))
    hold_up(private_rabbitmq, name)
    with pytest.raises(Failed, match="has got 3 messages since"):
        declarer.apply(change)
    assert own.taken(name) == numbered(3)


def test_its_letters_are_counted(private_rabbitmq: RabbitMQ, own: Places) -> None:
    dlq = own.queue("quorum", name="slow.dlq")
    own.put("", dlq, numbered(3))
    backend = own.open()
    hold_up(private_rabbitmq, dlq)
    assert {source.address.name: source.pending for source in backend.dead_letter_sources()}[dlq] == 3
    hold_up(private_rabbitmq, dlq)
    assert backend.describe(Address(dlq, "queue")).facts["messages ready"] == 3


def test_it_is_not_deleted_where_its_leader_does_not_answer(private_rabbitmq: RabbitMQ, own: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_PATIENCE", 0.5)
    name = own.queue("quorum")
    declarer = own.open().declarer()
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    own.put("", name, numbered(3))
    hold_up(private_rabbitmq, name, 6000)
    with pytest.raises(Failed, match="does not answer, so whether anything is in it is not known"):
        declarer.apply(change)
    assert only(declarer.plan_removal([Declaration("queue", name)])).remarks == ("its leader does not answer: what would be lost with it is not known",)
    assert own.taken(name) == numbered(3)


def test_its_letters_are_waited_for_and_nobody_is_said_to_take_them(private_rabbitmq: RabbitMQ, own: Places) -> None:
    dlq = make(own, "quorum")
    own.put("", dlq, numbered(100))
    with own.open() as backend, backend.repair(queue(dlq), RepairPolicy(batch=10)) as repair:
        found = letters(repair, 10)
        hold_up(private_rabbitmq, dlq, 6000)
        found += letters(repair)
        assert [record.message.body for record in found] == numbered(100)
        assert "letters fewer came" not in " ".join(repair.notes)


def test_a_leader_that_stays_silent_ends_the_run_with_what_it_is(private_rabbitmq: RabbitMQ, own: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 1.0)
    dlq = make(own, "quorum")
    own.put("", dlq, numbered(100))
    with own.open() as backend, backend.repair(queue(dlq), RepairPolicy(batch=10)) as repair:
        letters(repair, 10)
        hold_up(private_rabbitmq, dlq, 9000)
        with pytest.raises(Unreachable, match="does not answer"):
            letters(repair)


def test_a_zero_that_it_never_told_does_not_stand_for_what_was_there_when_letters_came_back(
        private_rabbitmq: RabbitMQ, own: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_PATIENCE", 0.5)
    dlq = make(own, "quorum")
    own.put("", dlq, numbered(40))
    link = Link(own.connection)
    held = Holding(link, dlq, 5, part=5)
    while not held.finished:
        held.take(0.2)
    hold_up(private_rabbitmq, dlq, 3000)
    held.give_back()
    link.close()
    assert not held.back, "what is counted once it answers again are the others"
    assert not held.unseen


def test_letters_that_are_kept_for_it_are_not_said_to_be_none(private_rabbitmq: RabbitMQ, own: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_PATIENCE", 0.5)
    name = make(own, "quorum")
    own.put("", name, numbered(3))
    link = Link(own.connection)
    hold_up(private_rabbitmq, name)
    with pytest.raises(Unreachable, match=f"The leader of {name} does not answer"):
        RescueQueue(link, name, "letters", None).count()
    link.close()
