"""`brokercli dlq` on letters that the brokers make themselves: dead-lettered queues, given-up deliveries, recorded advisories."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pika
import pytest

from tests.backends.nats_streams import Streams
from tests.backends.nats_workers import ACK, fail, work
from tests.brokers.server import wait_until
from tests.commandline import CommandLine
from tests.commands.conftest import Place
from tests.commands.dead_letters import drain


@pytest.fixture
def rejected(rabbitmq_address: str, unique: Callable[[str], str]) -> Iterator[tuple[Place, Place]]:
    """A queue whose two messages were rejected, and the queue they were dead-lettered to."""
    name, server = unique("native"), rabbitmq_address.rstrip("/")
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_address)) as connection:
        channel = connection.channel()
        channel.queue_declare(f"{name}.dlq", durable=True)
        channel.queue_declare(name, durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}.dlq"})
        for body in (b"a", b"b"):
            channel.basic_publish("", name, body, pika.BasicProperties(message_id=body.decode(), headers={"x-tenant": "shop"}))
        for _ in range(2):
            method = None
            while method is None:
                method, _, _ = channel.basic_get(name)
            channel.basic_reject(method.delivery_tag, requeue=False)
        while channel.queue_declare(f"{name}.dlq", passive=True).method.message_count < 2:
            connection.process_data_events(0.01)
        yield Place("rabbitmq", f"{server}/queue:{name}", name, server), Place("rabbitmq", f"{server}/queue:{name}.dlq", f"{name}.dlq", server)
        channel.queue_delete(name)
        channel.queue_delete(f"{name}.dlq")


def test_rejected_messages_go_back_to_the_queue_that_rejected_them(cli: CommandLine, rejected: tuple[Place, Place]) -> None:
    home, dlq = rejected
    (group,) = [orjson.loads(line) for line in cli("dlq", "inspect", dlq.url, "-o", "json").lines]
    assert (group["count"], group["reason"], group["origin"]) == (2, "rejected", f"queue:{home.name}")
    ended = cli("dlq", "redrive", dlq.url, "--yes")
    assert ended.code == 0, ended.stderr
    assert "redriven: read 2, confirmed 2" in ended.stderr
    assert drain(dlq) == []
    assert drain(home) == [b"a", b"b"]


def test_dropped_letters_are_published_back_with_what_the_broker_wrote_of_their_death(cli: CommandLine, rejected: tuple[Place, Place]) -> None:
    home, dlq = rejected
    assert cli("dlq", "drop", dlq.url, "--yes", "--journal", "kept").code == 0
    assert cli("dlq", "inspect", dlq.url, "-o", "json").lines == []
    assert cli("publish", dlq.url, "--input", "json", "--keep-control-headers", "-f", "kept").code == 0
    (group,) = [orjson.loads(line) for line in cli("dlq", "inspect", dlq.url, "-o", "json").lines]
    assert (group["count"], group["reason"], group["origin"]) == (2, "rejected", f"queue:{home.name}")


def test_letters_of_a_queue_are_named_by_their_message_ids(cli: CommandLine, rejected: tuple[Place, Place]) -> None:
    home, dlq = rejected
    (group,) = [orjson.loads(line) for line in cli("dlq", "inspect", dlq.url, "-o", "json").lines]
    assert group["sample"] == "a"
    assert b"message_id" in cli("dlq", "show", group["sample"], dlq.url).stdout
    (cli.home / "ids").write_text("b\n")
    ended = cli("dlq", "redrive", dlq.url, "--ids", "ids", "--yes")
    assert ended.code == 0, ended.stderr
    assert drain(home) == [b"b"]
    assert drain(dlq) == [b"a"]


class Worker:
    """A consumer that gives everything up, and can be mended."""

    def __init__(self, server: str, name: str) -> None:
        self.server = server
        self.name = name

    def fail(self) -> None:
        """Take what there is, and refuse each message as often as it comes."""
        fail(self.server, self.name)

    def take(self) -> list[bytes]:
        """Take what there is, and acknowledge it."""
        return work(self.server, self.name, "worker", lambda body: ACK)


@pytest.fixture
def worker(nats_address: str, streams: Streams) -> Worker:
    """A work-queue stream, two of whose messages a consumer has given up, with nobody who wrote that down."""
    worker = Worker(nats_address, streams.make("workqueue"))
    streams.deleted_at_the_end(f"{worker.name}_DLQ")
    streams.worker(worker.name, max_deliver=1)
    streams.fill(f"{worker.name.lower()}.created", [b"a", b"b"])
    worker.fail()
    return worker


def test_messages_that_were_given_up_without_a_record_are_found_and_delivered_again(cli: CommandLine, worker: Worker) -> None:
    url = f"{worker.server}/stream:{worker.name}"
    (group,) = [orjson.loads(line) for line in cli("dlq", "inspect", url, "-o", "json").lines]
    assert (group["count"], group["dialect"], group["origin"]) == (2, "jetstream without record", f"subject:{worker.name.lower()}.created")
    ended = cli("dlq", "redrive", url, "--yes")
    assert ended.code == 0, ended.stderr
    assert "redriven: read 2, confirmed 2" in ended.stderr
    assert worker.take() == [b"a", b"b"]
    assert "read 0" in cli("dlq", "redrive", url, "--yes").stderr


def test_captured_advisories_lead_to_the_messages_they_are_about(cli: CommandLine, worker: Worker, streams: Streams) -> None:
    assert cli("dlq", "redrive", f"{worker.server}/stream:{worker.name}", "--yes").code == 0
    source = f"{worker.server}/stream:{worker.name}"
    assert cli("dlq", "capture", source).code == 8
    declared = cli("dlq", "capture", source, "--yes")
    assert declared.code == 0, declared.stderr
    assert cli("dlq", "capture", source).code == 0  # it is there already
    worker.fail()
    # the server tells of a death a moment after it
    wait_until(lambda: streams.state(f"{worker.name}_DLQ")["messages"] == 2, 60, "the record of two deaths")
    dlq = f"{worker.server}/stream:{worker.name}_DLQ"
    (group,) = [orjson.loads(line) for line in cli("dlq", "inspect", dlq, "-o", "json").lines]
    assert (group["count"], group["origin"]) == (2, f"subject:{worker.name.lower()}.created")
    assert b"a" in cli("dlq", "show", "#1", dlq).stdout
    ended = cli("dlq", "redrive", dlq, "--yes")
    assert ended.code == 0, ended.stderr
    assert worker.take() == [b"a", b"b"]
    assert "read 0" in cli("dlq", "redrive", dlq, "--yes").stderr
