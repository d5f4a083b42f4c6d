"""RabbitMQ beside amqp-tools and beside the fastest loop that pika allows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pika

from tests.bench.cases import Case, Peer, at_least
from tests.bench.measure import Command, run
from tests.bench.tools import brokercli, find
from tests.brokers.rabbitmq import RabbitMQ

LOOP = str(Path(__file__).with_name("pika_loop.py"))


def cases(server: RabbitMQ, lines: Path, count: int) -> Iterator[Case]:
    """Yield the comparisons, their queues filled."""
    address = server.address.rstrip("/")
    with pika.BlockingConnection(pika.URLParameters(server.address)) as connection:
        channel = connection.channel()
        channel.queue_declare("bench", durable=True, arguments={"x-queue-type": "stream"})
        for name in ("bench.ours", "bench.peer", "bench.loop"):
            # the bound keeps what earlier runs published from slowing later ones
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic", "x-max-length": count})
    run(Command(brokercli("publish", f"{address}/stream:bench"), count, lines))
    yield Case(f"RabbitMQ publish, confirmed and mandatory ({count:,})", "≥ 10 × rabtap pub --confirms --mandatory",
               Command(brokercli("publish", f"{address}/queue:bench.ours"), count, lines),
               [Peer("pika select loop, confirmed", Command([sys.executable, LOOP, "publish", server.address, "bench.loop", str(count)], count, lines)),
                Peer("amqp-publish, unconfirmed", Command([find("amqp-publish"), "-u", server.address, "-r", "bench.peer", "-l"], count, lines)),
                Peer("rabtap", None, "the Go module proxy has no version of it")], at_least(0.8))
    yield Case(f"RabbitMQ stream replay ({count:,})", "≥ 0.8 of the fastest pika loop", Command(brokercli("replay", f"{address}/stream:bench"), count),
               [Peer("pika select loop", Command([sys.executable, LOOP, "stream", server.address, "bench", str(count)], count))], at_least(0.8))
