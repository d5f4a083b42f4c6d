"""Streams for one test, on a NATS server that many tests share."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from brokercli.backends.contract import Publisher, PublishPolicy, Reader
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.message import Message, Record
from brokercli.model.position import End, Position, Span, Start
from brokercli.model.receipt import Receipts, Verdict
from tests.brokers.server import wait_until
from tests.native.nats import Wire


class Streams:
    """Makes streams nobody else has and deletes them at the end; looks behind the backend over a bare socket."""

    def __init__(self, address: str, login: dict[str, str] | None = None) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 4222
        self.connection = Connection("nats", ((self.host, self.port),), connect_timeout=20.0)
        self._login = login
        self.wire = Wire(self.host, self.port, login)
        self._made: list[str] = []
        self._opened: list[NatsBackend | Publisher | Reader] = []

    def reconnect(self) -> None:
        """Talk to the server again after it was restarted."""
        self.wire.close()
        self.wire = Wire(self.host, self.port, self._login)

    def api(self, operation: str, **question: Any) -> dict[str, Any]:
        """Ask JetStream; fails when it answers with an error."""
        answer: dict[str, Any] = json.loads(self.wire.ask(f"$JS.API.{operation}", json.dumps(question).encode() if question else b""))
        assert "error" not in answer, answer["error"]
        return answer

    def make(self, retention: str = "limits", subjects: Sequence[str] | None = None, **config: Any) -> str:
        """Create a stream and return its name; without `subjects` it captures `<name in lower case>.>`."""
        name = self.name()
        self.api(f"STREAM.CREATE.{name}", name=name, retention=retention,
                 subjects=[f"{name.lower()}.>"] if subjects is None else list(subjects), **{"allow_direct": True, **config})
        return name

    def name(self) -> str:
        """Return the name of a stream that nobody else has; whoever makes it, it is deleted at the end."""
        self._made.append(f"TEST{uuid.uuid4().hex[:12].upper()}")
        return self._made[-1]

    def deleted_at_the_end(self, stream: str) -> None:
        """Delete a stream that somebody else makes."""
        self._made.append(stream)

    def exists(self, stream: str) -> bool:
        """Whether there is such a stream."""
        return b'"error"' not in self.wire.ask(f"$JS.API.STREAM.INFO.{stream}", b"")

    def worker(self, stream: str, name: str = "worker", **config: Any) -> None:
        """Create a durable consumer."""
        self.api(f"CONSUMER.DURABLE.CREATE.{stream}.{name}", stream_name=stream,
                 config={"durable_name": name, "ack_policy": "explicit", "deliver_policy": "all", **config})

    def subject(self) -> str:
        """Return a subject nobody else uses."""
        return f"test.{uuid.uuid4().hex[:12]}"

    def fill(self, subject: str, bodies: Sequence[bytes], headers: bytes = b"") -> None:
        """Store bodies without the code under test."""
        for begin in range(0, len(bodies), 1000):
            answers = self.wire.ask_all([(subject, body, headers) for body in bodies[begin:begin + 1000]])
            assert all(b'"seq"' in answer and b'"error"' not in answer for answer in answers), answers[:3]

    def wait_pending(self, stream: str, consumer: str, count: int) -> None:
        """Wait until a consumer has counted so many messages: its stream answers a moment before."""
        wait_until(lambda: self.api(f"CONSUMER.INFO.{stream}.{consumer}")["num_pending"] == count, 60, f"{count} pending messages")

    def delete(self, stream: str, *sequences: int) -> None:
        """Delete messages."""
        for sequence in sequences:
            self.api(f"STREAM.MSG.DELETE.{stream}", seq=sequence)

    def state(self, stream: str) -> dict[str, Any]:
        """Return messages, first_seq, last_seq, consumer_count, …"""
        state: dict[str, Any] = self.api(f"STREAM.INFO.{stream}")["state"]
        return state

    def consumers(self, stream: str) -> list[str]:
        """Return the names of a stream's consumers."""
        return [str(consumer["name"]) for consumer in self.api(f"CONSUMER.LIST.{stream}")["consumers"] or []]

    def stored(self, stream: str) -> list[tuple[str, bytes, bytes]]:
        """Return what is stored: subject, header block and body, each as it is."""
        return [(message["subject"], b64decode(message.get("hdrs", "")), b64decode(message.get("data", ""))) for message in self.wire.stored(stream)]

    def backend(self, **changes: Any) -> NatsBackend:
        """Open the backend under test; closed at the end."""
        backend = NatsBackend(replace(self.connection, **changes))
        self._opened.append(backend)
        return backend

    def publisher(self, address: Address, backend: NatsBackend | None = None, **policy: Any) -> Publisher:
        """Open a publisher; closed at the end."""
        publisher = (backend or self.backend()).publisher(address, PublishPolicy(**policy))
        self._opened.append(publisher)
        return publisher

    def look(self, address: Address, start: Position | None = None, end: Position | None = None, *, follow: bool = False,
             backend: NatsBackend | None = None) -> Reader:
        """Open a look, from the start to the end unless said otherwise; closed at the end."""
        reader = (backend or self.backend()).look(address, Span(start or Start(), None if follow else end or End()))
        self._opened.append(reader)
        return reader

    def close(self) -> None:
        """Close what was opened and delete what was made."""
        for opened in reversed(self._opened):
            opened.close()
        for stream in self._made:
            with suppress(AssertionError, OSError):
                self.api(f"STREAM.DELETE.{stream}")
        self.wire.close()


def stream(name: str) -> Address:
    """Address a stream."""
    return Address(name, "stream")


def subject(name: str) -> Address:
    """Address a subject."""
    return Address(name, "subject")


def everything(reader: Reader) -> list[Record]:
    """Read to the end."""
    records: list[Record] = []
    while not reader.finished:
        batch = reader.read(20)
        assert batch is not None or reader.finished, "nothing came for 20 s"
        records += batch.records() if batch is not None else []
    return records


def some(reader: Reader, count: int) -> list[Record]:
    """Read `count` records of a look that does not end."""
    records: list[Record] = []
    while len(records) < count:
        batch = reader.read(20)
        assert batch is not None, f"{len(records)} of {count} came, then nothing for 20 s"
        records += batch.records()
    assert len(records) == count
    return records


def bodies(records: Sequence[Record]) -> list[bytes | None]:
    """Return the bodies."""
    return [record.message.body for record in records]


def publish(publisher: Publisher, messages: Sequence[Message]) -> Receipts:
    """Send everything and wait for every verdict."""
    total, sent = Receipts(), 0
    while sent < len(messages):
        sent += publisher.send(messages[sent:])
        total.add(publisher.collect(0.1 if sent < len(messages) else 0))
    total.add(publisher.finish(30))
    assert len(total) == len(messages)
    return total


def wait_written(publisher: Publisher) -> None:
    """Wait until everything that was sent is with the connection. What is given up before that was never sent, and is refused."""
    assert isinstance(publisher, JetStreamPublisher)
    wait_until(lambda: not publisher._outbox.unsent, 60, "the write")


def of_verdict(receipts: Receipts, verdict: Verdict) -> list[int]:
    """Return the indices of the messages with a verdict that is not plain confirmation."""
    return sorted(receipt.index for receipt in receipts.problems if receipt.verdict is verdict)


def stored_bodies(streams: Streams, name: str) -> list[bytes]:
    """Return the bodies in a stream of a server that may have been away meanwhile."""
    streams.reconnect()
    return [body for _, _, body in streams.stored(name)]
