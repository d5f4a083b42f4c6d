"""Consumers that are done with: they fetch no more, and are closed when no answer to a fetch can be on its way."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokercli.backends.kafka.retired import Retired
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


def test_one_that_is_done_with_fetches_no_more(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(1))
    consumer, other = at_the_end_of(topic, topics), at_the_end_of(topic, topics)
    Retired(60).retire(consumer)
    topics.fill(topic, numbered(1))
    wait_until(lambda: other.poll(0.1) is not None, 20, "the other record")
    assert consumer.poll(0.2) is None
    consumer.close()
    other.close()


def test_it_is_closed_when_it_has_rested_and_the_next_one_comes(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(1))
    retired = Retired(0)
    first, second = at_the_end_of(topic, topics), at_the_end_of(topic, topics)
    retired.retire(first)
    assert first.poll(0) is None, "an answer to its last fetch may still come"
    retired.retire(second)
    with pytest.raises(RuntimeError, match="closed"):
        first.poll(0)
    assert second.poll(0) is None
    second.close()


def test_it_is_not_closed_before_it_has_rested(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(1))
    retired = Retired(60)
    consumers = [at_the_end_of(topic, topics) for _ in range(3)]
    for consumer in consumers:
        retired.retire(consumer)
    assert [consumer.poll(0) for consumer in consumers] == [None, None, None]
    for consumer in consumers:
        consumer.close()
