"""What a test made on the Kafka that all tests share is gone once it was deleted: the listings of others would grow by it."""

from __future__ import annotations

import pytest

from tests.native.harness import Broker
from tests.native.kafka import SECONDS, KafkaBroker


@pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
def test_a_topic_that_was_deleted_is_not_made_anew_by_the_clients_that_ask_for_it(broker: Broker) -> None:
    assert isinstance(broker, KafkaBroker)
    topic = broker.make("topic")
    topic.put([b"one"])
    broker.clean()
    broker.admin.delete_topics([topic.address.name], operation_timeout=SECONDS)[topic.address.name].exception(SECONDS)
    for client in (broker.producer, broker.admin) * 2:
        # as a producer does by itself every five minutes
        client.list_topics(topic.address.name, timeout=SECONDS)
        # what a broker makes because somebody asked for it is there a moment after the answer
        broker.make("topic")
    assert not broker.topic_exists(topic.address.name)
