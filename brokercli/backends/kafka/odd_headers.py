"""Headers whose names are not UTF-8: Kafka takes any bytes, and its Python client cannot read a record that has one.

Such a record is read from its broker once more, in another way (`header_bytes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import Message as KafkaMessage

from brokercli.model.connection import Connection
from brokercli.model.errors import Failed
from brokercli.model.message import Header

if TYPE_CHECKING:
    from brokercli.backends.kafka.header_bytes import HeaderBytes

Stored = Any
"""A `confluent_kafka.Message` of a consumer; its type says of every part that it may be missing, which is not so here."""
Place = tuple[str, int, int]
"""Topic, partition, offset."""

ask: Callable[[Stored], Any] = KafkaMessage.headers
"""Asks the client for headers. Only ever called by `map`, which sees that the client failed though it returned something: to look into
that ends the process (2.16.1)."""


def place_of(message: Stored) -> Place:
    """Return where a record lies."""
    return message.topic(), message.partition(), message.offset()


def names_of(message: Stored) -> set[str]:
    """Return the names of a record's headers, of which nobody has asked or will ask the client; none where it cannot read them."""
    return {name for name, _ in _asked(message) or ()}


def _asked(message: Stored) -> Sequence[Header] | None:
    """Return what the client says of one record's headers; None where it cannot read them."""
    try:
        (found,) = map(ask, (message,))
    except (UnicodeDecodeError, SystemError):
        return None
    return found or ()


class OddHeaders:
    """Reads such records, each once; their names come out with what is not UTF-8 escaped (surrogateescape). One for each connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bytes: HeaderBytes | None = None
        self.met: dict[Place, tuple[Header, ...] | Failed] = {}
        """What became of those that were met. Nobody may ask the client for their headers again: it returns a broken tuple."""

    def headers_of(self, message: Stored) -> Sequence[Header]:
        """Return the headers of any record, of which nobody has asked the client for them unless it is among those met. Raises as `read`."""
        found = None if place_of(message) in self.met else _asked(message)
        return self.read(place_of(message)) if found is None else found

    def read(self, place: Place) -> tuple[Header, ...]:
        """Return the headers of such a record. Waits for the broker, twice the connect timeout at most. Raises Failed where they cannot be
        had: on Windows, behind a login by token, when the record is deleted meanwhile, when no answer comes."""
        found = self.met.get(place)
        if found is None:
            if self._bytes is None:
                from brokercli.backends.kafka.header_bytes import HeaderBytes

                self._bytes = HeaderBytes(self._connection)
            try:
                found = self._bytes.read(place)
            except Failed as problem:
                found = problem
            self.met[place] = found
        if isinstance(found, Failed):
            raise found
        return found

    def close(self) -> None:
        """Let go of its connection, where it needed one. May be called twice."""
        if self._bytes is not None:
            self._bytes.close()
