"""Answers of DIRECT.GET (ADR-31): stored messages with the server's own header lines behind theirs."""

from __future__ import annotations

from functools import lru_cache

from brokercli.backends.nats.bulk_parser import Delivery, split_headers, status_of
from brokercli.backends.nats.records import Row
from brokercli.model.position import NANOSECONDS, parse_time

# a stored message may have headers of the same names: the server's come last
_OWN_LINES = b"\r\nNats-Stream: "
_SEQUENCE = b"\r\nNats-Sequence: "


def answer_status(delivery: Delivery) -> int:
    """Return the status of an answer that is no message, 0 for a message, also for one whose own header block has a status."""
    block, _ = split_headers(delivery)
    return 0 if _SEQUENCE in block else status_of(block)[0]


def sequence_of(delivery: Delivery) -> int:
    """Return the sequence of a message."""
    block, _ = split_headers(delivery)
    start = block.rfind(_SEQUENCE) + len(_SEQUENCE)
    return int(block[start:block.find(b"\r\n", start)])


def stream_of(delivery: Delivery) -> bytes:
    """Return the stream that a message of an answer lies in: that of the mirror, where one answered for its origin (seen on 2.15.1)."""
    block, _ = split_headers(delivery)
    start = block.rfind(_OWN_LINES) + len(_OWN_LINES)
    return block[start:block.find(b"\r\n", start)]


def row_of(delivery: Delivery) -> Row:
    """Take the server's lines off and read them."""
    block, body = split_headers(delivery)
    own_end = block.rfind(_OWN_LINES)
    fields = dict(line.split(b": ", 1) for line in block[own_end + 2:].split(b"\r\n") if b": " in line)
    own = block[:own_end] + b"\r\n\r\n" if own_end > len(b"NATS/1.0") else b""
    return Row(fields[b"Nats-Subject"], int(fields[b"Nats-Sequence"]), _nanoseconds(fields[b"Nats-Time-Stamp"]), own, body)


def _nanoseconds(text: bytes) -> int:
    """Read `2026-11-23T22:18:55.617217407Z`; neighbours share their second, which is read once."""
    fraction = text[20:-1]
    return _second(text[:19]) + int(fraction.ljust(9, b"0") or 0)


@lru_cache(maxsize=64)
def _second(text: bytes) -> int:
    return parse_time(text.decode() + "Z") // NANOSECONDS * NANOSECONDS
