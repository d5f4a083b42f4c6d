"""JetStream beside natscli."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats as client

from tests.bench.cases import Case, Peer, at_least
from tests.bench.measure import Command, run
from tests.bench.tools import brokercli, find
from tests.brokers.nats import Nats


def cases(server: Nats, lines: Path, few: Path, count: int) -> Iterator[Case]:
    """Yield the comparisons, their streams filled."""
    address = server.address
    asyncio.run(_make(address))
    run(Command(brokercli("publish", f"{address}/bench.created"), count, lines))
    tool = find("nats")
    read = [tool, "-s", address, "sub", "bench.>", "--stream", "BENCH", "--all", "-T", "--raw"]
    by_line = [tool, "-s", address, "pub", "-J", "--send-on", "newline", "-q"]
    in_bulk = [tool, "-s", address, "bench", "js", "pub", "async", "--stream", "PEERASYNC", "--msgs", str(count), "--size", "94B", "--no-progress"]
    fewer = 1000
    yield Case(f"JetStream replay, bodies ({count:,})", "≥ 3 × nats sub --stream --raw", Command(brokercli("replay", f"{address}/stream:BENCH"), count),
               [Peer("nats sub --raw", Command(read, count))], at_least(3))
    yield Case(f"JetStream replay, envelope ({count:,})", "≥ 2 × nats sub --stream --raw",
               Command(brokercli("replay", f"{address}/stream:BENCH", "-o", "json"), count),
               [Peer("nats sub --raw", Command(read, count))], at_least(2))
    publish = Command(brokercli("publish", f"{address}/ours.created"), count, lines)
    yield Case(f"JetStream publish lines, confirmed ({count:,})", "≥ 15 × nats pub -J --send-on newline", publish,
               [Peer(f"nats pub -J, {fewer:,} lines", Command([*by_line, "peer.created"], fewer, few))], at_least(15))
    yield Case(f"JetStream publish, confirmed ({count:,})", "≥ 1 × nats bench js pub async", publish,
               [Peer("nats bench js pub async", Command([*in_bulk, "bench2.created"], count))], at_least(1))


async def _make(address: str) -> None:
    connection = await client.connect(address)
    for name, subject in (("BENCH", "bench.>"), ("OURS", "ours.>"), ("PEER", "peer.>"), ("PEERASYNC", "bench2.>")):
        await connection.jetstream().add_stream(name=name, subjects=[subject])
    await connection.close()
