"""Redriving on Kafka when metadata once name no broker, after which librdkafka never speaks with one again.

A broker that its controller has not heard from for a while leaves itself out of the metadata that it answers with. Whoever asks in
that moment forgets every broker there is, and connects to none any more (librdkafka 2.16).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.exactly_once import ExactlyOnce
from brokercli.backends.kafka.repair import KafkaRepair
from tests.backends.kafka_redrive import letters, numbered, repair, stored, to
from tests.backends.kafka_topics import Topics, bodies
from tests.brokers.kafka import Kafka
from tests.brokers.server import HOST, free_port, wait_until
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.kafka


class Controlled:
    """A Kafka whose way to its controller can be held up."""

    def __init__(self, kafka: Kafka, controller: Proxy) -> None:
        self.kafka, self.controller = kafka, controller

    def named(self) -> bool:
        """Whether metadata name a broker."""
        # a new client each time: one that was told of none would never ask again
        with suppress(KafkaException):
            return bool(AdminClient({"bootstrap.servers": self.kafka.address, "log_level": 0}).list_topics(timeout=1).brokers)
        return False


@pytest.fixture
def controlled(tmp_path: Path) -> Iterator[Controlled]:
    """A Kafka that can be made to leave itself out of its metadata."""
    ports = {role: free_port() for role in Kafka.roles}
    with Proxy((HOST, ports["controller"])) as controller:
        kafka = Kafka(tmp_path / "kafka", ports=ports, settings={
            "controller.quorum.voters": f"1@{HOST}:{controller.port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{ports['client']},LOGIN://{HOST}:{ports['login']},CONTROLLER://{HOST}:{controller.port}"})
        kafka.start()
        try:
            yield Controlled(kafka, controller)
        finally:
            kafka.kill()


@pytest.fixture
def topics(controlled: Controlled) -> Iterator[Topics]:
    """Topics on it."""
    made = Topics(controlled.kafka.address)
    yield made
    made.close()


def deafen(run: KafkaRepair, controlled: Controlled) -> None:
    """Have the run's producer ask for metadata while they name no broker, and then have everything well again."""
    way = run._way
    assert isinstance(way, ExactlyOnce)
    controlled.controller.hold()
    try:
        wait_until(lambda: not controlled.named(), 30, "metadata without a broker")
        with suppress(KafkaException):
            way._transactions._producer.list_topics(timeout=5)
    finally:
        controlled.controller.heal()
    wait_until(controlled.named, 30, "metadata with the broker")


def test_a_producer_that_metadata_left_without_a_broker_is_replaced_and_no_letter_is_refused(controlled: Controlled, topics: Topics) -> None:
    dlq, home = topics.make(), topics.make()
    topics.fill(dlq, numbered(6))
    run = repair(topics, dlq, delivery_timeout=10.0)
    found = letters(run)
    assert run.settle(to(home, found[:2])).confirmed == 2
    deafen(run, controlled)
    for letter in found[2:]:
        assert run.settle(to(home, [letter])).confirmed == 1
    assert bodies(stored(topics, home)) == numbered(6)
