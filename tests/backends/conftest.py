"""Fixtures for the tests of one backend each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokercli.backends.nats.backend import NatsBackend
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_topics import Topics
from tests.backends.nats_guarded import GuardedNats
from tests.backends.nats_streams import Streams
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import OLDER_SUITE, RabbitMQ


@pytest.fixture
def topics(kafka_address: str) -> Iterator[Topics]:
    """Topics of one's own on the Kafka that all tests share."""
    made = Topics(kafka_address)
    yield made
    made.close()


@pytest.fixture
def groups(topics: Topics) -> Iterator[Topics]:
    """The topics, and the groups that keep the state of their letters are deleted at the end too."""
    yield topics
    topics.forget_letters()


@pytest.fixture
def consumer_groups(topics: Topics) -> Iterator[Groups]:
    """Groups of one's own on the Kafka that all tests share."""
    made = Groups(topics)
    yield made
    made.close()


@pytest.fixture(scope="session")
def guarded_kafka(servers: Callable[..., GuardedKafka]) -> GuardedKafka:
    """A Kafka with logins, TLS and permissions, for this worker."""
    return servers(GuardedKafka)


@pytest.fixture
def guarded_topics(guarded_kafka: GuardedKafka) -> Iterator[Topics]:
    """Topics of one's own on it, made by somebody who may."""
    made = Topics(guarded_kafka.address)
    yield made
    made.close()


@pytest.fixture
def guarded_groups(guarded_topics: Topics) -> Iterator[Groups]:
    """Groups of one's own on it, made by somebody who may."""
    made = Groups(guarded_topics)
    yield made
    made.close()


@pytest.fixture
def streams(nats_address: str) -> Iterator[Streams]:
    """Streams of one's own on the NATS that all tests share."""
    made = Streams(nats_address)
    yield made
    made.close()


@pytest.fixture
def private(private_nats: Nats) -> Iterator[Streams]:
    """Streams on a server that may be killed."""
    made = Streams(private_nats.address)
    yield made
    private_nats.resume()
    if not private_nats.running:
        private_nats.start()
    made.reconnect()
    made.close()


@pytest.fixture(scope="session")
def older_rabbitmq(servers: Callable[..., RabbitMQ]) -> RabbitMQ:
    """RabbitMQ 4.0, which counts what is returned in another way. Its root folder is fetched the first time a test asks."""
    return servers(RabbitMQ, release=OLDER_SUITE)


@pytest.fixture
def virtual_host() -> str:
    """Where queues are made; tests that others would meddle with say one of their own instead."""
    return "/"


# the first test that asks for the older one has it fetched, on a machine that has not got it yet
@pytest.fixture(params=["4.3", pytest.param("4.0", marks=[pytest.mark.xdist_group("older_rabbitmq"), pytest.mark.timeout(600)])])
def versions(request: pytest.FixtureRequest, virtual_host: str) -> Iterator[Places]:
    """Queues of one's own on each RabbitMQ that treats letters in its own way; the test is to be marked with rabbitmq."""
    if request.param == "4.0":
        older = request.getfixturevalue("older_rabbitmq")
        made = Places(older.address, older.management, virtual_host)
    else:
        made = Places(request.getfixturevalue("rabbitmq_address"), request.getfixturevalue("rabbitmq_management"), virtual_host)
    yield made
    made.close()


@pytest.fixture(scope="session")
def guarded_nats(servers: Callable[..., GuardedNats]) -> GuardedNats:
    """A NATS with logins and permissions, for this worker."""
    return servers(GuardedNats)


@pytest.fixture
def administered(guarded_nats: GuardedNats) -> Iterator[Streams]:
    """Streams on it, made by somebody who may."""
    made = guarded_nats.streams()
    yield made
    made.close()


@pytest.fixture
def who_looks(guarded_nats: GuardedNats) -> Iterator[NatsBackend]:
    """A connection to it of somebody who may ask about one stream or consumer, and nothing else."""
    with NatsBackend(guarded_nats.login("looks")) as backend:
        yield backend


@pytest.fixture
def places(rabbitmq_address: str, rabbitmq_management: str, virtual_host: str) -> Iterator[Places]:
    """Queues, streams and exchanges of one's own on the RabbitMQ that all tests share."""
    made = Places(rabbitmq_address, rabbitmq_management, virtual_host)
    yield made
    made.close()


@pytest.fixture
def declared(places: Places) -> Iterator[Declared]:
    """Declarations of one's own on the RabbitMQ that all tests share."""
    made = Declared(places)
    yield made
    made.close()
