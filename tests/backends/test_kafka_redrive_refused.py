"""Redriving on Kafka when something is taken away on the way: a permission, or a topic that letters go to. Who can go goes,
and whoever cannot is told the right reason."""

from __future__ import annotations

from collections.abc import Sequence
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType

from brokercli.backends.dead_letters import Move, RepairPolicy, State
from brokercli.backends.kafka import held_back, transaction
from brokercli.backends.kafka.convert import Native
from brokercli.backends.kafka.destinations import Destinations
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.partitioner import murmur2
from brokercli.backends.kafka.span import Range
from brokercli.model.address import Address
from brokercli.model.errors import NotAuthorised
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Verdict
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_permissions import allow, as_reader, withdraw
from tests.backends.kafka_redrive import letters, numbered, redrive, repair, states, stored
from tests.backends.kafka_topics import PATIENCE, Topics, bodies

pytestmark = pytest.mark.kafka


def let_redrive(topics: Topics, dlq: Address, *homes: Address) -> None:
    """Allow just what redriving in transactions needs."""
    allow(topics.admin, ResourceType.TOPIC, dlq.name, AclOperation.READ)
    allow(topics.admin, ResourceType.GROUP, group_of(dlq.name), AclOperation.READ)
    allow(topics.admin, ResourceType.TRANSACTIONAL_ID, group_of(dlq.name), AclOperation.WRITE)
    for home in homes:
        allow(topics.admin, ResourceType.TOPIC, home.name, AclOperation.WRITE)


def by_turns(records: Sequence[Record], *homes: Address) -> list[Move]:
    """Put the letters back into these topics in turn."""
    return [Move(record, Message(record.message.body), homes[number % len(homes)]) for number, record in enumerate(records)]


@pytest.mark.parametrize(("in_sync", "refused"), [([[1], [1]], {-1, 0, 1}), ([[1], [1, 2]], {0}), ([[1, 2], [2, 3]], set())])
def test_letters_that_too_few_replicas_would_take_are_refused_before_a_transaction_is_stuck_with_them(
        topics: Topics, in_sync: list[list[int]], refused: set[int]) -> None:
    # the tests' cluster is one broker
    partitions = {number: SimpleNamespace(leader=-1, replicas=[1, 2, 3], isrs=isrs) for number, isrs in enumerate(in_sync)}
    home = topics.make(min_insync_replicas="2")
    known = Destinations(lambda name: partitions, topics.admin, "dlq", PATIENCE, lambda what: None, compressed=False)
    letters = {partition: known.placed(home, Native(b"", None, None, partition, 0)) for partition in (-1, 0, 1)}
    told = {partition: known.refusal(home, letter, 100) for partition, letter in letters.items()}
    assert {partition for partition, why in told.items() if "too few replicas are in sync" in why} == refused
    assert all(not why for partition, why in told.items() if partition not in refused)


def test_letters_keep_out_of_partitions_with_too_few_replicas_unless_their_key_puts_them_there(topics: Topics) -> None:
    partitions = {number: SimpleNamespace(leader=-1, replicas=[1, 2, 3], isrs=[1] if number in (0, 2, 3) else [1, 2]) for number in range(4)}
    home = topics.make(min_insync_replicas="2")
    known = Destinations(lambda name: partitions, topics.admin, "dlq", PATIENCE, lambda what: None, compressed=False)
    # what Java's murmur2 makes of these keys with four partitions
    for key, partition in ((None, 1), (b"k1", 1), (b"order-42", 0), (b"", 1), (b"a", 0)):
        letter = known.placed(home, Native(b"", key, None, -1, 0))
        assert letter.partition == partition
        assert bool(known.refusal(home, letter, 100)) == (partition == 0)


@pytest.mark.parametrize(("text", "hashed"), [
    ("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("a-little-bit-longer-string", -1486304829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971), ("abc", 479470107)])
def test_a_key_is_hashed_as_kafka_itself_has_it(text: str, hashed: int) -> None:
    """The values of Kafka's own UtilsTest.testMurmur2."""
    assert murmur2(text.encode()) == hashed % 2 ** 32


def test_letters_go_where_a_transaction_stays_open_and_that_is_said(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "_LOOK_AGAIN_SECONDS", 0.1)
    dlq, home = topics.make(), topics.make()
    topics.fill(dlq, [b"letter"])
    said: list[str] = []
    run = repair(topics, dlq, waiting=said.append)
    other = Producer({"bootstrap.servers": topics.address, "transactional.id": home.name})
    other.init_transactions(PATIENCE)
    other.begin_transaction()
    other.produce(home.name, b"open")
    other.flush(PATIENCE)
    assert redrive(run, home).confirmed == 1
    assert [what for what in said if home.name in what] == [held_back.told_of(home.name, {(home.name, 0): Range(0, 1)})]
    other.abort_transaction(PATIENCE)
    assert [record.message.body for record in stored(topics, home)] == [b"letter"]


def test_a_refusal_that_comes_while_letters_are_still_being_given_is_no_timeout(
        guarded_kafka: GuardedKafka, guarded_topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home, closed = guarded_topics.make(), guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(40))
    let_redrive(guarded_topics, dlq, home)
    allow(guarded_topics.admin, ResourceType.TOPIC, closed.name, AclOperation.READ)

    class Slow(Producer):
        """After a message for the closed topic it gives others, which the transaction takes with it, until the broker has refused."""

        def produce(self, topic: str, *message: Any) -> None:
            super().produce(topic, *message)
            while topic == closed.name:
                super().produce(topic, b"one of the others")
                sleep(0.001)

    open_handle = transaction.open_handle
    monkeypatch.setattr(transaction, "open_handle", lambda handle, *rest: open_handle(Slow, *rest))
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        receipts = run.settle(by_turns(letters(run), home, closed))
    assert {receipt.reason for receipt in receipts.problems} == {"no permission to write to the topic"}
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (20, 20, 0)
    assert bodies(stored(guarded_topics, home)) == numbered(40)[::2]
    assert bodies(stored(guarded_topics, closed)) == []


@pytest.mark.parametrize("homes", [1, 2])
def test_who_may_not_read_the_dead_letters_any_more_is_told_that_and_not_that_their_home_is_closed(
        guarded_kafka: GuardedKafka, guarded_topics: Topics, homes: int) -> None:
    dlq, home = guarded_topics.make(), [guarded_topics.make() for _ in range(homes)]
    guarded_topics.fill(dlq, numbered(10))
    let_redrive(guarded_topics, dlq, *home)
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        found = letters(run)
        assert run.settle(by_turns(found[:4], *home)).confirmed == 4
        withdraw(guarded_topics.admin, ResourceType.TOPIC, dlq.name, AclOperation.READ)
        receipts = run.settle(by_turns(found[4:], *home))
        assert {receipt.reason for receipt in receipts.problems} == {f"{dlq.name}: no permission to read the letters any more, so none can be marked."}
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 6, 0)
        with pytest.raises(NotAuthorised, match="no permission to read the letters"):
            run.settle(by_turns(found[4:], *home))
        # so those of the call that raised are none of those in doubt
    assert run.atomic
    # so that what the last call was given counts as refused, and not as in doubt
    assert run.atomic
    assert sorted(filter(None, (body for topic in home for body in bodies(stored(guarded_topics, topic))))) == numbered(4)
    assert list(states(guarded_topics, dlq).values()).count(State.REDRIVEN) == 4


@pytest.mark.parametrize("transactions", [True, False])
def test_a_home_that_this_login_is_not_shown_keeps_no_other_letters_from_going_home(
        guarded_kafka: GuardedKafka, guarded_topics: Topics, transactions: bool) -> None:
    dlq, home, hidden = guarded_topics.make(), guarded_topics.make(), guarded_topics.make()
    guarded_topics.fill(dlq, numbered(8))
    let_redrive(guarded_topics, dlq, home)
    if not transactions:
        withdraw(guarded_topics.admin, ResourceType.TRANSACTIONAL_ID, group_of(dlq.name), AclOperation.WRITE)
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        receipts = run.settle(by_turns(letters(run), hidden, home))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (4, 4, 0)
    assert {receipt.reason for receipt in receipts.problems} == {f"No permission for looking at {hidden.name}: Broker: Topic authorization failed"}
    assert isinstance(run.failure, NotAuthorised)
    assert bodies(stored(guarded_topics, home)) == numbered(8)[1::2]


@pytest.mark.parametrize("transactions", [True, False])
def test_a_letter_without_a_key_for_a_compacted_home_that_may_not_be_asked_about_its_settings_keeps_no_other_one(
        guarded_kafka: GuardedKafka, guarded_topics: Topics, transactions: bool) -> None:
    dlq, home = guarded_topics.make(), guarded_topics.make(cleanup_policy="compact")
    guarded_topics.fill(dlq, numbered(8))
    let_redrive(guarded_topics, dlq, home)
    if not transactions:
        withdraw(guarded_topics.admin, ResourceType.TRANSACTIONAL_ID, group_of(dlq.name), AclOperation.WRITE)
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        moves = [Move(record, Message(record.message.body, key=None if number == 3 else b"%d" % number), home) for number, record in enumerate(letters(run))]
        receipts = run.settle(moves)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (7, 1, 0)
    assert [body for body in numbered(8) if body not in bodies(stored(guarded_topics, home))] == [b"3"]


def test_letters_go_in_smaller_batches_to_a_home_that_takes_less_than_it_lets_us_know(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    dlq, home = guarded_topics.make(), guarded_topics.make(max_message_bytes="20000")
    guarded_topics.fill(dlq, [b"%0100d" % number for number in range(500)] + [b"x" * 30_000])
    let_redrive(guarded_topics, dlq, home)
    with as_reader(guarded_kafka) as backend, backend.repair(dlq, RepairPolicy()) as run:
        receipts = run.settle(by_turns(letters(run), home))
        assert run.atomic
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (500, 1, 0)
    assert [receipt.reason for receipt in receipts.problems] == ["it is larger than the broker takes (max.message.bytes of the topic)"]
    assert [int(body or b"") for body in bodies(stored(guarded_topics, home))] == list(range(500))


def test_a_plan_is_not_ended_by_a_home_that_this_login_may_not_ask_for(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    dlq, home, closed = guarded_topics.make(), guarded_topics.make(), guarded_topics.make()
    let_redrive(guarded_topics, dlq, home)
    with as_reader(guarded_kafka) as backend:
        found = backend.obstacles(dlq, [closed, home, Address("no-such-topic", "exchange")])
        assert list(found) == [2]
        with pytest.raises(NotAuthorised):
            backend.resolve(closed, "publish")


def test_letters_for_a_topic_that_is_deleted_on_the_way_are_refused_and_the_others_go_home(topics: Topics) -> None:
    dlq, home, other = topics.make(), topics.make(), topics.make()
    topics.fill(dlq, numbered(12))
    run = repair(topics, dlq, delivery_timeout=6.0)
    found = letters(run)
    assert run.settle(by_turns(found[:4], home, other)).confirmed == 4
    topics.delete(other)
    receipts = run.settle(by_turns(found[4:8], home, other))
    assert {receipt.reason for receipt in receipts.problems} == {"the topic does not exist any more"}
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (2, 2, 0)
    receipts = run.settle(by_turns(found[8:], home, other))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (2, 2, 0)
    assert bodies(stored(topics, home)) == numbered(12)[::2]
    assert list(states(topics, dlq).values()).count(State.PENDING) == 4


def test_without_transactions_letters_for_a_topic_that_is_deleted_on_the_way_are_not_confirmed_and_the_others_go_home(topics: Topics) -> None:
    dlq, home, other = topics.make(), topics.make(), topics.make()
    topics.fill(dlq, numbered(12))
    run = repair(topics, dlq, delivery_timeout=5.0, guarantee="at-least-once")
    found = letters(run)
    assert run.settle(by_turns(found[:4], home, other)).confirmed == 4
    topics.delete(other)
    for part in (found[4:8], found[8:]):
        receipts = run.settle(by_turns(part, home, other))
        assert (receipts.confirmed, receipts.refused + receipts.unknown) == (2, 2)
    # only the first step waits for the delivery timeout
    assert {(receipt.verdict, receipt.reason) for receipt in receipts.problems} == {(Verdict.REFUSED, "the topic does not exist any more")}
    assert bodies(stored(topics, home)) == numbered(12)[::2]
    assert list(states(topics, dlq).values()).count(State.PENDING) == 4
