"""RabbitMQ in bare AMQP, and its management API for what AMQP does not tell."""

from __future__ import annotations

import json
import struct
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from brokercli.model.address import Address
from brokercli.model.connection import Connection, Secret
from tests.native.amqp import PROPERTIES, Field, Properties, Wire
from tests.native.harness import Broker, Resource, Stored

_QUEUE_TYPES = {"classic queue": b"classic", "quorum queue": b"quorum", "stream": b"stream"}


class RabbitBroker(Broker):
    """One RabbitMQ."""

    name = "rabbitmq"
    scheme = "amqp"
    confirms_positions = False

    def __init__(self, address: str, management: str) -> None:
        parts = urlsplit(address)
        super().__init__(parts.hostname or "127.0.0.1", parts.port or 5672)
        self.user, self.password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        self.virtual_host = unquote(parts.path[1:]) or "/"
        self.management = management
        self.wire = Wire(self.host, self.port, self.user, self.password, self.virtual_host)

    @property
    def url(self) -> str:
        return f"amqp://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{self.host}:{self.port}/{quote(self.virtual_host, safe='')}"

    @property
    def connection(self) -> Connection:
        return Connection("amqp", ((self.host, self.port),), user=self.user, password=Secret(self.password), virtual_host=self.virtual_host,
                          management=self.management, connect_timeout=20)

    def api(self, path: str, method: str = "GET", **body: Any) -> Any:
        """Ask the management API; `path` follows /api/."""
        request = urllib.request.Request(f"{self.management}/api/{path}", method=method, data=json.dumps(body).encode() if body else None)
        request.add_header("Authorization", "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def make_resource(self, row: str, partitions: int) -> Resource:
        if row in _QUEUE_TYPES:
            return Queue(self, row, _QUEUE_TYPES[row])
        return {"exchange": Exchange}[row](self)

    def missing(self, row: str) -> Address:
        name = f"missing-{uuid.uuid4().hex}"
        return Address(name, "exchange", "key") if row == "exchange" else Address(name, "stream" if row == "stream" else "queue")

    def impossible_names(self, row: str) -> list[str]:
        return ["x" * 256]

    def oversized(self) -> bytes:
        # max_message_size is 16 MiB unless configured
        return b"x" * (16 * 1024 * 1024 + 1)

    def messages(self, row: str) -> SearchStrategy[Stored]:
        return st.builds(Stored, st.binary(max_size=200), st.none(), _tables(row), _properties(row))

    def wrong_login(self, fixture: Callable[[str], Any]) -> Connection:
        return Connection("amqp", ((self.host, self.port),), user=self.user, password=Secret("not-the-password"), virtual_host=self.virtual_host)

    def reconnect(self) -> None:
        self.wire.close()
        self.wire = Wire(self.host, self.port, self.user, self.password, self.virtual_host)

    def close(self) -> None:
        self.wire.close()


class Queue(Resource):
    """A classic queue, a quorum queue or a stream, bound to a topic exchange through which these tests fill it: what goes
    through the default exchange nobody else can see on its way."""

    key = "orders.created"

    def __init__(self, broker: RabbitBroker, row: str, kind: bytes) -> None:
        self._broker = broker
        self.row = row
        self.name = f"test-{uuid.uuid4().hex}"
        self.exchange = f"{self.name}-in"
        self.address = self.destination = Address(self.name, "stream" if row == "stream" else "queue")
        self.consumer: str | None = None if row == "exchange" else self.name
        broker.wire.declare_queue(self.name, [("x-queue-type", ("S", kind))])
        broker.wire.declare_exchange(self.exchange, "topic")
        broker.wire.bind(self.name, self.exchange, "orders.#")

    def put_messages(self, messages: Sequence[Stored]) -> None:
        self._broker.wire.publish(self.exchange, self.key, [(message.body or b"", _whole(message)) for message in messages])

    def stored(self, at_least: int = 0) -> list[Stored]:
        wire = self._broker.wire
        if self.row == "stream":
            return [_stored(body, properties) for body, properties in wire.read_stream(self.name, at_least)]
        found = []
        while (message := wire.get(self.name)) is not None:
            found.append(_stored(*message))
        return found

    def state(self) -> Any:
        messages, consumers = self._broker.wire.declare_queue(self.name, passive=True)
        virtual_host = quote(self._broker.virtual_host, safe="")
        bindings = self._broker.api(f"queues/{virtual_host}/{self.name}/bindings")
        bound = self._broker.api(f"exchanges/{virtual_host}/{self.exchange}/bindings/source")
        # a stream counts what it holds with some delay
        return {"messages": None if self.row == "stream" else messages, "consumers": consumers,
                "bindings": sorted((one["source"], one["routing_key"]) for one in bindings),
                "bound": sorted((one["destination"], one["routing_key"]) for one in bound)}

    def finish(self, count: int) -> None:
        """What is read of a stream is remembered by nobody."""
        for _ in range(0 if self.row == "stream" else count):
            assert self._broker.wire.get(self.name) is not None

    @contextmanager
    def attend(self) -> Iterator[None]:
        wire = Wire(self._broker.host, self._broker.port, self._broker.user, self._broker.password, self._broker.virtual_host)
        try:
            wire.consume(self.name, "worker-1")
            yield
        finally:
            wire.close()

    def consumer_state(self) -> Any:
        messages, consumers = self._broker.wire.declare_queue(self.name, passive=True)
        return {"messages": None if self.row == "stream" else messages, "consumers": consumers}

    def delete(self) -> None:
        self._broker.wire.delete_queue(self.name)
        self._broker.wire.delete_exchange(self.exchange)


class Exchange(Queue):
    """A topic exchange with one classic queue behind it, addressed as the exchange."""

    def __init__(self, broker: RabbitBroker) -> None:
        super().__init__(broker, "exchange", b"classic")
        self.address = self.destination = Address(self.exchange, "exchange", self.key)


def _whole(message: Stored) -> Properties:
    properties = dict(message.properties)
    if message.headers:
        properties["headers"] = message.headers
    return tuple(properties.items())


def _stored(body: bytes, properties: Properties, redelivered: bool = False) -> Stored:
    headers = dict(properties).get("headers", ())
    offset = next((field[1] for name, field in headers if name == b"x-stream-offset"), None)
    return Stored(body, None, tuple(header for header in headers if header[0] != b"x-stream-offset"),
                  tuple(one for one in properties if one[0] != "headers"), "" if offset is None else str(offset), redelivered=redelivered)


def _integers(letter: str, bits: int, *, signed: bool) -> SearchStrategy[Field]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high).map(lambda value: (letter, value))


def _fields(row: str) -> SearchStrategy[Field]:
    plain = st.one_of(
        _integers("b", 8, signed=True), _integers("B", 8, signed=False), _integers("s", 16, signed=True), _integers("u", 16, signed=False),
        _integers("I", 32, signed=True), _integers("i", 32, signed=False), _integers("l", 64, signed=True),
        # years beyond 9999 are stored like any other; a stream damages what is no longer a time in milliseconds (verified on 4.3.6)
        _integers("T", 53 if row == "stream" else 63, signed=False),
        st.binary(max_size=40).map(lambda value: ("S", value)),
        st.booleans().map(lambda value: ("t", value)), st.just(("V", b"")),
        # the broker keeps numbers, not the bits of what is none
        st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda value: ("f", struct.pack(">f", value))),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda value: ("d", struct.pack(">d", value))))
    if row == "stream":
        # a stream stores AMQP 1.0: it drops tables and arrays, makes bytes strings, and breaks on a decimal (verified on 4.3.6)
        return plain
    blobs = st.binary(max_size=40).map(lambda value: ("x", value))
    decimals = st.tuples(st.integers(0, 9), st.integers(0, 2**31 - 1)).map(lambda value: ("D", value))
    return st.recursive(plain | blobs | decimals, lambda inner: st.lists(inner, max_size=3).map(lambda value: ("A", tuple(value)))
                        | st.lists(st.tuples(_names(), inner), max_size=3, unique_by=lambda pair: pair[0]).map(lambda value: ("F", tuple(value))),
                        max_leaves=5)


def _names() -> SearchStrategy[bytes]:
    # what starts with x- is the broker's
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).map(lambda text: f"h{text}".encode())


def _tables(row: str) -> SearchStrategy[tuple[Any, ...]]:
    # the broker sorts them by name and keeps one of each (verified on 4.3.6)
    return st.lists(st.tuples(_names(), _fields(row)), max_size=5, unique_by=lambda pair: pair[0]).map(sorted).map(tuple)


def _properties(row: str) -> SearchStrategy[Properties]:
    short = st.text(max_size=20).map(str.encode)
    # a quorum queue hands out by priority, and these messages are to keep their order
    ordering = {} if row == "quorum queue" else {"priority": st.integers(0, 9)}
    return st.fixed_dictionaries({"delivery_mode": st.just(2)}, optional={
        "content_type": short, "content_encoding": short, "correlation_id": short, "reply_to": short, "message_id": short,
        "timestamp": st.integers(0, 2**40), "type": short, "app_id": short, **ordering}).map(_in_order)


def _in_order(properties: dict[str, Any]) -> Properties:
    return tuple((name, properties[name]) for name in PROPERTIES if name in properties)
