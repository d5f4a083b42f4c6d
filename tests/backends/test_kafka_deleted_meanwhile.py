"""A topic, or what lies in it, that somebody deletes between two questions of ours: it is left out, not waited for, and nothing else is missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer

from brokercli.backends.kafka import dead_letters, look
from brokercli.backends.kafka.describe import describe_topic
from brokercli.backends.kafka.span import Range
from brokercli.backends.kafka.transaction import Copy, Ending, Transactions
from brokercli.model.errors import BrokercliError, Failed, NotFound
from brokercli.model.position import End
from brokercli.model.receipt import Receipts
from tests.backends.kafka_redrive import letters, numbered, repair, to
from tests.backends.kafka_topics import IN_PARTS, PATIENCE, Topics, publish

LONG = 600.0
"""Seconds; whoever waits for what does not come waits for all of them."""


@pytest.fixture
def consumer(topics: Topics) -> Iterator[Consumer]:
    """One that looks, as the backend's does."""
    made = Consumer({"bootstrap.servers": topics.address, "group.id": "tests", "enable.auto.commit": False, "auto.offset.reset": "error",
                     "enable.partition.eof": True, "log_level": 0})
    yield made
    made.close()


def test_topics_that_are_gone_are_no_sources_of_letters_and_not_counted_as_not_looked_into(topics: Topics, consumer: Consumer) -> None:
    named, plain, there = topics.make(called=f"{topics.name()}.dlq"), topics.make(), topics.make(called=f"{topics.name()}.dlq")
    before = topics.admin.list_topics(timeout=PATIENCE).topics
    metadata = SimpleNamespace(topics={topic.name: before[topic.name] for topic in (named, plain, there)})
    topics.delete(named)
    topics.delete(plain)
    unseen: list[str] = []
    found = dead_letters.find_sources((), metadata, consumer, topics.admin, PATIENCE, unseen)
    assert [source.address for source in found] == [there]
    assert unseen == []


@pytest.mark.parametrize(("first", "left"), [(7, 3), (10, 0)], ids=["some of them", "all of them"])
def test_records_that_are_gone_are_not_waited_for(topics: Topics, consumer: Consumer, first: int, left: int) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(10))
    topics.delete_before(topic, first)
    headers, unread = dead_letters._sample(consumer, {topic.name: {0: Range(0, 10)}}, LONG)
    assert (len(headers[topic.name]), unread) == (left, 0)
    oldest = dead_letters._first_records(consumer, {(topic.name, 0): 0}, {(topic.name, 0): 10}, LONG)[topic.name, 0]
    assert (oldest.offset() if oldest is not None else None) == (first if left else None)


@pytest.mark.parametrize("ask", ["describe", "flow"])
def test_a_topic_that_goes_while_it_is_explained_is_not_found(topics: Topics, monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    topic = topics.make()
    backend = topics.backend()
    metadata = backend._metadata

    def without_it(name: str | None = None) -> Any:
        if name is None:
            topics.delete(topic)
        return metadata(name)

    monkeypatch.setattr(backend, "_metadata", without_it)
    with pytest.raises(NotFound, match=topic.name):
        getattr(backend, ask)(topic)


def test_dead_letters_are_explained_while_metadata_name_no_broker(topics: Topics) -> None:
    """One whose controller has not heard of it for a moment, on a machine with much to do, leaves itself out."""
    topic = topics.make(called=f"{topics.name()}.dlq", retention_ms="-1")
    metadata = SimpleNamespace(topics=topics.admin.list_topics(timeout=PATIENCE).topics, brokers={})
    described = describe_topic(topic.name, metadata, topics.admin, PATIENCE)
    assert any("letters stay for ever" in str(row["risk"]) for row in described.sections[0].rows)


@IN_PARTS
def test_a_publisher_whose_topic_goes_says_so_and_blames_no_broker(topics: Topics, in_parts: bool) -> None:
    topic = topics.make()
    publisher = topics.publisher(topic, delivery_timeout=4.0, bodies_only=in_parts)
    assert publish(publisher, numbered(5)).confirmed == 5
    topics.delete(topic)
    publisher.send_bodies(numbered(5))
    receipts = Receipts()

    def give_up() -> None:
        while True:
            publisher.send_bodies([b"more"])
            receipts.add(publisher.collect(0.1))

    with pytest.raises(NotFound, match=f"The topic {topic.name} does not exist"):
        give_up()
    receipts.add(publisher.finish(0))
    assert receipts.confirmed == 0
    assert receipts.unknown + receipts.refused >= 6


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_a_run_whose_letters_go_with_their_topic_stops_before_it_tries_each_of_them(groups: Topics, monkeypatch: pytest.MonkeyPatch, guarantee: str) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(64))
    run = repair(groups, dlq, guarantee=guarantee, delivery_timeout=6.0)
    moves = to(home, letters(run))
    assert run.settle(moves[:8]).confirmed == 8
    groups.delete(dlq)
    go = Transactions.run

    def whole(self: Transactions, copies: Sequence[Copy], *others: Any) -> Ending:
        assert len(copies) == 56, "no part of them is tried for itself"
        return go(self, copies, *others)

    monkeypatch.setattr(Transactions, "run", whole)
    receipts = run.settle(moves[8:])
    assert (receipts.confirmed, len(receipts)) == (0, 56)
    assert receipts.unknown == 0 or guarantee == "at-least-once"
    with pytest.raises(BrokercliError, match=dlq.name):
        run.read(1)


@pytest.mark.parametrize("follow", [False, True])
def test_a_topic_made_anew_is_not_taken_for_the_rest_of_the_old_one(topics: Topics, monkeypatch: pytest.MonkeyPatch, follow: bool) -> None:
    monkeypatch.setattr(look, "IDENTITY_SECONDS", 0.0)
    topic = topics.make()
    topics.fill(topic, numbered(10))
    reader = topics.look(topic, follow=follow)
    monkeypatch.setattr(reader, "_batch", 1)
    assert reader.read(PATIENCE) is not None
    topics.delete(topic)
    topics.make(called=topic.name)
    topics.fill(topic, numbered(10))
    with pytest.raises(Failed, match="made anew while it was being read"):
        reader.read(PATIENCE)


def test_a_topic_made_anew_with_fewer_partitions_is_told_so_where_nothing_was_read_of_the_old_one(topics: Topics) -> None:
    topic = topics.make(partitions=3)
    topics.fill(topic, numbered(10))
    reader = topics.look(topic, End(), follow=True)
    assert reader.read(1.0) is None
    topics.delete(topic)
    topics.make(called=topic.name)
    with pytest.raises(Failed, match=f"{topic.name} was deleted and made anew, with fewer partitions, while it was being read"):
        reader.read(3 * PATIENCE)


def test_letters_of_a_topic_made_anew_are_not_taken_for_the_rest_of_the_old_ones(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(10))
    run = repair(groups, dlq)
    groups.delete(dlq)
    groups.make(called=dlq.name)
    groups.fill(dlq, numbered(10))
    batch = run.read(PATIENCE)
    assert batch is not None
    for _ in range(2):
        with pytest.raises(Failed, match="made anew"):
            run.settle(to(home, batch.records()))
    with pytest.raises(Failed, match="made anew"):
        run.read(PATIENCE)
    assert groups.read(home) == []
    assert len(letters(repair(groups, dlq))) == 10
