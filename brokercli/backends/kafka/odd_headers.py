"""Headers whose names are not UTF-8: Kafka takes any bytes, and its Python client cannot read a record that has one.

Such a record is read from its broker once more, in another way (`header_bytes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Message as KafkaMessage

from brokercli.model.errors import Failed
from brokercli.model.message import Header, bytes_in

Stored = Any
"""A `confluent_kafka.Message` of a consumer; its type says of every part that it may be missing, which is not so here."""
Place = tuple[str, int, int]
"""Topic, partition, offset."""

ReadAnew = Callable[[Place], tuple[Header, ...]]
"""Reads a record for its headers. Waits for the broker, twice the connect timeout at most. Raises Failed where they cannot be had: on
Windows, behind a login by token, when the record is deleted meanwhile, when no answer comes."""

_ask: Callable[[Stored], Any] = KafkaMessage.headers
"""Asks the client for headers. Only ever called by `map`, which sees that the client failed though it returned something: to look into
that ends the process (2.16.1)."""


def place_of(message: Stored) -> Place:
    """Return where a record lies."""
    return message.topic(), message.partition(), message.offset()


def readable_headers(message: Stored) -> Sequence[Header]:
    """Return a record's headers; none where the client cannot read them. For a record whose headers nobody else asks the client for."""
    return _asked(message) or ()


def _asked(message: Stored) -> Sequence[Header] | None:
    """Return what the client says of one record's headers; None where it cannot read them."""
    try:
        (found,) = map(_ask, (message,))
    except (UnicodeDecodeError, SystemError):
        return None
    return found or ()


class OddHeaders:
    """The headers of the records of one read, and of every selection of them: such records are read anew, each once. Their names come out
    with what is not UTF-8 escaped (surrogateescape)."""

    def __init__(self, read_anew: ReadAnew) -> None:
        self._read_anew = read_anew
        self.largest = 0
        """Bytes of the largest headers that were weighed."""
        self._met: dict[Place, tuple[Header, ...] | Failed | None] = {}
        """What became of those that were met, None until it is known. Nobody may ask the client for their headers again: it returns a broken
        tuple."""

    def of(self, messages: Sequence[Stored]) -> list[Sequence[Header]]:
        """Return the headers of each. Raises Failed as `ReadAnew`."""
        found: list[Any] = []
        if not self._met:
            try:
                # as many as could be read are in it when one cannot
                found.extend(map(_ask, messages))
            except (UnicodeDecodeError, SystemError):
                found.append(self._read(place_of(messages[len(found)])))
        if len(found) < len(messages):
            found.extend([self._of_one(message) for message in messages[len(found):]])
        return [headers or () for headers in found] if any(found) else [()] * len(found)

    def size_of(self, message: Stored) -> int:
        """Return how many bytes a record's headers have; 0 where the client cannot read them, which is found out without reading it anew."""
        place = place_of(message)
        found: Any = None if place in self._met else _asked(message)
        if found is None:
            self._met.setdefault(place)
            return 0
        size = bytes_in(found)
        self.largest = max(self.largest, size)
        return size

    def _of_one(self, message: Stored) -> Sequence[Header]:
        found = None if place_of(message) in self._met else _asked(message)
        return self._read(place_of(message)) if found is None else found

    def _read(self, place: Place) -> tuple[Header, ...]:
        found: tuple[Header, ...] | Failed | None = self._met.setdefault(place)
        if found is None:
            try:
                found = self._read_anew(place)
            except Failed as problem:
                found = problem
            self._met[place] = found
        if isinstance(found, Failed):
            raise found
        return found
