"""Looking at Kafka where messages were stored in transactions: what was committed is read, what was not is passed over or said."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from brokercli.backends.kafka import look
from brokercli.model.address import Address
from brokercli.model.declaration import Declaration
from brokercli.model.errors import OutOfRange
from brokercli.model.position import End, Last, Number, Span, Start
from brokercli.operations.peeking import around
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_topics import Topics, bodies, everything


def transaction(topics: Topics, topic: Address, bodies: Sequence[bytes], *, commit: bool | None) -> Producer:
    """Store messages in a transaction, and end it or leave it open."""
    producer = topics.producer(transactional_id=topic.name + str(time.monotonic_ns()))
    producer.init_transactions(60)
    producer.begin_transaction()
    for body in bodies:
        producer.produce(topic.name, body, partition=0)
    assert producer.flush(20) == 0
    if commit is not None:
        (producer.commit_transaction if commit else producer.abort_transaction)(60)
        topics.wait_closed(topic)
    return producer


def test_aborted_messages_are_passed_over_and_the_end_is_reached(topics: Topics) -> None:
    topic = topics.make()
    transaction(topics, topic, [b"a", b"b"], commit=True)
    transaction(topics, topic, [b"gone"] * 5, commit=False)
    transaction(topics, topic, [b"c"], commit=True)
    transaction(topics, topic, [b"gone"] * 5, commit=False)
    assert bodies(topics.read(topic)) == [b"a", b"b", b"c"]


def test_a_topic_of_nothing_but_aborted_messages_ends(topics: Topics) -> None:
    topic = topics.make()
    transaction(topics, topic, [b"gone"] * 3, commit=False)
    reader = topics.look(topic)
    assert everything(reader) == []
    assert reader.finished


def test_the_newest_counts_messages_and_not_offsets(topics: Topics) -> None:
    topic = topics.make()
    transaction(topics, topic, [b"%d" % number for number in range(30)], commit=True)
    for _ in range(3):
        transaction(topics, topic, [b"gone"] * 20, commit=False)
    transaction(topics, topic, [b"30"], commit=True)
    assert bodies(everything(topics.look(topic, Last(5)))) == [b"26", b"27", b"28", b"29", b"30"]


def test_an_open_transaction_neither_hangs_a_replay_nor_goes_unsaid(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, [b"before"])
    producer = transaction(topics, topic, [b"open"] * 3, commit=None)
    topics.fill(topic, [b"behind it"])
    reader = topics.look(topic)
    assert bodies(everything(reader)) == [b"before"]
    assert "open" in reader.notes[0]
    assert "offsets from 1 on" in reader.notes[0]
    producer.abort_transaction(60)
    topics.wait_closed(topic)
    assert bodies(topics.read(topic)) == [b"before", b"behind it"]


def test_a_tail_that_waits_says_of_a_transaction_that_began_meanwhile_that_it_holds_back_what_comes(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "NEW_PARTITIONS_SECONDS", 0.0)
    topic = topics.make()
    topics.fill(topic, [b"before"])
    reader = topics.backend().look(topic, Span(Start()))
    batch = None
    while batch is None:
        batch = reader.read(0.05)
    assert reader.read(0.3) is None
    producer = transaction(topics, topic, [b"open"], commit=None)
    topics.fill(topic, [b"behind it"] * 2)
    deadline = time.monotonic() + 60
    while not reader.notes:
        assert time.monotonic() < deadline
        assert reader.read(0.05) is None
    assert "a transaction that is still open" in reader.notes[0]
    assert "from 1 on" in reader.notes[0]
    producer.abort_transaction(60)
    read: list[bytes | None] = []
    while len(read) < 2 and time.monotonic() < deadline:
        batch = reader.read(0.05)
        read += [] if batch is None else batch.bodies()
    assert (read, len(reader.notes)) == ([b"behind it"] * 2, 1)
    reader.close()


def test_a_partition_of_which_an_open_transaction_holds_back_all_is_not_said_to_be_empty(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    producer = transaction(topics, topic, [b"open"] * 3, commit=None)
    for start in (Start(), End(), Last(5)):
        reader = topics.look(topic, start)
        assert everything(reader) == []
        assert list(reader.notes) == ["partition 0: a transaction that is still open holds back 3 offsets from 0 on"]
    producer.abort_transaction(60)


def test_a_group_that_reads_what_is_not_committed_yet_is_not_said_to_be_beyond_the_end(topics: Topics, consumer_groups: Groups) -> None:
    topic, consumers = topics.make(), consumer_groups.consumers
    topics.fill(topic, [b"1", b"2", b"3"])
    producer = transaction(topics, topic, [b"open"] * 5, commit=None)
    ahead, behind = consumer_groups.name(), consumer_groups.name()
    consumer_groups.commit(ahead, topic, {0: 6})
    consumer_groups.commit(behind, topic, {0: 1})
    assert [(lag.position, lag.end, lag.lag) for name in (ahead, behind) for lag in consumers.lag(name)] == [(6, 8, 2), (1, 3, 2)]
    assert consumers.describe(ahead).missing == []
    (lag,) = consumers.lag(ahead)
    # of what it is stuck on nothing can be shown
    for before in (0, 4):
        (shown,) = around(topics.backend(), topic, [lag], before, 2)
        assert ([record.message.body for record in shown.before], shown.following) == ([b"1", b"2", b"3"][:before], [])
    for position, want, skipped in ((Number(7), 7, 1), (End(), 8, 2), (Start(), 0, -6)):
        planned = consumers.plan_seek(ahead, position)
        assert ([(step.have, step.want, step.skipped) for step in planned.steps], planned.remarks) == ([(6, want, skipped)], ())
    consumers.seek(planned)
    assert [step.want for step in consumers.plan_seek(ahead, Number(6)).steps] == [6], "where it was is somewhere to go back to"
    with pytest.raises(OutOfRange):
        consumers.plan_seek(ahead, Number(9))
    assert [step.want for step in consumers.plan_seek(behind, End()).steps] == [3]
    producer.abort_transaction(60)


def test_what_an_open_transaction_has_written_counts_among_what_goes_with_a_topic(topics: Topics) -> None:
    topic = topics.make()
    producer = transaction(topics, topic, [b"open"] * 5, commit=None)
    (planned,) = topics.backend().declarer().plan_removal([Declaration("topic", topic.name)])
    assert "up to 5 messages go with it" in planned.remarks
    producer.abort_transaction(60)
