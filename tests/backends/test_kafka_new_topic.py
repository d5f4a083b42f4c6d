"""A topic that was just made: metadata show it for a moment before its partitions are led. On a real broker that lasts some thousandths of a second."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.ends import held
from brokercli.backends.kafka.span import Offsets, Range
from brokercli.model.errors import BrokercliError
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_redrive import numbered
from tests.backends.kafka_topics import Topics

pytestmark = pytest.mark.kafka

NOT_YET = KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))


class NotLedYet:
    """A broker that says so a few times, and then answers."""

    def __init__(self, answers: int, consumer: Consumer | None = None, admin: AdminClient | None = None, leader: int = 1) -> None:
        self.answers, self.leader = answers, leader
        self.consumer, self.admin = consumer, admin

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.answers -= 1
        if self.answers >= 0:
            raise NOT_YET
        assert self.consumer is not None
        return self.consumer.offsets_for_times(asked, timeout=timeout)

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.admin is not None:
            return self.admin.list_topics(topic, timeout=timeout)
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: SimpleNamespace(leader=self.leader)})})

    def list_offsets(self, asked: dict[TopicPartition, Any], **more: Any) -> dict[TopicPartition, Future[Any]]:
        assert self.admin is not None
        answered: dict[TopicPartition, Future[Any]] = self.admin.list_offsets(asked, **more)
        self.answers -= 1
        late: Future[Any] = Future()
        late.set_exception(NOT_YET)
        # only the first partition is not there yet
        return {place: late if place.partition == 0 and self.answers >= 0 else future for place, future in answered.items()}


@contextmanager
def a_consumer(topics: Topics) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": topics.address, "group.id": "tests", "log_level": 0})
    yield consumer
    consumer.close()


def test_its_offsets_are_asked_for_again(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    topics.fill(topic, numbered(3), 1)
    with a_consumer(topics) as consumer:
        offsets = Offsets(cast("Consumer", NotLedYet(2, consumer)), topic.name, 20)
        assert offsets.ranges([0, 1]) == {0: Range(0, 0), 1: Range(0, 3)}


@pytest.mark.parametrize(("leader", "said"), [(1, "the offsets of orders"), (-1, "Partition 0 of orders has no leader")])
def test_one_that_stays_without_a_leader_is_a_failure(leader: int, said: str) -> None:
    offsets = Offsets(cast("Consumer", NotLedYet(1_000, leader=leader)), "orders", 0.3)
    with pytest.raises(BrokercliError, match=said):
        offsets.ranges([0])


def test_among_many_it_is_asked_again_and_not_called_silent(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    topics.fill(topic, numbered(3), 0)
    topics.fill(topic, numbered(4), 1)
    places = [(topic.name, 0), (topic.name, 1)]
    admin = cast("AdminClient", NotLedYet(2, admin=topics.admin))
    assert held(admin, places, 20) == {(topic.name, 0): Range(0, 3), (topic.name, 1): Range(0, 4)}


def test_one_that_stays_without_a_leader_hides_no_other(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.backends.kafka.ends.PATIENCE_SECONDS", 0.0)
    topic = topics.make(partitions=2)
    admin = cast("AdminClient", NotLedYet(1_000, admin=topics.admin))
    assert held(admin, [(topic.name, 0), (topic.name, 1)], 20) == {(topic.name, 1): Range(0, 0)}


class Slow:
    """What of the client's knows nothing at first of a topic, and of a partition's leader the second time."""

    def __init__(self, admin: AdminClient) -> None:
        self.admin = admin
        self.asked: list[set[int]] = []
        self.known: list[dict[int, int]] = [{}, {0: 1, 1: -1}]

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.known:
            return SimpleNamespace(topics={topic: SimpleNamespace(partitions={number: SimpleNamespace(leader=leader)
                                                                              for number, leader in self.known.pop(0).items()})})
        return self.admin.list_topics(topic, timeout=timeout)

    def list_offsets(self, asked: dict[TopicPartition, Any], **more: Any) -> dict[TopicPartition, Future[Any]]:
        self.asked.append({place.partition for place in asked})
        return self.admin.list_offsets(asked, **more)


def test_offsets_are_asked_of_no_partition_whose_leader_the_client_does_not_know_yet(topics: Topics) -> None:
    # where it has to find that out itself, it may take the process with it
    topic = topics.make(partitions=2)
    topics.fill(topic, numbered(3), 1)
    slow = Slow(topics.admin)
    assert held(cast("AdminClient", slow), [(topic.name, 0), (topic.name, 1)], 20) == {(topic.name, 0): Range(0, 0), (topic.name, 1): Range(0, 3)}
    assert slow.asked == [{0}, {0}, {1}, {1}]


def test_partitions_that_are_added_are_told_by_a_connection_that_knew_the_topic_before(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 0})
    consumers = consumer_groups.consumers
    assert [lag.end for lag in consumers.lag(group)] == [0]
    topics.add_partitions(topic, 2)
    topics.fill(topic, numbered(3), 1)
    assert [lag.end for lag in consumers.lag(group)] == [0, 3]
