"""Redriving on Kafka when the broker freezes, dies, or does not let us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from brokercli.backends.dead_letters import Move, RepairPolicy, State
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.repair import KafkaRepair
from brokercli.backends.kafka.transaction import Transactions
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable
from brokercli.model.message import Message
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_permissions import allow as permit
from tests.backends.kafka_permissions import as_reader
from tests.backends.kafka_redrive import letters, numbered, redrive, repair, states, stored, to
from tests.backends.kafka_topics import Topics, bodies, everything, wait_until_named
from tests.brokers.kafka import Kafka
from tests.native.kafka import listed_groups

HASTE = 5.0
GRANTS = {
    "letters": (ResourceType.TOPIC, "dlq", AclOperation.READ),
    "home": (ResourceType.TOPIC, "home", AclOperation.WRITE),
    "group": (ResourceType.GROUP, "group", AclOperation.READ),
    "transactions": (ResourceType.TRANSACTIONAL_ID, "group", AclOperation.WRITE),
}


@pytest.fixture
def private_topics(private_kafka: Kafka) -> Iterator[Topics]:
    """Topics on a Kafka that the test may freeze and kill."""
    made = Topics(private_kafka.address)
    yield made
    private_kafka.resume()
    made.close()


def allow(topics: Topics, dlq: Address, home: Address, *grants: str) -> None:
    names = {"dlq": dlq.name, "home": home.name, "group": group_of(dlq.name)}
    for kind, name, operation in (GRANTS[grant] for grant in grants):
        permit(topics.admin, kind, names[name], operation)


def test_without_transactions_it_is_at_least_once_and_said_before_it_starts(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    dlq, home = guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(10))
    allow(guarded_topics, dlq, home, "letters", "home", "group")
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        assert run.guarantee.startswith("at least once: transactions are not permitted")
        assert redrive(run, home).confirmed == 10
    assert set(states(guarded_topics, dlq).values()) == {State.REDRIVEN}
    assert bodies(guarded_topics.read(home)) == numbered(10)


def test_with_just_the_permissions_it_needs_it_is_exactly_once(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    dlq, home = guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(10))
    allow(guarded_topics, dlq, home, *GRANTS)
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        assert run.guarantee.startswith("exactly once")
        assert redrive(run, home).confirmed == 10
    assert bodies(stored(guarded_topics, home)) == numbered(10)


def test_letters_for_a_topic_one_may_not_write_to_are_refused_and_the_others_go_home(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    dlq, home, closed = guarded_topics.make(), guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(40))
    allow(guarded_topics, dlq, home, *GRANTS)
    allow(guarded_topics, closed, closed, "letters")
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        found = letters(run)
        receipts = run.settle([Move(record, Message(record.message.body), closed if number % 4 == 1 else home) for number, record in enumerate(found)])
        assert {receipt.reason for receipt in receipts.problems} == {"no permission to write to the topic"}
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (30, 10, 0)
        assert run.settle([Move(found[1], Message(b""), closed)]).refused == 1
    assert sorted(filter(None, bodies(stored(guarded_topics, home)))) == sorted(body for number, body in enumerate(numbered(40)) if number % 4 != 1)
    assert bodies(stored(guarded_topics, closed)) == []


def test_without_permission_for_the_group_one_can_look_and_not_redrive(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    dlq, home = guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(3))
    allow(guarded_topics, dlq, home, "letters", "home", "transactions")
    with as_reader(guarded_kafka) as backend:
        with backend.look_letters(dlq) as look:
            assert {look.state(record) for record in everything(look)} == {State.PENDING}
            assert any("what was handled cannot be seen" in note for note in look.notes)
        with pytest.raises(NotAuthorised):
            backend.repair(dlq, RepairPolicy())
        (source,) = (found for found in backend.dead_letter_sources([dlq.name]) if found.address == dlq)
        assert (source.depth, source.pending) == (3, None)
        assert any("cannot be told" in remark for remark in source.remarks)


@pytest.mark.parametrize("grants", [(), ("transactions",)], ids=["without transactions", "with transactions"])
def test_who_may_see_which_letters_are_handled_and_not_mark_any_puts_none_home(guarded_kafka: GuardedKafka, guarded_topics: Topics,
                                                                               grants: tuple[str, ...]) -> None:
    dlq, home = guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(3))
    group = group_of(dlq.name)
    allow(guarded_topics, dlq, home, "letters", "home", *grants)
    permit(guarded_topics.admin, ResourceType.GROUP, group, AclOperation.DESCRIBE)
    with as_reader(guarded_kafka) as backend:
        with pytest.raises(NotAuthorised, match="No permission to mark letters") as denied:
            backend.repair(dlq, RepairPolicy())
        assert f"READ on the group {group}" in str(denied.value.hint)
        assert group not in listed_groups(guarded_topics.admin)
        allow(guarded_topics, dlq, home, "group")
        with backend.repair(dlq, RepairPolicy()) as run:
            assert group not in listed_groups(guarded_topics.admin), "asking marks nothing"
            assert redrive(run, home).confirmed == 3
    assert bodies(stored(guarded_topics, home)) == numbered(3)


def hasty(topics: Topics, dlq: Address, waiting: Callable[[str], None] = lambda what: None) -> KafkaRepair:
    """Open a run that gives a frozen broker a few seconds; whatever is asked of it otherwise takes the time it takes."""
    patient = topics.connection
    topics.connection = replace(patient, connect_timeout=HASTE)
    try:
        return repair(topics, dlq, delivery_timeout=HASTE, waiting=waiting)
    finally:
        topics.connection = patient


def at_commit(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> None:
    """Do something just before the first commit is asked for."""
    until = Transactions._until
    done: list[bool] = []

    def called(self: Transactions, deadline: float, call: Callable[[float], object]) -> None:
        if getattr(call, "__name__", "") == "commit_transaction" and not done:
            done.append(True)
            before()
        until(self, deadline, call)

    monkeypatch.setattr(Transactions, "_until", called)


def test_frozen_before_the_commit_letters_stay_pending_or_in_doubt_and_none_is_home_twice(
        private_kafka: Kafka, private_topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home = private_topics.make(), private_topics.make()
    private_topics.fill(dlq, numbered(20))
    waited: list[str] = []
    run = hasty(private_topics, dlq, waited.append)
    found = letters(run)
    assert run.settle(to(home, found[:5])).confirmed == 5
    at_commit(monkeypatch, private_kafka.pause)
    receipts = run.settle(to(home, found[5:15]))
    # what is waited for, and for how long, is said once
    assert ["5 s at most" in said for said in waited if said.startswith("the answer to a commit did not come")] == [True], waited
    # the commit may be on its way, and nobody answers
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 0, 10)
    with pytest.raises(Unreachable):
        run.settle(to(home, found[15:]))
    run.close()
    private_kafka.resume()
    wait_until_named(private_kafka.address, home)
    assert set(bodies(stored(private_topics, home))) >= set(numbered(5))
    assert redrive(repair(private_topics, dlq), home).refused == 0
    assert sorted(filter(None, bodies(stored(private_topics, home)))) == sorted(numbered(20))


def test_a_commit_whose_answer_is_lost_is_found_out(private_kafka: Kafka, private_topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home = private_topics.make(), private_topics.make()
    private_topics.fill(dlq, numbered(20))
    run = hasty(private_topics, dlq)
    found = letters(run)
    reopened = Transactions.__init__

    def thawed(self: Transactions, *arguments: Any) -> None:
        private_kafka.resume()
        reopened(self, *arguments)

    at_commit(monkeypatch, private_kafka.pause)
    monkeypatch.setattr(Transactions, "__init__", thawed)
    receipts = run.settle(to(home, found[:10]))
    assert receipts.unknown == 0
    assert len(receipts) == 10
    # whichever it was, it is what the broker has
    assert len(stored(private_topics, home)) == receipts.confirmed
    assert list(states(private_topics, dlq).values()).count(State.REDRIVEN) == receipts.confirmed
    pending = found[receipts.confirmed:]
    assert run.settle(to(home, pending)).confirmed == len(pending)
    assert sorted(filter(None, bodies(stored(private_topics, home)))) == sorted(numbered(20))


def test_frozen_while_letters_are_stored_nothing_is_home_and_all_is_refused(
        private_kafka: Kafka, private_topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home = private_topics.make(), private_topics.make()
    private_topics.fill(dlq, numbered(20))
    run = hasty(private_topics, dlq)
    found = letters(run)
    assert run.settle(to(home, found[:5])).confirmed == 5
    private_kafka.pause()
    receipts = run.settle(to(home, found[5:15]))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 10, 0)
    with pytest.raises(BrokercliError):
        run.read(0)
    run.close()
    private_kafka.resume()
    wait_until_named(private_kafka.address, home)
    again = repair(private_topics, dlq)
    assert bodies(stored(private_topics, home)) == numbered(5)
    assert redrive(again, home).confirmed == 15
    assert bodies(stored(private_topics, home)) == numbered(20)


def test_a_broker_that_dies_and_comes_back_in_the_middle_leaves_each_letter_home_once(
        private_kafka: Kafka, private_topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    # how long the client is given to find a coordinator that it may have lost for ever
    monkeypatch.setattr("brokercli.backends.kafka.transaction._COORDINATOR_SECONDS", 2.0)
    dlq, home = private_topics.make(), private_topics.make()
    private_topics.fill(dlq, numbered(100))
    run = repair(private_topics, dlq, delivery_timeout=20.0)
    found = letters(run)
    assert run.settle(to(home, found[:40])).confirmed == 40
    private_kafka.kill()
    private_kafka.start()
    receipts = run.settle(to(home, found[40:70]))
    assert receipts.unknown == 0
    run.close()
    assert redrive(repair(private_topics, dlq), home).refused == 0
    assert sorted(filter(None, bodies(stored(private_topics, home)))) == sorted(numbered(100))
