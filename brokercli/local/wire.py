"""As much of the NATS protocol as it takes to recognise our own server, to ask it a question and to work for the demonstration."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from brokercli.model.errors import Failed, Unreachable

# the protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol


def server_info(port: int, timeout: float) -> dict[str, Any] | None:
    """Return what the server on this port says of itself before anyone logs in; None when nothing there speaks NATS."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.settimeout(timeout)
            return _read_info(_Lines(connection, timeout))
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that a consumer delivered; `reply` is where its acknowledgement goes."""

    body: bytes
    reply: str


class Conversation:
    """One connection to our own server, logged in; for one question at a time. Raises Unreachable where it does not answer."""

    def __init__(self, port: int, token: str, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._asked = 0
        with _answering():
            self._connection = socket.create_connection(("127.0.0.1", port), timeout)
            try:
                self._lines = _Lines(self._connection, timeout)
                self._greet(token)
            except BaseException:
                self._connection.close()
                raise

    def _greet(self, token: str) -> None:
        _read_info(self._lines)
        hello = json.dumps({"auth_token": token, "verbose": False, "headers": True, "no_responders": True, "name": "brokercli", "lang": "python",
                            "version": "0"}).encode()
        self._connection.sendall(b"CONNECT %b\r\n" % hello)

    def request(self, subject: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask a JetStream API subject and return the answer. Raises Failed with the server's own reason."""
        with _answering():
            delivery = self._ask(subject, json.dumps(payload).encode())
            if delivery is None:
                raise ConnectionRefusedError("JetStream is not there")
        answer = json.loads(delivery.body)
        if not isinstance(answer, dict) or "error" in answer:
            raise Failed(f"The local broker refused {subject}: {answer['error'].get('description') if isinstance(answer, dict) else answer}.")
        return answer

    def pull(self, stream: str, consumer: str) -> Delivery | None:
        """Take the next message of a durable consumer; None when there is none now."""
        with _answering():
            return self._ask(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", b'{"batch":1,"no_wait":true}')

    def settle(self, delivery: Delivery, word: bytes) -> None:
        """Acknowledge a delivery, or give it back; returns once its consumer has heard of it."""
        with _answering():
            self._ask(delivery.reply, word)

    def close(self) -> None:
        """Let go. May be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, subject: str, body: bytes) -> Delivery | None:
        """Return the first answer; None where it is a status: nobody listens, no messages."""
        self._asked += 1
        inbox = b"_INBOX.local.%d" % self._asked
        self._connection.sendall(b"SUB %b %d\r\nUNSUB %d 1\r\nPUB %b %b %d\r\n%b\r\n" % (
            inbox, self._asked, self._asked, subject.encode(), inbox, len(body), body))
        self._lines.begin(self._timeout)
        return _read_answer(self._connection, self._lines)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise Unreachable(f"The local broker does not answer: {problem}.", hint="brokercli local status") from None


class _Lines:
    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + timeout
        self._buffer = b""

    def begin(self, timeout: float) -> None:
        """Wait no longer than this, from now on."""
        self._deadline = time.monotonic() + timeout

    def line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        return piece

    def _more(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0 or len(self._buffer) > 4_194_304:
            raise TimeoutError("no answer in time")
        self._connection.settimeout(left)
        piece = self._connection.recv(65_536)
        if not piece:
            raise ConnectionResetError("the connection was closed")
        self._buffer += piece


def _read_info(lines: _Lines) -> dict[str, Any] | None:
    line = lines.line()
    if not line.startswith(b"INFO "):
        return None
    try:
        info = json.loads(line[5:])
    except ValueError:
        return None
    return info if isinstance(info, dict) else None


def _read_answer(connection: socket.socket, lines: _Lines) -> Delivery | None:
    while True:
        line = lines.line()
        words = line.decode(errors="replace").split(" ")
        if words[0] == "MSG":
            return Delivery(lines.exactly(int(words[-1])), words[3] if len(words) == 5 else "")
        if words[0] == "HMSG":
            headers, total = int(words[-2]), int(words[-1])
            content = lines.exactly(total)
            if re.match(rb"NATS/1\.0 \d{3}", content):
                return None
            return Delivery(content[headers:], words[3] if len(words) == 6 else "")
        if line == b"PING":
            connection.sendall(b"PONG\r\n")
        if line.startswith(b"-ERR"):
            raise ConnectionRefusedError(line[5:].decode(errors="replace"))
