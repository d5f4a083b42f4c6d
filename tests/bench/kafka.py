"""Kafka beside kcat."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.bench.cases import SAME_LETTERS, Case, Peer, Together, at_least, at_most
from tests.bench.measure import environment, run
from tests.bench.tools import brokercli, brokercli_command, peer
from tests.brokers.kafka import Kafka

LETTERS = 100_000
_TRACE = b"".join(b"\tat com.example.billing.Handler%d.handle(Handler%d.java:%d)\n" % (number, number, number * 7) for number in range(4))
_EXCEPTIONS = (b"java.lang.IllegalStateException", b"java.net.SocketTimeoutException", b"org.postgresql.util.PSQLException")


def cases(server: Kafka, lines: Path, few: Path, letters: Path, count: int) -> Iterator[Together]:
    """Yield the comparisons, their topics filled; `letters` are as many bodies as letters are put back."""
    address = server.address
    url = f"kafka://{address}"
    admin = AdminClient({"bootstrap.servers": address})
    make(admin, "bench", "bench.small", "bench.in.ours", "bench.in.peer", "bench.home", "bench.dlq")
    run(brokercli_command(count, "publish", f"{url}/bench", stdin=lines))
    run(brokercli_command(1000, "publish", f"{url}/bench.small", stdin=few))
    read = ["-b", address, "-C", "-q", "-e", "-o", "beginning", "-t"]
    yield [Case(f"Kafka replay, bodies ({count:,})", "≤ 0.6 of kcat", brokercli_command(count, "replay", f"{url}/bench"),
                [peer("kcat", "kcat", [*read, "bench"], count)], at_most(0.6))]
    yield [Case(f"Kafka replay, envelope ({count:,})", "≤ 0.35 of kcat -J", brokercli_command(count, "replay", f"{url}/bench", "-o", "json"),
                [peer("kcat -J", "kcat", [*read, "bench", "-J"], count)], at_most(0.35))]
    yield [Case("Kafka replay of 1,000", "≤ 0.4 of kcat", brokercli_command(1000, "replay", f"{url}/bench.small"),
                [peer("kcat", "kcat", [*read, "bench.small"], 1000)], at_most(0.4))]
    yield [Case(f"Kafka publish lines, confirmed ({count:,})", "≤ 1.5 of kcat -P, acks=all, idempotent",
                brokercli_command(count, "publish", f"{url}/bench.in.ours", stdin=lines),
                [peer("kcat -P", "kcat", ["-b", address, "-P", "-t", "bench.in.peer", "-X", "acks=all", "-X", "enable.idempotence=true"], count, lines)],
                at_most(1.5))]
    fill(address, "bench.dlq", count)
    yield [Case(f"Kafka dlq inspect ({count:,} letters)", "≤ 1.5 × the envelope replay", brokercli_command(count, "dlq", "inspect", f"{url}/bench.dlq"),
                [Peer("replay -o json of the same", brokercli_command(count, "replay", f"{url}/bench.dlq", "-o", "json"))], at_most(1.5),
                "Kafka dlq inspect")]

    def fresh(number: int) -> Sequence[str]:
        # what was put back stays in the topic and is known to be handled, so each run has a topic of its own
        topic = f"bench.{number}.dlq"
        make(admin, topic)
        fill(address, topic, LETTERS)
        return [f"{url}/{topic}"]

    same = letters.with_name("same")
    with same.open("wb") as envelopes:
        subprocess.run(brokercli("replay", f"{url}/bench.dlq", "-n", str(LETTERS), "-o", "json"), stdout=envelopes, env=environment(), check=True)
    yield [Case(f"Kafka dlq redrive with its journal ({LETTERS:,})", SAME_LETTERS, brokercli_command(LETTERS, "dlq", "redrive", "--yes", prepare=fresh),
                [Peer("publish of the same letters, from envelopes",
                      brokercli_command(LETTERS, "publish", "--input", "json", f"{url}/bench.in.ours", stdin=same)),
                 Peer("publish of bodies, as lines", brokercli_command(LETTERS, "publish", f"{url}/bench.in.ours", stdin=letters)),
                 peer("kcat -P of lines with as many headers, the same for all", "kcat",
                      ["-b", address, "-P", "-t", "bench.in.peer", "-X", "acks=all", "-X", "enable.idempotence=true", *_constant_headers()],
                      LETTERS, letters)], at_least(0.5),
                "Kafka dlq redrive")]


def make(admin: AdminClient, *topics: str) -> None:
    """Create topics of one partition."""
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in topics]).values():
        future.result(30)


def _headers(number: int) -> list[tuple[str, bytes]]:
    """Return those of a letter as Spring writes them: each with an offset, a time, a message and a trace of its own."""
    exception = _EXCEPTIONS[number % 3]
    return [("trace-id", b"%032x" % number), ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
            ("kafka_dlt-exception-cause-fqcn", exception), ("kafka_dlt-exception-message", b"Listener failed; order %d" % number),
            ("kafka_dlt-exception-stacktrace", b"Caused by: %b: order %d\n%b" % (exception, number, _TRACE)),
            ("kafka_dlt-original-topic", b"bench.home"), ("kafka_dlt-original-partition", b"\0\0\0\0"),
            ("kafka_dlt-original-offset", number.to_bytes(8, "big")), ("kafka_dlt-original-timestamp", (1_795_600_000_000 + number).to_bytes(8, "big")),
            ("kafka_dlt-original-consumer-group", b"billing")]


def _constant_headers() -> list[str]:
    """Return options of kcat for such headers, less the octets that a command line cannot have."""
    return [word for name, value in _headers(LETTERS) for word in ("-H", f"{name}={value.replace(bytes(1), b'0').decode(errors='replace')}")]


def fill(address: str, topic: str, count: int) -> None:
    """Write letters as Spring does."""
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "queue.buffering.max.messages": 200_000})
    for number in range(count):
        body = b'{"id":%08d,"customer":"c-%02d","amount":12.5,"status":"created"}' % (number, number % 100)
        while True:
            try:
                producer.produce(topic, body, b"c-%d" % (number % 100), headers=_headers(number))
                break
            except BufferError:
                producer.poll(0.05)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
