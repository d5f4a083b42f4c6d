"""Records as bytes on the wire, for what no Python client can send or shows."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

_POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _varint(number: int) -> bytes:
    zigzag = (number << 1) ^ (number >> 63)
    encoded = b""
    while zigzag > 127:
        encoded += bytes([zigzag & 127 | 128])
        zigzag >>= 7
    return encoded + bytes([zigzag])


def _counted(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data


def record(offset: int, time: int, key: bytes | None, body: bytes | None, headers: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """Write a record: offset and time are those behind its batch's first."""
    written = _varint(len(headers)) + b"".join(_counted(name) + _counted(content) for name, content in headers)
    return _counted(b"\0" + _varint(time) + _varint(offset) + _counted(key) + _counted(body) + written)


def record_batch(records: Sequence[bytes], first: int, last: int, attributes: int, now: int = 0) -> bytes:
    """Write a batch of magic 2 of records: `first` is its offset, `last` that of its last one behind it, `now` the time in milliseconds.
    It has no checksum yet."""
    content = struct.pack(">hiqqqhii", attributes, last, now, now, -1, -1, -1, len(records)) + b"".join(records)
    return struct.pack(">qiibI", first, 9 + len(content), -1, 2, 0) + content


def produce(address: str, topic: str, value: bytes, headers: Sequence[tuple[bytes, bytes | None]], milliseconds: int | None = None) -> None:
    """Store one record in partition 0: a Produce request of version 3 with a batch of magic 2."""
    unchecked = record_batch([record(0, 0, None, value, headers)], 0, 0, 0, int(time.time() * 1000) if milliseconds is None else milliseconds)
    batch = unchecked[:17] + struct.pack(">I", _crc32c(unchecked[21:])) + unchecked[21:]
    name = topic.encode()
    request = (struct.pack(">hhih", 0, 3, 1, 1) + b"t" + struct.pack(">hhii", -1, -1, 10_000, 1) + struct.pack(">h", len(name)) + name
               + struct.pack(">iii", 1, 0, len(batch)) + batch)
    answer = _asked(address, request)
    # length, correlation, topics, name, partitions, partition, error
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + 4 + 2 + len(name) + 4 + 4)
    assert error == 0, error


def limit(address: str, client: str, quota: str, value: float) -> None:
    """Set a quota of a client id (producer_byte_rate, consumer_byte_rate): an AlterClientQuotas request of version 0."""
    def text(words: str) -> bytes:
        return struct.pack(">h", len(words)) + words.encode()

    entity = struct.pack(">i", 1) + text("client-id") + text(client)
    change = struct.pack(">i", 1) + text(quota) + struct.pack(">d?", value, False)
    answer = _asked(address, struct.pack(">hhih", 49, 0, 1, 1) + b"t" + struct.pack(">i", 1) + entity + change + b"\0")
    # length, correlation, throttle time, entries, error
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + 4 + 4)
    assert error == 0, error


def streams_heartbeat(address: str, group: str, member: str, epoch: int, topic: str) -> tuple[int, int]:
    """Join a streams group (epoch 0), or leave it (-1), as a member whose topology reads one topic (KIP-1071): a StreamsGroupHeartbeat request of
    version 0, by StreamsGroupHeartbeatRequest.json of Apache Kafka. Return the error and the member's epoch."""
    def text(words: str) -> bytes:
        return bytes([len(words.encode()) + 1]) + words.encode()

    nothing, empty, none = b"\0", b"\1", b"\0"
    source = text("0") + b"\2" + text(topic) + 5 * empty + nothing
    topology = b"\1" + struct.pack(">i", 1) + b"\2" + source + nothing
    tasks = empty if epoch == 0 else none
    process = text("process") if epoch == 0 else none
    content = (text(group) + text(member) + struct.pack(">ii", epoch, 0) + none + none + struct.pack(">i", 60_000)
               + (topology if epoch == 0 else b"\xff") + 3 * tasks + process + b"\xff" + tasks + none + none + b"\0" + nothing)
    answer = _asked(address, struct.pack(">hhih", 88, 0, 1, 1) + b"t" + nothing + content)
    # length, correlation, tags, throttle time; then an error, its words and the member
    at = 4 + 4 + 1 + 4
    (error,) = struct.unpack_from(">h", answer, at)
    at += 2
    for _ in range(2):
        at += max(1, answer[at])
    return error, struct.unpack_from(">i", answer, at)[0]


def _asked(address: str, request: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer, wanted = b"", 4
        while len(answer) < wanted:
            # it may come in pieces, and begins with how long it is
            piece = connection.recv(4096)
            assert piece, "the broker hung up"
            answer += piece
            wanted = 4 + struct.unpack_from(">i", answer)[0] if len(answer) >= 4 else 4
    return answer
