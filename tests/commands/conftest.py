"""A fresh place to publish to and replay from on each broker, made with the broker's own client, named by a whole URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.brokers.server import wait_until
from tests.commandline import CommandLine
from tests.native.nats import CANNOT_STORE

if TYPE_CHECKING:
    from tests.backends.kafka_topics import Topics
    from tests.backends.nats_streams import Streams
    from tests.commands.dead_letters import Graveyard
    from tests.native.memory import MemoryBroker

STORED = ("kafka", "nats", "rabbitmq")
PATIENCE = 30


@dataclass(frozen=True, slots=True)
class Place:
    """One topic, JetStream subject or RabbitMQ stream. `url` is its address with its broker."""

    broker: str
    url: str
    name: str
    server: str


def make_kafka(server: str, name: str, partitions: int = 1) -> Place:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": server})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
    # the controller answers before the broker has heard of it
    wait_until(lambda: name in admin.list_topics(timeout=30).topics, 30, f"the topic {name}")
    return Place("kafka", f"kafka://{server}/{name}", name, f"kafka://{server}")


def make_nats(server: str, name: str) -> Place:
    import nats
    from nats.js.errors import APIError

    async def make() -> None:
        client = await nats.connect(server, connect_timeout=PATIENCE)
        jetstream = client.jetstream(timeout=PATIENCE)
        try:
            await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
        except APIError as problem:
            if problem.err_code != CANNOT_STORE:
                raise
            await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
        await client.close()

    asyncio.run(make())
    return Place("nats", f"{server}/{name}.created", f"{name}.created", server)


def make_rabbitmq(server: str, name: str, kind: str = "stream", **arguments: object) -> Place:
    import pika

    with pika.BlockingConnection(pika.URLParameters(server)) as connection:
        given = {"x-queue-type": kind} | {f"x-{argument.replace('_', '-')}": value for argument, value in arguments.items()}
        connection.channel().queue_declare(name, durable=True, arguments=given)
    root = server.rstrip("/")
    return Place("rabbitmq", f"{root}/{'stream' if kind == 'stream' else 'queue'}:{name}", name, root)


def unmake(place: Place) -> None:
    if place.broker == "kafka":
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": urlsplit(place.server).netloc})  # its futures die with it
        admin.delete_topics([place.name])[place.name].result(30)
    elif place.broker == "nats":
        import nats

        async def remove() -> None:
            client = await nats.connect(place.server, connect_timeout=PATIENCE)
            await client.jetstream(timeout=PATIENCE).delete_stream(place.name.partition(".")[0])
            await client.close()

        asyncio.run(remove())
    else:
        import pika

        with pika.BlockingConnection(pika.URLParameters(place.server + "/")) as connection:
            connection.channel().queue_delete(place.name)


@pytest.fixture
def make_place(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Iterator[Callable[..., Place]]:
    """Make a place on a broker by its name: `make_place("kafka", partitions=3)`."""
    made: list[Place] = []

    def make(broker: str, **options: object) -> Place:
        makers: dict[str, Callable[..., Place]] = {"kafka": make_kafka, "nats": make_nats, "rabbitmq": make_rabbitmq}
        made.append(makers[broker](request.getfixturevalue(f"{broker}_address"), unique("cmd"), **options))
        return made[-1]

    yield make
    for place in made:
        unmake(place)


@pytest.fixture(params=[pytest.param(broker, marks=getattr(pytest.mark, broker)) for broker in STORED])
def place(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> Place:
    """The same test on each broker."""
    return make_place(request.param)


@pytest.fixture(params=[pytest.param(broker, marks=getattr(pytest.mark, broker)) for broker in STORED])
def graveyard(request: pytest.FixtureRequest, cli: CommandLine, unique: Callable[[str], str]) -> Iterator[Graveyard]:
    """A home and its empty DLQ, on each broker in turn."""
    from tests.commands.dead_letters import make_graveyard

    made = make_graveyard(cli, request.getfixturevalue(f"{request.param}_address").rstrip("/"), request.param, unique("dlq"))
    yield made
    unmake(made.home)
    unmake(made.dlq)


@pytest.fixture
def topics(kafka_address: str) -> Iterator[Topics]:
    """Topics of one's own on the Kafka that all tests share."""
    from tests.backends.kafka_topics import Topics

    made = Topics(kafka_address)
    yield made
    made.forget_letters()
    made.close()


@pytest.fixture
def streams(nats_address: str) -> Iterator[Streams]:
    """Streams of one's own on the NATS that all tests share."""
    from tests.backends.nats_streams import Streams

    made = Streams(nats_address)
    yield made
    made.close()


@pytest.fixture
def memory(cli: CommandLine, memory_address: str) -> Iterator[MemoryBroker]:
    """The memory broker, chosen for every command."""
    from tests.native.memory import MemoryBroker

    cli.extra["BROKERCLI_URL"] = memory_address
    host, _, port = memory_address.removeprefix("memory://").partition(":")
    broker = MemoryBroker(host, int(port))
    yield broker
    broker.close()
