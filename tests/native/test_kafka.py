"""What a test made on the Kafka that all tests share is gone once it was deleted: the listings of others would grow by it."""

from __future__ import annotations

from tests.native.kafka import SECONDS, KafkaBroker


def test_a_topic_that_was_deleted_is_not_made_anew_by_the_clients_that_ask_for_it(kafka_address: str) -> None:
    host, _, port = kafka_address.rpartition(":")
    broker = KafkaBroker(host, int(port))
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
    broker.clean()
    broker.close()
