"""Queues, streams and exchanges of one's own on a RabbitMQ that others use as well."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import quote

from brokercli.backends.contract import Reader
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.model.connection import Connection
from brokercli.model.message import Record
from tests.native.amqp import Field, Properties, Refused
from tests.native.rabbitmq import RabbitBroker

SECONDS = 20.0
NOWHERE = "http://127.0.0.1:9"
"""An address of a management API that is not there."""


class Places:
    """Makes them in bare AMQP, and takes them away in the end."""

    def __init__(self, address: str, management: str, virtual_host: str = "/") -> None:
        """Any other virtual host is made, and taken away with everything in it."""
        self.broker = RabbitBroker(address, management)
        self._own = virtual_host != "/"
        if self._own:
            self.broker.api(f"vhosts/{quote(virtual_host, safe='')}", "PUT")
            self.broker.close()
            self.broker = RabbitBroker(f"{address.rstrip('/')}/{quote(virtual_host, safe='')}", management)
        self.wire = self.broker.wire
        self.dead_letters: dict[str, str] = {}
        """Queue → the queue that its dead letters go to, where an argument says so."""
        self._queues: list[str] = []
        self._streams: set[str] = set()
        self._exchanges: list[str] = []
        self._opened: list[RabbitMQBackend] = []

    @property
    def connection(self) -> Connection:
        return self.broker.connection

    @property
    def virtual_host(self) -> str:
        """As paths of the management API name it."""
        return quote(self.broker.virtual_host, safe="")

    @property
    def without_management(self) -> Connection:
        """The same login, to whom nobody answers about management."""
        return replace(self.connection, management=NOWHERE)

    def open(self, connection: Connection | None = None) -> RabbitMQBackend:
        """Open the backend; closed with everything else."""
        backend = RabbitMQBackend(connection or self.connection)
        self._opened.append(backend)
        return backend

    def queue(self, kind: str = "classic", *, durable: bool = True, auto_delete: bool = False, name: str | None = None, **arguments: Field) -> str:
        """Make a queue of a type; arguments as x_max_length=("l", 5)."""
        made = name or f"q-{uuid.uuid4().hex[:12]}"
        given = [(f"x-{argument[2:].replace('_', '-')}", field) for argument, field in arguments.items()]
        self.wire.declare_queue(made, [("x-queue-type", ("S", kind.encode())), *given], durable=durable, auto_delete=auto_delete)
        self._queues.append(made)
        if kind == "stream":
            self._streams.add(made)
        if arguments.get("x_dead_letter_exchange") == ("S", b"") and (key := arguments.get("x_dead_letter_routing_key")):
            self.dead_letters[made] = bytes(key[1]).decode()
        return made

    def counts(self, queue: str) -> tuple[int, int] | None:
        """Return how many messages are ready in a queue and how many consume it; None for a stream, which counts otherwise."""
        return None if queue in self._streams else self.wire.declare_queue(queue, passive=True)

    def stream(self, bodies: Sequence[bytes] = ()) -> str:
        """Make a stream that holds some bodies, from offset 0 on."""
        made = self.queue("stream")
        if bodies:
            self.put("", made, bodies)
        return made

    def exchange(self, kind: str = "topic", name: str | None = None, *, auto_delete: bool = False, alternate: str | None = None) -> str:
        """Make an exchange; `alternate` is the exchange that takes what nothing is bound for."""
        made = name or f"e-{uuid.uuid4().hex[:12]}"
        self.wire.declare_exchange(made, kind, [] if alternate is None else [("alternate-exchange", ("S", alternate.encode()))], auto_delete=auto_delete)
        self._exchanges.append(made)
        return made

    def bind(self, queue: str, exchange: str, key: str = "#", arguments: Sequence[tuple[str, Field]] = ()) -> None:
        """Bind a queue to an exchange."""
        self.wire.bind(queue, exchange, key, arguments)

    def put(self, exchange: str, key: str, bodies: Sequence[bytes], properties: Properties = (("delivery_mode", 2),)) -> None:
        """Publish, and return once all are confirmed; where nothing is bound that is told as Refused."""
        self.wire.publish(exchange, key, [(body, properties) for body in bodies])

    def put_anywhere(self, exchange: str, key: str, body: bytes) -> None:
        """Publish what may be routed nowhere."""
        with suppress(Refused):
            self.put(exchange, key, [body])
            return
        # the confirm of a returned message is still to come, and would be taken for another's
        self.wire.close()
        self.wire = self.broker.wire = type(self.wire)(self.broker.host, self.broker.port, self.broker.user, self.broker.password, self.broker.virtual_host)

    def taken(self, queue: str) -> list[bytes]:
        """Take everything out of a queue."""
        found = []
        while (message := self.wire.get(queue)) is not None:
            found.append(message[0])
        return found

    def delete_queue(self, name: str) -> None:
        """Delete a queue before the end."""
        self.wire.delete_queue(name)
        self._queues.remove(name)

    def delete_virtual_host(self) -> None:
        """Delete the virtual host with everything in it before the end, which ends every connection to it."""
        self.api(f"vhosts/{self.virtual_host}", "DELETE")
        self._queues, self._exchanges, self._own = [], [], False

    def api(self, path: str, method: str = "GET", **body: Any) -> Any:
        """Ask the management API."""
        return self.broker.api(path, method, **body)

    def close(self) -> None:
        for backend in self._opened:
            backend.close()
        for name in self._exchanges:
            self.wire.delete_exchange(name)
        for name in self._queues:
            self.wire.delete_queue(name)
        if self._own:
            self.api(f"vhosts/{self.virtual_host}", "DELETE")
        self.broker.close()


def records_of(reader: Reader, count: int | None = None) -> list[Record]:
    """Read so many records; all up to the end without a count."""
    found: list[Record] = []
    deadline = monotonic() + SECONDS
    while (len(found) < count if count is not None else not reader.finished) and monotonic() < deadline:
        batch = reader.read(0.2)
        if batch is not None:
            found += batch.records()
    assert count is None or len(found) >= count, f"{len(found)} of {count} records came"
    return found


def bodies_of(reader: Reader, count: int | None = None) -> list[bytes]:
    """Read so many bodies; all up to the end without a count."""
    return [record.message.body or b"" for record in records_of(reader, count)]
