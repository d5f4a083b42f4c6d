"""As much of the NATS protocol as it takes to recognise our own server and to ask it one question."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

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


def request(port: int, token: str, subject: str, payload: dict[str, Any], timeout: float = 5.0) -> dict[str, Any]:
    """Ask a JetStream API subject and return the answer. Raises Failed with the server's own reason."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.settimeout(timeout)
            lines = _Lines(connection, timeout)
            _read_info(lines)
            body = json.dumps(payload).encode()
            hello = json.dumps({"auth_token": token, "verbose": False, "name": "brokercli", "lang": "python", "version": "0"}).encode()
            connection.sendall(b"CONNECT %b\r\nSUB _INBOX.local 1\r\nPUB %b _INBOX.local %d\r\n%b\r\n" % (hello, subject.encode(), len(body), body))
            answer = _read_answer(connection, lines)
    except OSError as problem:
        raise Unreachable(f"The local broker does not answer: {problem}.", hint="brokercli local status") from None
    if "error" in answer:
        raise Failed(f"The local broker refused {subject}: {answer['error'].get('description')}.")
    return answer


class _Lines:
    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + timeout
        self._buffer = b""

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


def _read_answer(connection: socket.socket, lines: _Lines) -> dict[str, Any]:
    while True:
        line = lines.line()
        if line.startswith(b"MSG "):
            answer = json.loads(lines.exactly(int(line.rsplit(b" ", 1)[1])))
            return answer if isinstance(answer, dict) else {}
        if line.startswith(b"HMSG "):
            headers, total = (int(number) for number in line.split(b" ")[-2:])
            status = lines.exactly(total)[:headers].partition(b"\r\n")[0].decode(errors="replace")
            raise ConnectionRefusedError(f"JetStream is not there ({status})")
        if line == b"PING":
            connection.sendall(b"PONG\r\n")
        if line.startswith(b"-ERR"):
            raise ConnectionRefusedError(line[5:].decode(errors="replace"))
