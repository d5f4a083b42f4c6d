"""Whether bodies are fetched straight from the brokers (`look_bodies.py`): asked by every replay of bodies, most of which are small."""

from __future__ import annotations

from collections.abc import Mapping

from brokercli.model.connection import Connection

MANY = 20_000
"""So many records are worth a connection of their own."""


def is_plain(connection: Connection) -> bool:
    """Whether the brokers can be talked to without TLS and a login, and nothing was said about how to read."""
    return (connection.tls is None and connection.user is None and connection.password is None and connection.token is None and connection.mechanism is None
            and not connection.options)


def are_many(starts: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    """Whether it is worth it for what lies between the starts and the ends of some partitions."""
    return sum(ends.values()) - sum(starts.values()) >= MANY
