"""Why a connection failed: a few bytes to the port, after the client has given up. No login leaves us here."""

from __future__ import annotations

import socket
import ssl
import struct
from time import monotonic

from brokercli.backends.handshake import not_trusted, ours_refused, speaks_tls
from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS

# ApiVersions version 0 and SaslHandshake version 1 (Kafka protocol): both are answered before any login
_API_VERSIONS, _SASL_HANDSHAKE = 18, 17
_CLIENT = b"brokercli"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
_BANNERS = ((b"INFO {", "NATS"), (b"AMQP", "RabbitMQ (AMQP)"), (b"HTTP/", "HTTP"), (b"SSH-", "SSH"), (b"-ERR", "Redis"))


class Finding(Exception):
    """What the port turned out to be. `login` says that it is about who we are and not about where we connect."""

    def __init__(self, text: str, hint: str, *, login: bool = False) -> None:
        super().__init__(text)
        self.hint = hint
        self.login = login


def probe(host: str, port: int, tls: TLS | None, seconds: float) -> Finding | None:
    """Return what is wrong with a port that is open but is no Kafka for us, or None when it cannot be told within `seconds`."""
    deadline = monotonic() + seconds
    try:
        if tls is None:
            _plain(host, port, deadline)
        else:
            _encrypted(host, port, tls, deadline)
    except Finding as finding:
        return finding
    except OSError:
        return None
    return None


def _plain(host: str, port: int, deadline: float) -> None:
    with _open(host, port, deadline) as connection:
        answer = _ask(connection, _API_VERSIONS, 0, b"", deadline)
        hung_up = not answer and not _is_open(connection)
        if answer[4:8] == b"\0\0\0\1":
            _login(connection, deadline)
            return
    if answer.startswith(_TLS_RECORDS) or speaks_tls(host, port, _left(deadline)):
        raise Finding("it wants TLS", "write kafkas:// instead of kafka://")
    _banner(answer)
    if hung_up:
        raise Finding("it closes every connection", "a proxy whose broker is away looks like this; brokercli doctor tries each step")
    with _open(host, port, deadline) as connection:
        connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        _banner(_receive(connection, 5, deadline))


def _encrypted(host: str, port: int, tls: TLS, deadline: float) -> None:
    context = tls_context(tls)
    with _open(host, port, deadline) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=host) as connection:
                if _ask(connection, _API_VERSIONS, 0, b"", deadline)[4:8] == b"\0\0\0\1":
                    _login(connection, deadline)
        except ssl.SSLCertVerificationError as problem:
            reason, hint = not_trusted(problem, name_can_be_said=False)
            raise Finding(f"its certificate was not accepted: {reason}", hint, login=True) from None
        except ssl.SSLError as problem:
            if refusal := ours_refused(problem, tls):
                raise Finding(*refusal, login=True) from None
    with _open(host, port, deadline) as connection:
        answer = _ask(connection, _API_VERSIONS, 0, b"", deadline)
        if answer[4:8] == b"\0\0\0\1":
            raise Finding("it speaks Kafka without TLS", "write kafka:// instead of kafkas://")
        _banner(answer)


def _login(connection: socket.socket, deadline: float) -> None:
    # no login follows; for a mechanism that it does not have the broker takes its time
    name = b"PLAIN"
    answer = _ask(connection, _SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name, deadline)
    # an error code, then the names of the mechanisms; a listener without SASL answers ILLEGAL_SASL_STATE and no names
    if len(answer) < 14 or (count := struct.unpack_from(">i", answer, 10)[0]) < 1:
        return
    at = 14
    names: list[str] = []
    while len(names) < min(count, 20) and at + 2 <= len(answer):
        (length,) = struct.unpack_from(">h", answer, at)
        names.append(answer[at + 2:at + 2 + length].decode(errors="replace"))
        at += 2 + max(0, length)
    raise Finding(f"it wants a login ({', '.join(sorted(names))})", "set user and password, and the mechanism where it is not PLAIN", login=True)


def _banner(answer: bytes) -> None:
    for start, name in _BANNERS:
        if answer.startswith(start):
            raise Finding(f"it speaks {name}, not Kafka", "check the port; Kafka's usual one is 9092")
    if answer:
        raise Finding("it does not speak Kafka's protocol", "check the port; Kafka's usual one is 9092")


def _open(host: str, port: int, deadline: float) -> socket.socket:
    connection = socket.create_connection((host, port), _left(deadline))
    connection.settimeout(_left(deadline))
    return connection


def _is_open(connection: socket.socket) -> bool:
    try:
        connection.settimeout(0)
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    # each question gets a part, so that one silence leaves time for the next
    return max(0.05, left / 2)


def _ask(connection: socket.socket, key: int, version: int, body: bytes, deadline: float) -> bytes:
    request = struct.pack(">hhih", key, version, 1, len(_CLIENT)) + _CLIENT + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    return _receive(connection, 4096, deadline)


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    """Return the first piece of what comes; nothing where nothing comes or the connection breaks."""
    connection.settimeout(_left(deadline))
    try:
        return connection.recv(size)
    except ssl.SSLError:
        raise
    except OSError:
        return b""
