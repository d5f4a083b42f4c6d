"""AMQP 0-9-1 over a bare socket, as much of it as the tests need: no field of a header passes through anybody's codec."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Sequence
from time import monotonic
from typing import Any

SECONDS = 30.0
QUIET = 0.25
_LEADER_SECONDS = 0.2
"""For a little longer RabbitMQ waits for the leader of a quorum queue to count; then it answers in its place, with zeros (verified on 4.3.6)."""
_LONGEST_FRAME = 131_072
PROPERTIES = ("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to", "expiration", "message_id",
               "timestamp", "type", "user_id", "app_id", "cluster_id")
_NUMBERS = {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "T": "Q"}
"""Letters of the integer types, as RabbitMQ uses them, and how `struct` writes them."""

Field = tuple[str, Any]
"""A type's letter and its value: integers as int, f and d as their raw bytes, D as (scale, int), S and x as bytes, A as a tuple
of fields, F as a tuple of (name, field)."""
Properties = tuple[tuple[str, Any], ...]


class Refused(Exception):
    """The broker closed the channel or the connection, or gave a message back; the text is its reason."""


class Wire:
    """One connection with one channel."""

    def __init__(self, host: str, port: int, user: str = "guest", password: str = "guest", virtual_host: str = "/") -> None:
        self._socket = socket.create_connection((host, port), SECONDS)
        # two small frames in a row would wait 40 ms for an acknowledgement that nobody hurries to send
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._published = 0
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._expect(10, 10)
        login = f"\0{user}\0{password}".encode()
        self._say(0, 10, 11, encode_table(()) + _short("PLAIN") + struct.pack(">I", len(login)) + login + _short("en_US"))
        self._expect(10, 30)
        self._say(0, 10, 31, struct.pack(">HIH", 16, _LONGEST_FRAME, 0))
        self._say(0, 10, 40, _short(virtual_host) + b"\0\0")
        self._expect(10, 41)
        self._open_channel()

    def _open_channel(self) -> None:
        self._say(1, 20, 10, b"\0")
        self._expect(20, 11)
        self._say(1, 85, 10, b"\0")
        self._expect(85, 11)
        self._published = 0

    def declare_queue(self, name: str, arguments: Sequence[tuple[str, Field]] = (), *, passive: bool = False, durable: bool = True,
                      auto_delete: bool = False) -> tuple[int, int]:
        """Declare a queue, or with `passive` ask for it; return how many messages are ready and how many consumers there are."""
        while True:
            asked = monotonic()
            self._say(1, 50, 10, b"\0\0" + _short(name) + bytes([passive | durable << 1 | auto_delete << 3]) + encode_table(arguments))
            answer = self._expect(50, 11)
            ready, consumers = struct.unpack(">II", answer[1 + answer[0]:])
            if not passive or ready or consumers or monotonic() < asked + _LEADER_SECONDS:
                return ready, consumers

    def delete_queue(self, name: str) -> None:
        """Delete a queue with whatever is in it."""
        self._say(1, 50, 40, b"\0\0" + _short(name) + b"\0")
        self._expect(50, 41)

    def bind(self, queue: str, exchange: str, key: str, arguments: Sequence[tuple[str, Field]] = ()) -> None:
        """Bind a queue."""
        self._say(1, 50, 20, b"\0\0" + _short(queue) + _short(exchange) + _short(key) + b"\0" + encode_table(arguments))
        self._expect(50, 21)

    def declare_exchange(self, name: str, kind: str, arguments: Sequence[tuple[str, Field]] = (), *, auto_delete: bool = False) -> None:
        """Declare a durable exchange."""
        self._say(1, 40, 10, b"\0\0" + _short(name) + _short(kind) + bytes([2 | auto_delete << 2]) + encode_table(arguments))
        self._expect(40, 11)

    def bind_exchange(self, destination: str, source: str, key: str, arguments: Sequence[tuple[str, Field]] = ()) -> None:
        """Bind an exchange to another."""
        self._say(1, 40, 30, b"\0\0" + _short(destination) + _short(source) + _short(key) + b"\0" + encode_table(arguments))
        self._expect(40, 31)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange."""
        self._say(1, 40, 20, b"\0\0" + _short(name) + b"\0")
        self._expect(40, 21)

    def publish(self, exchange: str, key: str, messages: Sequence[tuple[bytes, Properties]]) -> None:
        """Publish with `mandatory` and return once all are confirmed. Raises Refused for the first that is not."""
        for body, properties in messages:
            method = struct.pack(">HHH", 60, 40, 0) + _short(exchange) + _short(key) + b"\1"
            frames = _frame(1, 1, method) + _frame(2, 1, struct.pack(">HHQ", 60, 0, len(body)) + encode_properties(properties))
            frames += b"".join(_frame(3, 1, body[start:start + _LONGEST_FRAME - 8]) for start in range(0, len(body), _LONGEST_FRAME - 8))
            self._socket.sendall(frames)
        last = self._published + len(messages)
        confirmed: set[int] = set()
        while self._published + len(confirmed) < last:
            method_of, arguments = self._method()
            if method_of == (60, 50):
                raise Refused(f"returned: {arguments!r}")
            assert method_of in ((60, 80), (60, 120)), method_of
            tag, multiple = struct.unpack(">Q?", arguments)
            if method_of == (60, 120):
                raise Refused(f"message {tag} was rejected")
            confirmed |= set(range(self._published + 1, tag + 1)) if multiple else {tag}
        self._published = last

    def get(self, queue: str) -> tuple[bytes, Properties, bool] | None:
        """Take one message out of a queue: body, properties, whether it was delivered before."""
        self._say(1, 60, 70, b"\0\0" + _short(queue) + b"\1")
        method_of, arguments = self._method()
        if method_of == (60, 72):
            return None
        assert method_of == (60, 71), method_of
        properties, body = self._content()
        return body, properties, bool(arguments[8])

    def consume(self, queue: str, tag: str, prefetch: int = 1, arguments: Sequence[tuple[str, Field]] = ()) -> None:
        """Begin to consume, with acknowledgements."""
        self._say(1, 60, 10, struct.pack(">IHB", 0, prefetch, 0))
        self._expect(60, 11)
        self._say(1, 60, 20, b"\0\0" + _short(queue) + _short(tag) + b"\0" + encode_table(arguments))
        self._expect(60, 21)

    def return_all(self, queue: str, tag: str = "refusing") -> None:
        """Take every message and return it at once, again and again, until none comes for a while: each ends as its queue lets it."""
        self.consume(queue, tag, 500)
        while self._more_within(QUIET):
            arguments = self._expect(60, 60)
            number = arguments[1 + arguments[0]:][:8]
            self._content()
            self._say(1, 60, 90, number + b"\1")

    def read_stream(self, queue: str, at_least: int) -> list[tuple[bytes, Properties]]:
        """Return the messages of a stream: wait for `at_least` of them, then take what else is there. A stream does not say
        at once how many it has, so the end is where nothing comes for a while."""
        self.consume(queue, "tests", 1000, [("x-stream-offset", ("S", b"first"))])
        found: list[tuple[bytes, Properties]] = []
        while len(found) < at_least or self._more_within(QUIET):
            arguments = self._expect(60, 60)
            tag = arguments[1 + arguments[0]:][:8]
            properties, body = self._content()
            found.append((body, properties))
            self._say(1, 60, 80, tag + b"\0")
        self._say(1, 60, 30, _short("tests") + b"\0")
        while self._method()[0] != (60, 31):
            # what was under way when we cancelled
            self._content()
        return found

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _say(self, channel: int, group: int, number: int, arguments: bytes) -> None:
        self._socket.sendall(_frame(1, channel, struct.pack(">HH", group, number) + arguments))

    def _more_within(self, seconds: float) -> bool:
        return bool(self._received) or bool(select.select([self._socket], [], [], seconds)[0])

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            chunk = self._socket.recv(1 << 20)
            assert chunk, "the broker hung up"
            self._received += chunk
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _frame(self) -> tuple[int, int, bytes]:
        while True:
            kind, channel, size = struct.unpack(">BHI", self._read(7))
            payload = self._read(size + 1)[:-1]
            if kind != 8:
                return kind, channel, payload

    def _method(self) -> tuple[tuple[int, int], bytes]:
        kind, channel, payload = self._frame()
        assert kind == 1, f"a frame of kind {kind} where a method was expected"
        group, number = struct.unpack(">HH", payload[:4])
        if (group, number) == (20, 40):
            self._say(channel, 20, 41, b"")
            self._open_channel()
            raise Refused(payload[7:7 + payload[6]].decode())
        if (group, number) == (10, 50):
            raise Refused(payload[7:7 + payload[6]].decode())
        return (group, number), payload[4:]

    def _expect(self, group: int, number: int) -> bytes:
        found, arguments = self._method()
        assert found == (group, number), f"{found} where {(group, number)} was expected"
        return arguments

    def _content(self) -> tuple[Properties, bytes]:
        kind, _, payload = self._frame()
        assert kind == 2
        size = struct.unpack(">Q", payload[4:12])[0]
        body = b""
        while len(body) < size:
            body += self._frame()[2]
        return decode_properties(payload[12:]), body


def encode_properties(properties: Properties) -> bytes:
    """Write basic properties: their flags and those that are there, in the specification's order."""
    given = dict(properties)
    flags, written = 0, b""
    for place, name in enumerate(PROPERTIES):
        if name not in given:
            continue
        flags |= 1 << (15 - place)
        value = given[name]
        if name == "headers":
            written += encode_table(value)
        elif name in ("delivery_mode", "priority"):
            written += bytes([value])
        else:
            written += struct.pack(">Q", value) if name == "timestamp" else bytes([len(value)]) + value
    return struct.pack(">H", flags) + written


def decode_properties(data: bytes) -> Properties:
    """Read what `encode_properties` wrote."""
    found: list[tuple[str, Any]] = []
    flags, at = struct.unpack(">H", data[:2])[0], 2
    for place, name in enumerate(PROPERTIES):
        if not flags & 1 << (15 - place):
            continue
        value: Any
        if name == "headers":
            size = struct.unpack_from(">I", data, at)[0]
            value, at = decode_table(data[at + 4:at + 4 + size]), at + 4 + size
        elif name in ("delivery_mode", "priority"):
            value, at = data[at], at + 1
        elif name == "timestamp":
            value, at = struct.unpack_from(">Q", data, at)[0], at + 8
        else:
            value, at = data[at + 1:at + 1 + data[at]], at + 1 + data[at]
        found.append((name, value))
    return tuple(found)


def encode_table(table: Sequence[tuple[str | bytes, Field]]) -> bytes:
    """Write a field table with its length."""
    content = b"".join(_short(name) + encode_field(field) for name, field in table)
    return struct.pack(">I", len(content)) + content


def encode_field(field: Field) -> bytes:
    """Write one field with its type's letter."""
    letter, value = field
    if letter in _NUMBERS:
        content = struct.pack(f">{_NUMBERS[letter]}", value)
    elif letter in ("S", "x"):
        content = struct.pack(">I", len(value)) + value
    elif letter == "t":
        content = bytes([value])
    elif letter == "D":
        content = struct.pack(">Bi", *value)
    elif letter == "F":
        content = encode_table(value)
    elif letter == "A":
        content = b"".join(map(encode_field, value))
        content = struct.pack(">I", len(content)) + content
    else:  # f and d carry their bytes, V carries nothing
        content = value or b""
    return letter.encode() + content


def decode_table(data: bytes) -> tuple[tuple[bytes, Field], ...]:
    """Read a table's content, its length taken off."""
    at, found = 0, []
    while at < len(data):
        name = data[at + 1:at + 1 + data[at]]
        field, at = _decode_field(data, at + 1 + data[at])
        found.append((name, field))
    return tuple(found)


def _decode_field(data: bytes, at: int) -> tuple[Field, int]:
    letter = chr(data[at])
    at += 1
    if letter in _NUMBERS:
        form = f">{_NUMBERS[letter]}"
        return (letter, struct.unpack_from(form, data, at)[0]), at + struct.calcsize(form)
    if letter in "SxFA":
        size = struct.unpack_from(">I", data, at)[0]
        content, end = data[at + 4:at + 4 + size], at + 4 + size
        if letter in "Sx":
            return (letter, content), end
        if letter == "F":
            return (letter, decode_table(content)), end
        fields, inside = [], 0
        while inside < len(content):
            field, inside = _decode_field(content, inside)
            fields.append(field)
        return (letter, tuple(fields)), end
    if letter == "t":
        return (letter, bool(data[at])), at + 1
    if letter == "D":
        return (letter, struct.unpack_from(">Bi", data, at)), at + 5
    size = {"f": 4, "d": 8, "V": 0}[letter]
    return (letter, data[at:at + size]), at + size


def _short(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return bytes([len(raw)]) + raw


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
