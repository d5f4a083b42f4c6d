"""JetStream beside natscli."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats as client

from tests.bench.cases import SAME_LETTERS, Case, Peer, Together, at_least
from tests.bench.letters import write_alike_letters, write_own_letters
from tests.bench.measure import run
from tests.bench.tools import brokercli_command, peer
from tests.brokers.nats import Nats

LETTERS = 100_000


def cases(server: Nats, lines: Path, few: Path, letters: Path, count: int) -> Iterator[Together]:
    """Yield the comparisons, their streams filled; `letters` are the bodies of LETTERS dead letters."""
    address = server.address
    asyncio.run(_make(address))
    run(brokercli_command(count, "publish", f"{address}/bench.created", stdin=lines))
    sub = peer("nats sub --raw", "nats", ["-s", address, "sub", "bench.>", "--stream", "BENCH", "--all", "-T", "--raw"], count)
    yield [Case(f"JetStream replay, bodies ({count:,})", "≥ 3 × nats sub --stream --raw", brokercli_command(count, "replay", f"{address}/stream:BENCH"),
                [sub], at_least(3)),
           Case(f"JetStream replay, envelope ({count:,})", "≥ 2 × nats sub --stream --raw",
                brokercli_command(count, "replay", f"{address}/stream:BENCH", "-o", "json"), [sub], at_least(2))]
    publish = brokercli_command(count, "publish", f"{address}/ours.created", stdin=lines)
    fewer = 1000
    yield [Case(f"JetStream publish lines, confirmed ({count:,})", "≥ 15 × nats pub -J --send-on newline", publish,
                [peer(f"nats pub -J, {fewer:,} lines", "nats", ["-s", address, "pub", "-J", "--send-on", "newline", "-q", "peer.created"], fewer, few)],
                at_least(15)),
           Case(f"JetStream publish, confirmed ({count:,})", "≥ 1 × nats bench js pub async", publish,
                [peer("nats bench js pub async", "nats", ["-s", address, "bench", "js", "pub", "async", "--stream", "PEERASYNC", "--msgs", str(count),
                                                          "--size", "94B", "--no-progress", "bench2.created"], count)], at_least(1))]

    headers = {"X-Original-Subject": "home.created", "X-Dead-Letter-Reason": "timeout"}
    same = write_alike_letters(letters.with_name("same"), letters, headers)

    def fill(number: int) -> Sequence[str]:
        # what was put back is gone from the stream
        run(brokercli_command(LETTERS, "publish", f"{address}/dlq.bench", "--input", "json", stdin=same))
        return ()

    yield [Case(f"JetStream dlq redrive with its journal ({LETTERS:,})", SAME_LETTERS,
                brokercli_command(LETTERS, "dlq", "redrive", f"{address}/stream:DLQ", "--yes", prepare=fill),
                [Peer("publish of the same letters, from envelopes",
                      brokercli_command(LETTERS, "publish", f"{address}/ours.created", "--input", "json", stdin=same)),
                 Peer("publish of their bodies, as lines", brokercli_command(LETTERS, "publish", f"{address}/ours.created", stdin=letters))], at_least(0.5))]
    own = write_own_letters(letters.with_name("own"), LETTERS, {"x-original-subject": "home.created"})

    def fill_with_own(number: int) -> Sequence[str]:
        run(brokercli_command(LETTERS, "publish", f"{address}/dlq.bench", "--input", "json", stdin=own))
        return ()

    yield [Case(f"JetStream dlq redrive, each letter with headers of its own ({LETTERS:,})", SAME_LETTERS,
                brokercli_command(LETTERS, "dlq", "redrive", f"{address}/stream:DLQ", "--yes", prepare=fill_with_own),
                [Peer("publish of the same letters, from envelopes", brokercli_command(LETTERS, "publish", f"{address}/ours.created", "--input", "json",
                                                                                       stdin=own))], at_least(0.5), "JetStream dlq redrive")]


async def _make(address: str) -> None:
    connection = await client.connect(address)
    for name, subject in (("BENCH", "bench.>"), ("OURS", "ours.>"), ("PEER", "peer.>"), ("PEERASYNC", "bench2.>"), ("LARGE", "large.>"),
                          ("DLQ", "dlq.>"), ("HOME", "home.>")):
        await connection.jetstream().add_stream(name=name, subjects=[subject])
    await connection.close()
