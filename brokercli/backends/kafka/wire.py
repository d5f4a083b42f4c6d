"""Kafka's protocol itself, as far as a bulk read needs it: a topic's id and leaders, and Fetch by that id.

Metadata version 12 and Fetch version 13, which brokers have since 3.1 (KIP-516); the message schemas are those of Apache Kafka's
`clients/src/main/resources/common/message`. Without TLS and without a login.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from struct import Struct
from time import monotonic
from typing import NamedTuple

LARGEST = 64 << 20
"""Bytes of an answer from which on it is not taken: one record batch may be as large as a topic allows."""
_PARTITION_BYTES = 2 << 20
_FETCH, _METADATA = (1, 13), (3, 12)
_CLIENT = b"brokercli"
_ROOM = 64 << 10
_READ_COMMITTED = 1
_NO_TAGS = b"\0"
_INT16, _INT32, _INT64 = Struct(">h"), Struct(">i"), Struct(">q")
_REQUEST = Struct(f">hhih{len(_CLIENT)}sB")
# replica, longest wait, fewest bytes, most bytes, isolation, session and its epoch: none
_FETCH_HEAD = Struct(">iiiibii")
# partition, its leader's epoch, offset, epoch of what was read last, where its log starts, most bytes
_WANTED = Struct(">iiqiqi")


class WireFailed(Exception):
    """A broker that is not there, or that answers something else than is known here."""


class Fetched(NamedTuple):
    """What a broker said of one partition: `records` are the places in the answer where its record batches begin and end."""

    partition: int
    error: int
    high: int
    """Where the partition ends, and below where what is committed ends."""
    stable: int
    records: tuple[int, int]


class Known(NamedTuple):
    """What a broker says of a topic: its id, 16 bytes, and the epoch of each partition's leader."""

    identity: bytes
    epochs: dict[int, int]


class _Answer:
    """Reads an answer from the front. Raises WireFailed where it ends too soon."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self.at = 0

    def number(self, kind: Struct) -> int:
        if self.at + kind.size > len(self._content):
            raise WireFailed("an answer that is cut off")
        value: int = kind.unpack_from(self._content, self.at)[0]
        self.at += kind.size
        return value

    def skip(self, size: int) -> int:
        """Pass over so many bytes, and return where they began."""
        at = self.at
        if size < 0 or at + size > len(self._content):
            raise WireFailed("an answer that is cut off")
        self.at += size
        return at

    def length(self) -> int:
        """Read a compact length, which is one too large: -1 is null."""
        value = shift = 0
        while True:
            byte = self._content[self.skip(1)]
            value |= (byte & 127) << shift
            if byte < 128:
                return value - 1
            shift += 7

    def tags(self) -> None:
        for _ in range(self.length() + 1):
            self.length()
            self.skip(self.length() + 1)


class Wire:
    """One connection to one broker, for one question at a time."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        """Connect within so many seconds. Raises WireFailed."""
        self._buffer = bytearray(_ROOM)
        self._size: int | None = None
        self._have = 0
        self._number = 0
        try:
            self._socket = socket.create_connection((host, port), seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as problem:
            raise WireFailed(str(problem)) from None

    def fileno(self) -> int:
        """What `select` waits for."""
        return self._socket.fileno()

    def learn(self, topic: str, seconds: float) -> Known:
        """Ask about a topic. Raises WireFailed, also where it has no id."""
        name = topic.encode()
        # one topic: no id, this name; none is to be created
        self._ask(_METADATA, b"\2" + bytes(16) + _length(len(name)) + name + _NO_TAGS + b"\0\0" + _NO_TAGS)
        content = self._wait(seconds)
        answer = self._begin(content)
        answer.skip(4)  # throttled for
        for _ in range(answer.length()):
            answer.skip(4)
            answer.skip(answer.length())
            answer.skip(4)
            answer.skip(max(0, answer.length()))
            answer.tags()
        answer.skip(max(0, answer.length()))
        answer.skip(4)
        if answer.length() != 1 or answer.number(_INT16):
            raise WireFailed("no such topic")
        answer.skip(answer.length())
        at = answer.skip(16)
        identity = bytes(content[at:at + 16])
        if not any(identity):
            raise WireFailed("a topic without an id")
        answer.skip(1)
        epochs = {}
        for _ in range(answer.length()):
            answer.skip(2)
            partition = answer.number(_INT32)
            answer.skip(4)
            epochs[partition] = answer.number(_INT32)
            for _ in range(3):  # its replicas, those in sync and those that are away
                answer.skip(4 * max(0, answer.length()))
            answer.tags()
        return Known(identity, epochs)

    def ask_for_records(self, topic: Known, offsets: Mapping[int, int], most: int, milliseconds: int) -> None:
        """Ask for what lies at offsets of some partitions of a topic, `most` bytes of it or one batch that is larger (KIP-74); the broker waits so
        long where there is nothing, and says so where a partition has another leader by now than it had. Raises WireFailed."""
        wanted = b"".join(_WANTED.pack(partition, topic.epochs.get(partition, -1), offset, -1, -1, min(most, _PARTITION_BYTES)) + _NO_TAGS
                          for partition, offset in offsets.items())
        self._ask(_FETCH, _FETCH_HEAD.pack(-1, milliseconds, 1, most, _READ_COMMITTED, 0, -1)
                  + b"\2" + topic.identity + _length(len(offsets)) + wanted + _NO_TAGS + b"\1" + b"\1" + _NO_TAGS)

    def records(self, seconds: float) -> tuple[memoryview, list[Fetched]] | None:
        """Return the answer to what was asked; None where it is not there, or not all of it, within so many seconds. What is returned is
        overwritten by the next call. Raises WireFailed."""
        content = self._receive(monotonic() + seconds)
        if content is None:
            return None
        return content, _fetched(self._begin(content))

    def _ask(self, question: tuple[int, int], body: bytes) -> None:
        self._number += 1
        head = _REQUEST.pack(*question, self._number, len(_CLIENT), _CLIENT, 0)
        try:
            self._socket.settimeout(1)
            self._socket.sendall(_INT32.pack(len(head) + len(body)) + head + body)
        except OSError as problem:
            raise WireFailed(str(problem)) from None

    def _wait(self, seconds: float) -> memoryview:
        content = self._receive(monotonic() + seconds)
        if content is None:
            raise WireFailed("no answer")
        return content

    def _receive(self, deadline: float) -> memoryview | None:
        """Return an answer without its length; None where it is not all there in time, to be gone on with."""
        while True:
            size = 4 if self._size is None else self._size
            if self._have == size:
                if self._size is not None:
                    self._size, self._have = None, 0
                    return memoryview(self._buffer)[:size]
                self._size, self._have = _INT32.unpack_from(self._buffer)[0], 0
                if not 4 <= self._size <= LARGEST:
                    raise WireFailed("an answer of a size that is not taken")
                if self._size > len(self._buffer):
                    self._buffer = bytearray(self._size)
                continue
            try:
                self._socket.settimeout(max(0.001, deadline - monotonic()))
                taken = self._socket.recv_into(memoryview(self._buffer)[self._have:size])
            except TimeoutError:
                return None
            except OSError as problem:
                raise WireFailed(str(problem)) from None
            if not taken:
                raise WireFailed("the broker closed the connection")
            self._have += taken

    def _begin(self, content: memoryview) -> _Answer:
        answer = _Answer(content)
        if answer.number(_INT32) != self._number:
            raise WireFailed("an answer to another question")
        answer.tags()
        return answer

    def close(self) -> None:
        """End it; what was asked is not answered any more."""
        self._socket.close()


def _fetched(answer: _Answer) -> list[Fetched]:
    answer.skip(4)  # throttled for
    if error := answer.number(_INT16):
        raise WireFailed(f"error {error}")
    answer.skip(4)
    found: list[Fetched] = []
    for _ in range(answer.length()):
        answer.skip(16)
        for _ in range(answer.length()):
            partition, error = answer.number(_INT32), answer.number(_INT16)
            high, stable = answer.number(_INT64), answer.number(_INT64)
            answer.skip(8)
            for _ in range(answer.length()):
                answer.skip(16)
                answer.tags()
            answer.skip(4)
            size = max(0, answer.length())
            begin = answer.skip(size)
            answer.tags()
            found.append(Fetched(partition, error, high, stable, (begin, begin + size)))
        answer.tags()
    return found


def _length(value: int) -> bytes:
    """Write a compact length."""
    value += 1
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes((*written, value))
