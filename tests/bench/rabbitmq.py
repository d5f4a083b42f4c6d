"""RabbitMQ beside amqp-tools, beside the fastest loops that pika allows, and beside the broker's own shovel."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pika

from tests.bench.cases import Case, Peer, Together, at_least
from tests.bench.letters import write_own_letters
from tests.bench.measure import Command, run
from tests.bench.tools import brokercli, brokercli_command, peer
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import wait_until

LETTERS = 100_000
_PATIENCE = 60.0
_FOLDER = Path(__file__).parent


def cases(server: RabbitMQ, lines: Path, letters: Path, count: int) -> Iterator[Together]:
    """Yield the comparisons, their queues filled; `letters` are the bodies of LETTERS dead letters."""
    address = server.address.rstrip("/")
    with pika.BlockingConnection(pika.URLParameters(server.address)) as connection:
        channel = connection.channel()
        channel.queue_declare("bench", durable=True, arguments={"x-queue-type": "stream"})
        for name in ("bench.ours", "bench.peer", "bench.loop"):
            # the bound keeps what earlier runs published from slowing later ones
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic", "x-max-length": count})
        channel.queue_declare("bench.read.dlq", durable=True, arguments={"x-queue-type": "classic"})
        for name in ("bench.home", "bench.dlq", "bench.shovelled", "bench.shovelled.dlq"):
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    run(brokercli_command(count, "publish", f"{address}/stream:bench", stdin=lines))
    yield [Case(f"RabbitMQ publish, confirmed and mandatory ({count:,})", "≥ 0.8 of the fastest pika loop",
                brokercli_command(count, "publish", f"{address}/queue:bench.ours", stdin=lines),
                [_loop("publish", server, "bench.loop", count, lines),
                 peer("amqp-publish, unconfirmed", "amqp-publish", ["-u", address, "-r", "bench.peer", "-l"], count, lines),
                 Peer("rabtap", None, "the Go module proxy has no version of it")], at_least(0.8))]
    yield [Case(f"RabbitMQ stream replay ({count:,})", "≥ 0.8 of the fastest pika loop", brokercli_command(count, "replay", f"{address}/stream:bench"),
                [_loop("stream", server, "bench", count)], at_least(0.8))]
    run(brokercli_command(LETTERS, "publish", f"{address}/queue:bench.read.dlq", "-H", "x-original-queue=bench.home", "-H", "x-error-message=timeout",
                          stdin=letters))
    export = lines.with_name("exported")

    def away(number: int) -> Sequence[str]:
        export.unlink(missing_ok=True)
        # the peer ends once the broker has heard that all go back, four times in six before they are back, and that is its time and not ours
        wait_until(lambda: _ready(server, "bench.read.dlq") == LETTERS, _PATIENCE, "what the peer has put back")
        return [str(export), f"{address}/queue:bench.read.dlq"]

    yield [Case(f"RabbitMQ classic queue read: dlq export, all held and put back ({LETTERS:,})", "≥ 0.8 of the fastest pika loop",
                Command(brokercli("dlq", "export"), LETTERS, prepare=away), [_loop("queue", server, "bench.read.dlq", LETTERS)], at_least(0.8))]
    # on a quorum queue it asks the management API how often a letter may come back
    run(Command(brokercli("context", "add", "bench", "--url", server.address, "--management", server.management), 1))
    yield [_redrive(server, address, "RabbitMQ dlq redrive with its journal, quorum to quorum", letters,
                    "-H", "x-original-queue=bench.home", "-H", "x-error-message=timeout")]
    own = write_own_letters(letters.with_name("own"), LETTERS, {"x-original-queue": "bench.home"}, {"content_type": "application/json", "delivery_mode": 2})
    yield [_redrive(server, address, "RabbitMQ dlq redrive, quorum to quorum, each letter with headers and an id of its own", own, "--input", "json")]


def _redrive(server: RabbitMQ, address: str, work: str, letters: Path, *how: str) -> Case:
    """Return the comparison of putting back `letters`, which are published like that."""
    def fill(queue: str) -> None:
        run(brokercli_command(LETTERS, "publish", f"{address}/queue:{queue}", *how, stdin=letters))
        # the broker writes messages into a queue's own files once its log has been full: seconds of its processor time, in which run as it happens.
        # Letters that have lain for a while are there already
        server.evaluate("ra_log_wal:force_roll_over(ra_log_wal), timer:sleep(100), ra_log_segment_writer:await(ra_log_segment_writer).")

    def fresh(number: int) -> Sequence[str]:
        _purge(server, "bench.home", "bench.dlq")
        fill("bench.dlq")
        return ()

    def fresh_for_the_shovel(number: int) -> Sequence[str]:
        _purge(server, "bench.shovelled", "bench.shovelled.dlq")
        fill("bench.shovelled.dlq")
        return ()

    shovel = Command([sys.executable, str(_FOLDER / "shovel.py"), server.management, "bench.shovelled.dlq", "bench.shovelled"], LETTERS,
                     prepare=fresh_for_the_shovel)
    # the bodies alone, or the envelopes
    publish = brokercli_command(LETTERS, "publish", f"{address}/queue:bench.ours", *(how if "json" in how else ()), stdin=letters)
    return Case(f"{work} ({LETTERS:,})", "≥ 0.8 × the broker's shovel, on-confirm",
                brokercli_command(LETTERS, "dlq", "redrive", "@bench/queue:bench.dlq", "--yes", prepare=fresh),
                [Peer("shovel", shovel), Peer("publish", publish)], at_least(0.8), "RabbitMQ dlq redrive" if "json" in how else "")


def _loop(what: str, server: RabbitMQ, queue: str, count: int, stdin: Path | None = None) -> Peer:
    return Peer("pika select loop", Command([sys.executable, str(_FOLDER / "pika_loop.py"), what, server.address, queue, str(count)], count, stdin))


def _ready(server: RabbitMQ, queue: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(server.address)) as connection:
        ready: int = connection.channel().queue_declare(queue, passive=True).method.message_count
        return ready


def _purge(server: RabbitMQ, *queues: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(server.address)) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_purge(queue)
