"""Publishing over AMQP 1.0, which RabbitMQ 4 speaks on the port of AMQP 0-9-1: enough of it to have messages there that came so.

Values are put together from `text`, `symbol`, `binary`, `uuid` and the like; a message is its sections, one behind the other.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

_ACCEPTED, _DISPOSITION, _DETACH, _END, _CLOSE = 0x24, 0x15, 0x16, 0x17, 0x18
_SECONDS = 20.0
NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"


def _sized(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def uint(number: int) -> bytes:
    return b"\x70" + struct.pack(">I", number)


def ulong(number: int) -> bytes:
    return b"\x80" + struct.pack(">Q", number)


def text(value: str) -> bytes:
    return b"\xb1" + _sized(value.encode())


def symbol(value: str) -> bytes:
    return b"\xb3" + _sized(value.encode())


def binary(value: bytes) -> bytes:
    return b"\xb0" + _sized(value)


def uuid(value: bytes) -> bytes:
    assert len(value) == 16
    return b"\x98" + value


def listed(*values: bytes) -> bytes:
    return b"\xd0" + _sized(struct.pack(">I", len(values)) + b"".join(values))


def mapped(*values: bytes) -> bytes:
    """A map of keys and values, one after the other."""
    return b"\xd1" + _sized(struct.pack(">I", len(values)) + b"".join(values))


def described(code: int, value: bytes) -> bytes:
    return b"\x00\x53" + bytes((code,)) + value


def properties(**fields: bytes) -> bytes:
    """The section of a message that has such fields."""
    names = ("message_id", "user_id", "to", "subject", "reply_to", "correlation_id", "content_type", "content_encoding", "absolute_expiry_time",
             "creation_time", "group_id", "group_sequence", "reply_to_group_id")
    assert fields.keys() <= set(names)
    return described(0x73, listed(*[fields.get(name, NULL) for name in names]))


def application_properties(*values: bytes) -> bytes:
    return described(0x74, mapped(*values))


def annotations(*values: bytes) -> bytes:
    return described(0x72, mapped(*values))


def data(body: bytes) -> bytes:
    return described(0x75, binary(body))


def value(body: bytes) -> bytes:
    return described(0x77, body)


DURABLE = described(0x70, listed(TRUE))


class Sender:
    """A connection that publishes to one address: `/queues/NAME`, or `/exchanges/NAME/KEY`."""

    def __init__(self, host: str, port: int, address: str, virtual_host: str = "/", login: tuple[str, str] = ("guest", "guest")) -> None:
        self._socket = socket.create_connection((host, port), _SECONDS)
        self._sent = 0
        self._greet(3)
        self._frame(1, described(0x41, listed(symbol("PLAIN"), binary(b"\0%b\0%b" % (login[0].encode(), login[1].encode())))))
        self._await(0x44, sasl=True)
        self._greet(0)
        self._frame(0, described(0x10, listed(text("tests"), text(f"vhost:{virtual_host}"))))
        self._frame(0, described(0x11, listed(NULL, uint(0), uint(1000), uint(1000))))
        source, target = described(0x28, listed()), described(0x29, listed(text(address)))
        self._frame(0, described(0x12, listed(text("sender"), uint(0), FALSE, NULL, NULL, source, target, NULL, NULL, uint(0))))
        self._await(0x13)  # the flow that gives us credit

    def send(self, *sections: bytes) -> None:
        """Publish a message, and wait until the broker has accepted it."""
        number = struct.pack(">I", self._sent)
        self._frame(0, described(0x14, listed(uint(0), uint(self._sent), binary(number), uint(0), FALSE)) + b"".join(sections))
        self._sent += 1
        answer = self._await(_DISPOSITION)
        assert bytes((0x53, _ACCEPTED)) in answer, answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._frame(0, described(_CLOSE, listed()))
        self._socket.close()

    def _greet(self, protocol: int) -> None:
        header = b"AMQP" + bytes((protocol, 1, 0, 0))
        self._socket.sendall(header)
        assert self._read(8) == header

    def _frame(self, kind: int, body: bytes) -> None:
        self._socket.sendall(struct.pack(">IBBH", len(body) + 8, 2, kind, 0) + body)

    def _await(self, code: int, *, sasl: bool = False) -> bytes:
        """Return what comes with the next frame of a kind."""
        while True:
            size, offset, kind, _ = struct.unpack(">IBBH", self._read(8))
            body = self._read(size - 8)[offset * 4 - 8:]
            if not body:
                continue
            assert body[2] not in (_DETACH, _END, _CLOSE), body
            if body[2] == code and (kind == 1) == sasl:
                return body

    def _read(self, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            more = self._socket.recv(size - len(octets))
            assert more, "the broker closed the connection"
            octets += more
        return octets
