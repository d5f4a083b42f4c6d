"""Consumers that are done with: they fetch no more, and are closed when no answer to a fetch can be on its way."""

from __future__ import annotations

from threading import Thread
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokercli.backends.kafka.retired import retire
from brokercli.model.address import Address
from tests.backends.kafka_redrive import numbered
from tests.backends.kafka_topics import Topics
from tests.brokers.server import wait_until

pytestmark = pytest.mark.kafka


def at_the_end_of(topic: Address, topics: Topics) -> Consumer:
    """Return a consumer that has read everything, and goes on asking for more."""
    consumer = Consumer({"bootstrap.servers": topics.address, "group.id": "tests", "enable.auto.commit": False, "log_level": 0})
    consumer.assign([TopicPartition(topic.name, 0, 0)])
    wait_until(lambda: consumer.poll(0.1) is not None, 20, "a record")
    return consumer


def is_closed(consumer: Consumer) -> bool:
    """Whether it is: it says so of whatever is asked."""
    try:
        consumer.assignment()
    except RuntimeError:
        return True
    return False


def test_one_that_is_done_with_is_closed_in_a_while(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(1))
    consumer = at_the_end_of(topic, topics)
    retire(consumer)
    wait_until(lambda: is_closed(consumer), 20, "its end")


def test_it_fetches_no_more_before_that(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(1))
    paused: list[list[TopicPartition]] = []

    class Watched:
        """A consumer of which it is seen what is asked of it, and in which order."""

        def __init__(self, consumer: Consumer) -> None:
            self.assignment, self._consumer = consumer.assignment, consumer

        def pause(self, partitions: list[TopicPartition]) -> None:
            self._consumer.pause(partitions)
            paused.append(partitions)

        def close(self) -> None:
            assert paused
            self._consumer.close()

    consumer = at_the_end_of(topic, topics)
    retire(Watched(consumer))
    assert [(place.topic, place.partition) for place in paused[0]] == [(topic.name, 0)]
    wait_until(lambda: is_closed(consumer), 20, "its end")


def test_where_there_is_no_room_for_another_thread_one_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    retire(SimpleNamespace(assignment=list, pause=lambda partitions: None))
