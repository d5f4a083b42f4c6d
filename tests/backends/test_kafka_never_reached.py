"""A broker that takes questions, and tells clients to publish at an address that does not work from here."""

from __future__ import annotations

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.kafka.publish import KafkaPublisher
from brokercli.backends.kafka.publish_bodies import KafkaBodyPublisher
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.connection import Connection
from brokercli.model.errors import Unreachable
from brokercli.operations.publishing import Publishing
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_topics import IN_PARTS, Topics
from tests.brokers.server import HOST, wait_until

pytestmark = pytest.mark.kafka


@IN_PARTS
def test_what_is_published_there_never_left_and_the_address_is_named(guarded_kafka: GuardedKafka, guarded_topics: Topics, in_parts: bool) -> None:
    topic = guarded_topics.make()
    connection = Connection("kafka", ((HOST, guarded_kafka.ports["misleading"]),), connect_timeout=10)
    opened: list[KafkaPublisher] = []

    def opens() -> bool:
        # it may be seen while it connects, too
        try:
            settings = TopicSettings()
            opened.append(KafkaBodyPublisher(connection, topic.name, PublishPolicy(delivery_timeout=4, bodies_only=True), settings, 1) if in_parts
                          else KafkaPublisher(connection, topic.name, PublishPolicy(delivery_timeout=4), settings))
        except Unreachable:
            return False
        return True

    wait_until(opens, 60, "a connection to the one address that works")
    with opened[0] as publisher:
        run = Publishing(publisher, delivery_timeout=4)
        run.send([b"one", b"two"])
        run.settle()
        where = f"{HOST}:{guarded_kafka.ports['nothing']}, and from here that fails: connection refused."
        assert (run.outcome.account.refused, run.outcome.account.unknown) == (2, 0)
        assert isinstance(run.outcome.error, Unreachable)
        assert where in str(run.outcome.error)
        assert [note for note in publisher.notes if where in note] == [str(run.outcome.error)]
