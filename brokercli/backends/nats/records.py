"""Messages of NATS and JetStream as bodies, envelopes and records, header bytes as they were stored.

Delivered by a consumer or a core subscription (`Delivered`), or read by sequence (`Fetched`, see `direct_get.py`). A core message
has neither stream nor sequence nor time; its envelope says `"time":null` and leaves the other two out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson

from brokercli.backends.contract import Batch, Outline
from brokercli.backends.envelope import write_header_lists, write_strings
from brokercli.backends.envelope_values import text_or_base64
from brokercli.backends.nats.bulk_parser import Delivery, reply_of, split_headers
from brokercli.backends.nats.coordinates import coordinates
from brokercli.backends.nats.runs import Run
from brokercli.model.message import Header, Message, Place, Record
from brokercli.model.position import NANOSECONDS, format_time

MESSAGE_ID = "nats-msg-id"
_LARGEST_REMEMBERED = 4096
"""Bytes of a header block that is kept for the next ones like it."""


def read_headers(block: bytes) -> tuple[Header, ...]:
    """Read a header block in order, repeats and bytes kept; blocks that are the same mostly give the same object.

    One space after the colon belongs to the protocol, further ones to the value. A line without a colon is a name with a
    null value, so that it can be written again as it was.
    """
    if not block:
        return ()
    return _read_block(block) if len(block) > _LARGEST_REMEMBERED else _read_small_block(block)


def _read_block(block: bytes) -> tuple[Header, ...]:
    headers: list[Header] = []
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b": ")
        if colon and b":" not in name:
            headers.append((_name(name), value))
        elif line:
            # a value that begins right behind the colon, or none
            name, colon, value = line.partition(b":")
            headers.append((_name(name), value if colon else None))
    return tuple(headers)


@lru_cache(maxsize=1024)
def _name(octets: bytes) -> str:
    return octets.decode(errors="surrogateescape")


_read_small_block = lru_cache(maxsize=256)(_read_block)


class Row(NamedTuple):
    """One message in parts."""

    subject: bytes
    sequence: int | None
    nanoseconds: int | None
    block: bytes
    body: bytes


_BEFORE_SUBJECT = b'{"v":1,"broker":"nats","subject":'
_BETWEEN = b'Z","key":null,"headers":[],"body":'


class NatsBatch(Batch):
    """What the ways in have in common; `stream` is None for core messages."""

    stream: str | None
    _headers: list[tuple[Header, ...]] | None = None
    """Of each message, once somebody asked for them."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return the messages in parts."""

    def envelopes(self) -> list[bytes]:
        rows, times = self.rows(), _Times()
        read = dict(zip([row[3] for row in rows], self.headers(), strict=True))
        written = dict(zip(read, write_header_lists(list(read.values())), strict=True))
        subjects: dict[bytes, bytes] = {}
        lines = write_strings([row[4] for row in rows])
        # each in the place of its body as it was written: large ones are not held twice
        for index, ((subject, sequence, nanoseconds, block, _), text) in enumerate(zip(rows, lines, strict=True)):
            name = subjects.get(subject)
            if name is None:
                name = subjects[subject] = self._start(subject)
            headers = written[block]
            if sequence is not None and nanoseconds is not None:
                lines[index] = b'%b%d,"time":"%b","key":null,"headers":%b,"body":%b}' % (name, sequence, times.write(nanoseconds), headers, text)
            else:
                lines[index] = b'%b,"time":null,"key":null,"headers":%b,"body":%b}' % (name, headers, text)
        return lines

    def headers(self) -> list[tuple[Header, ...]]:
        """Return the headers of each message."""
        if self._headers is None:
            self._headers = [read_headers(row[3]) for row in self.rows()]
        return self._headers

    def _start(self, subject: bytes) -> bytes:
        """Write an envelope up to the sequence, or up to the time where there is none."""
        start = _BEFORE_SUBJECT + orjson.dumps(text_or_base64(subject))
        return start if self.stream is None else b'%b,"stream":%b,"sequence":' % (start, orjson.dumps(self.stream))

    def records(self) -> list[Record]:
        return [self._record(row) for row in self.rows()]

    def outlines(self) -> list[Outline]:
        return [(headers, None, body, nanoseconds, _name(subject))
                for (subject, _, nanoseconds, _, body), headers in zip(self.rows(), self.headers(), strict=True)]

    def positions(self) -> list[str]:
        return ["" if self.stream is None else str(row[1]) for row in self.rows()]

    def _record(self, row: Row) -> Record:
        subject = row.subject.decode(errors="surrogateescape")
        headers = read_headers(row.block)
        place: Place = {"subject": subject}
        if self.stream is not None:
            place |= {"stream": self.stream, "sequence": row.sequence}
        message = Message(body=row.body, headers=headers, id=_message_id(headers), route=subject, origin="nats")
        return Record("nats", place, "" if self.stream is None else str(row.sequence), row.nanoseconds, message)


class Delivered(NatsBatch):
    """Deliveries as the parser collected them; of one consumer where `stream` is said, else of core subscriptions."""

    __slots__ = ("_messages", "_rows", "stream")

    def __init__(self, messages: list[Delivery], stream: str | None) -> None:
        self._messages = messages
        self._rows: list[Row] | None = None
        """Once somebody asked for them; then nothing is left of the deliveries, whose bodies those with headers have as their own."""
        self.stream = stream

    def __len__(self) -> int:
        return len(self._messages if self._rows is None else self._rows)

    def bodies(self) -> list[bytes]:
        if self._rows is not None:
            return [row.body for row in self._rows]
        return [payload if len(parts[0]) == 3 else payload[int(parts[-2]):] for parts, payload in self._messages]

    def rows(self) -> list[Row]:
        if self._rows is None:
            rows: list[Row] = []
            known, new = b"", tuple.__new__
            for delivery in self._messages:
                parts, body = delivery
                block = b""
                if len(parts[0]) != 3:
                    block, body = split_headers(delivery)
                    # one object for neighbours: whoever looks up what it says finds it faster
                    if block == known:
                        block = known
                    known = block
                if self.stream is None:
                    rows.append(Row(parts[1], None, None, block, body))
                    continue
                tokens = parts[3].split(b".")
                first = 5 if len(tokens) < 11 else 7
                rows.append(new(Row, (parts[1], int(tokens[first]), int(tokens[first + 2]), block, body)))
            self._rows, self._messages = rows, []
        return self._rows

    def select(self, indices: Sequence[int]) -> NatsBatch:
        messages, rows = self._messages, self._rows
        if rows is not None:
            return Fetched([rows[index] for index in indices], self.stream, at_home=self.at_home)
        return Delivered([messages[index] for index in indices], self.stream)


class DeliveredRun(NatsBatch):
    """Messages without headers of one consumer, their control lines unparsed until somebody asks."""

    __slots__ = ("_run", "stream")

    def __init__(self, run: Run, stream: str | None) -> None:
        self._run = run
        self.stream = stream

    def __len__(self) -> int:
        return len(self._run)

    def bodies(self) -> list[bytes]:
        return self._run.bodies

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for line, body in zip(self._run.lines, self._run.bodies, strict=True):
            _, subject, _, reply, _ = line.split(b" ")
            found = coordinates(reply)
            rows.append(Row(subject, found.sequence, found.nanoseconds, b"", body))
        return rows

    def envelopes(self) -> list[bytes]:
        starts, seconds, times = _Starts(self._start), _Seconds(), _Times()
        lines: list[bytes] = []
        for line, body in zip(self._run.lines, write_strings(self._run.bodies), strict=True):
            head, sequence, _, nanoseconds, _ = line.rsplit(b".", 4)
            start, second, rest = starts[head], seconds[nanoseconds[:-9]], nanoseconds[-9:]
            if start is None:
                return super().envelopes()
            if second is None or rest.endswith(b"000"):
                lines.append(b'%b%b,"time":"%b","key":null,"headers":[],"body":%b}' % (start, sequence, times.write(int(nanoseconds)), body))
            else:
                lines.append(b"".join((start, sequence, second, rest, _BETWEEN, body, b"}")))
        return lines

    def select(self, indices: Sequence[int]) -> DeliveredRun:
        lines, bodies = self._run.lines, self._run.bodies
        return DeliveredRun(Run([lines[index] for index in indices], [bodies[index] for index in indices]), self.stream)


class Fetched(NatsBatch):
    """Messages read by sequence."""

    def __init__(self, rows: list[Row], stream: str | None, *, at_home: bool = False) -> None:
        self._rows = rows
        self.stream = stream
        self.at_home = at_home

    def __len__(self) -> int:
        return len(self._rows)

    def bodies(self) -> list[bytes]:
        return [row.body for row in self._rows]

    def rows(self) -> list[Row]:
        return self._rows

    def select(self, indices: Sequence[int]) -> Fetched:
        rows = self._rows
        return Fetched([rows[index] for index in indices], self.stream, at_home=self.at_home)


class _Starts(dict[bytes, bytes | None]):
    """What stands in a control line before the sequence → what stands in an envelope there; None for reply subjects of the
    longer form."""

    def __init__(self, start: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._start = start

    def __missing__(self, head: bytes) -> bytes | None:
        _, subject, _, reply = head.split(b" ")
        found = self[head] = self._start(subject) if reply.count(b".") == 4 else None
        return found


class _Seconds(dict[bytes, bytes | None]):
    """Seconds since 1970 → how a time within them begins in an envelope; None for years that have no name."""

    def __missing__(self, seconds: bytes) -> bytes | None:
        whole = format_time(int(seconds) * NANOSECONDS).encode() if seconds.isdigit() else b""
        found = self[seconds] = b',"time":"' + whole[:-4] if whole.endswith(b".000Z") else None
        return found


class _Times:
    """Writes times as `format_time` does; neighbours share their second, which is written once."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = b""

    def write(self, nanoseconds: int) -> bytes:
        second, rest = divmod(nanoseconds, NANOSECONDS)
        if second != self._second:
            whole = format_time(second * NANOSECONDS)
            if not whole.endswith(".000Z"):
                return format_time(nanoseconds).encode()
            self._second, self._prefix = second, whole[:-4].encode()
        if rest % 1000:
            return b"%b%09dZ" % (self._prefix, rest)
        return b"%b%06dZ" % (self._prefix, rest // 1000) if rest % 1_000_000 else b"%b%03dZ" % (self._prefix, rest // 1_000_000)


def is_stored(delivery: Delivery) -> bool:
    """Whether a delivery is a message of a consumer and not a word about it: only messages can be answered."""
    return reply_of(delivery[0]).startswith(b"$JS.ACK.")


def _message_id(headers: tuple[Header, ...]) -> str | None:
    for name, value in headers:
        if name.lower() == MESSAGE_ID and isinstance(value, bytes):
            return value.strip().decode(errors="surrogateescape")
    return None
