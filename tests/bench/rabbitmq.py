"""RabbitMQ beside amqp-tools, beside the fastest loops that pika allows, and beside the broker's own shovel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
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
        for home in ("bench.home", "bench.shovelled", "bench.work", "bench.shovelled.work"):
            channel.queue_declare(f"{home}.dlq", durable=True, arguments={"x-queue-type": "quorum"})
            dies = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{home}.dlq"} if home.endswith("work") else {}
            channel.queue_declare(home, durable=True, arguments={"x-queue-type": "quorum", **dies})
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
    yield [_redrive(server, "RabbitMQ dlq redrive with its journal, quorum to quorum, what a consumer rejected", "bench.work", "bench.shovelled.work",
                    _rejected(server, letters), _publish(server, "bench.ours", letters))]
    alike = ("-H", "x-original-queue=bench.home", "-H", "x-error-message=timeout")
    yield [_redrive(server, "RabbitMQ dlq redrive, quorum to quorum, what a consumer published with two headers", "bench.home", "bench.shovelled",
                    _published(server, letters, *alike), _publish(server, "bench.ours", letters))]
    own = write_own_letters(letters.with_name("own"), LETTERS, {"x-original-queue": "bench.home"}, {"content_type": "application/json", "delivery_mode": 2})
    yield [_redrive(server, "RabbitMQ dlq redrive, quorum to quorum, each letter with headers and an id of its own", "bench.home", "bench.shovelled",
                    _published(server, own, "--input", "json"),
                    _publish(server, "bench.ours", own, "--input", "json"), memory="RabbitMQ dlq redrive")]


def _redrive(server: RabbitMQ, work: str, ours: str, shovelled: str, fill: Callable[[str], None], publish: Command, memory: str = "") -> Case:
    """Return the comparison of putting letters back into the queue `ours`, and with the shovel into `shovelled`; `fill` puts them into the
    dead-letter queue of either."""
    def fresh(home: str) -> Callable[[int], Sequence[str]]:
        def prepare(number: int) -> Sequence[str]:
            _purge(server, home, f"{home}.dlq")
            fill(home)
            # the broker writes messages into a queue's own files once its log has been full: seconds of its processor time, in which run as it happens.
            # Letters that have lain for a while are there already
            server.evaluate("ra_log_wal:force_roll_over(ra_log_wal), timer:sleep(100), ra_log_segment_writer:await(ra_log_segment_writer).")
            return ()
        return prepare

    shovel = Command([sys.executable, str(_FOLDER / "shovel.py"), server.management, f"{shovelled}.dlq", shovelled], LETTERS, prepare=fresh(shovelled))
    return Case(f"{work} ({LETTERS:,})", "≥ 0.8 × the broker's shovel, on-confirm",
                brokercli_command(LETTERS, "dlq", "redrive", f"@bench/queue:{ours}.dlq", "--yes", prepare=fresh(ours)),
                [Peer("shovel", shovel), Peer("publish", publish)], at_least(0.8), memory)


def _published(server: RabbitMQ, letters: Path, *how: str) -> Callable[[str], None]:
    """Letters that a consumer published itself, like that."""
    def fill(home: str) -> None:
        run(_publish(server, f"{home}.dlq", letters, *how))

    return fill


def _rejected(server: RabbitMQ, letters: Path) -> Callable[[str], None]:
    """Letters that RabbitMQ itself took out of the queue where a consumer rejected them."""
    def fill(home: str) -> None:
        run(_publish(server, home, letters))
        reject = _loop("reject", server, home, LETTERS).command
        assert reject is not None
        run(reject)
        # a dead letter is on its way for a moment
        wait_until(lambda: _ready(server, f"{home}.dlq") == LETTERS, _PATIENCE, "dead letters")

    return fill


def _publish(server: RabbitMQ, queue: str, letters: Path, *how: str) -> Command:
    return brokercli_command(LETTERS, "publish", f"{server.address.rstrip('/')}/queue:{queue}", *how, stdin=letters)


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
