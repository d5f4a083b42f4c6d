"""What a port is that is no RabbitMQ for us: a few bytes to it, after AMQP has failed. No login leaves us here."""

from __future__ import annotations

import socket

from brokercli.backends.handshake import speaks_tls
from brokercli.model.connection import Connection
from brokercli.model.errors import Unreachable

_BANNERS = ((b"INFO {", "NATS"), (b"HTTP/", "HTTP"), (b"SSH-", "SSH"), (b"-ERR", "Redis"), (b"220 ", "SMTP or FTP"))
_CHECK_THE_PORT = "check the port; RabbitMQ's usual one is 5672"


def explain_greeting(connection: Connection, where: str, greeting: bytes, host: str, port: int, seconds: float) -> Unreachable:
    """Say what a port is that answered AMQP's first words with something else, or hung up on them."""
    if greeting.startswith(b"AMQP"):
        return Unreachable(f"{where}: it speaks another version of AMQP ({'.'.join(map(str, greeting[5:8]))}).", hint="what is spoken here is 0.9.1")
    if greeting[:2] == b"\x15\x03" or (not greeting and connection.tls is None and speaks_tls(host, port, max(0.1, seconds / 2))):
        return Unreachable(f"{where}: it wants TLS.", hint="write amqps:// instead of amqp://")
    for start, name in _BANNERS:
        if greeting.startswith(start):
            return Unreachable(f"{where}: it speaks {name}, not AMQP.", hint=_CHECK_THE_PORT)
    if not greeting and connection.tls is None and _speaks_kafka(host, port, seconds):
        return Unreachable(f"{where}: it speaks Kafka, not AMQP.", hint=f"write kafka://{host}:{port}, or use RabbitMQ's port, usually 5672")
    return Unreachable(f"{where}: it does not speak AMQP 0.9.1" + ("; it hung up." if not greeting else "."), hint=_CHECK_THE_PORT)


def explain_silence(where: str, host: str, port: int, seconds: float) -> Unreachable:
    """Say what a port is that took AMQP's first words and did not answer."""
    if _speaks_http(host, port, seconds):
        return Unreachable(f"{where}: it speaks HTTP, not AMQP.", hint="15672 is the management API; RabbitMQ's usual port for messages is 5672")
    return Unreachable(f"{where}: the port is open but says nothing to AMQP.", hint="a hung broker or a port that is not RabbitMQ's looks like this")


def _speaks_http(host: str, port: int, seconds: float) -> bool:
    try:
        with socket.create_connection((host, port), max(0.1, seconds / 2)) as asked:
            asked.settimeout(max(0.1, seconds / 2))
            asked.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return asked.recv(8).startswith(b"HTTP/")
    except OSError:
        return False


def _speaks_kafka(host: str, port: int, seconds: float) -> bool:
    # ApiVersions version 0, which every Kafka broker answers before any login
    request = b"\0\x12\0\0\0\0\0\1\0\1b"
    try:
        with socket.create_connection((host, port), max(0.1, seconds / 2)) as asked:
            asked.settimeout(max(0.1, seconds / 2))
            asked.sendall(len(request).to_bytes(4, "big") + request)
            return asked.recv(16)[4:8] == b"\0\0\0\1"
    except OSError:
        return False
