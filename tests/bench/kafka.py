"""Kafka beside kcat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from tests.bench.cases import Case, Peer, at_most
from tests.bench.measure import Command, run
from tests.bench.tools import brokercli, find
from tests.brokers.kafka import Kafka


def cases(server: Kafka, lines: Path, few: Path, count: int) -> Iterator[Case]:
    """Yield the comparisons, their topics filled."""
    address = server.address
    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in ("bench", "bench.small", "bench.in.ours", "bench.in.peer")]).values():
        future.result(30)
    run(Command(brokercli("publish", f"kafka://{address}/bench"), count, lines))
    run(Command(brokercli("publish", f"kafka://{address}/bench.small"), 1000, few))
    kcat = find("kcat")
    read = [kcat, "-b", address, "-C", "-q", "-e", "-o", "beginning", "-t"]
    yield Case(f"Kafka replay, bodies ({count:,})", "≤ 0.6 of kcat", Command(brokercli("replay", f"kafka://{address}/bench"), count),
               [Peer("kcat", Command([*read, "bench"], count))], at_most(0.6))
    yield Case(f"Kafka replay, envelope ({count:,})", "≤ 0.35 of kcat -J", Command(brokercli("replay", f"kafka://{address}/bench", "-o", "json"), count),
               [Peer("kcat -J", Command([*read, "bench", "-J"], count))], at_most(0.35))
    yield Case("Kafka replay of 1,000", "≤ 0.4 of kcat", Command(brokercli("replay", f"kafka://{address}/bench.small"), 1000),
               [Peer("kcat", Command([*read, "bench.small"], 1000))], at_most(0.4))
    yield Case(f"Kafka publish lines, confirmed ({count:,})", "≤ 1.5 of kcat -P, acks=all, idempotent",
               Command(brokercli("publish", f"kafka://{address}/bench.in.ours"), count, lines),
               [Peer("kcat -P", Command([kcat, "-b", address, "-P", "-t", "bench.in.peer", "-X", "acks=all", "-X", "enable.idempotence=true"], count, lines))],
               at_most(1.5))
