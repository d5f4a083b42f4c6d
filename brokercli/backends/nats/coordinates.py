"""What JetStream says about a delivery in its reply subject."""

from __future__ import annotations

from typing import NamedTuple


class Coordinates(NamedTuple):
    """Where a delivered message lies in its stream and among the deliveries of its consumer."""

    sequence: int
    delivered: int
    """Counts the consumer's deliveries, from 1."""
    nanoseconds: int
    pending: int
    """How many matching messages lie behind this one."""


def coordinates(reply: bytes) -> Coordinates:
    """Read `$JS.ACK.<stream>.<consumer>.<tries>.<sequence>.<delivered>.<ns>.<pending>`, or the form with domain and account
    (12 tokens, ADR-15)."""
    tokens = reply.split(b".")
    first = 5 if len(tokens) < 11 else 7
    return Coordinates(int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]), int(tokens[first + 3]))
