"""What was written to a channel and has no verdict yet, and which of it a returned message was."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from brokercli.backends.rabbitmq.amqp_table import decode_table, encode_table
from brokercli.backends.rabbitmq.bulk_frames import Returned
from brokercli.backends.rabbitmq.exact_properties import split_headers

_SHORT = 4096


class Entry(NamedTuple):
    """One accepted message."""

    number: int
    """Its receipt's index."""
    routing_key: bytes
    properties: bytes
    body: bytes
    size: int
    """What it counts for among what is held."""
    deadline: float
    risk: str = ""
    """Why it may take its neighbours down with it, so that it is sent alone; empty for nearly all."""


class InFlight:
    """Entries by the channel's publish number, in its order; numbers start at 1 on each channel.

    A basic.return says no number. What is certain is that the broker handles one channel's messages in order and returns an
    unroutable one at once, before it confirms it (RabbitMQ's confirms guide; rabbit_channel), so returns come in the order of
    their messages. A returned message is therefore the first one behind the last returned that has its exchange, routing key,
    body and properties; where the broker added headers, the first of those that have most of them in common. Where several
    are identical and only some could be routed, because a binding came or went in between, the count is right and the
    messages are interchangeable.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._next = 1
        self._lowest = 1
        self._returned = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def lowest(self) -> Entry | None:
        """The first of those written that has no verdict."""
        return next(iter(self._entries.values()), None)

    def add(self, entry: Entry) -> None:
        """Note what was written next."""
        self._entries[self._next] = entry
        self._next += 1

    def settle(self, tag: int, multiple: bool) -> list[Entry]:
        """Take out the entry of a confirm, or with `multiple` all up to it; those already taken out are left out."""
        if not multiple:
            entry = self._entries.pop(tag, None)
            return [] if entry is None else [entry]
        entries, taken = self._entries, []
        for number in range(self._lowest, min(tag + 1 if tag else self._next, self._next)):
            entry = entries.pop(number, None)
            if entry is not None:
                taken.append(entry)
        self._lowest = max(self._lowest, min(tag + 1 if tag else self._next, self._next))
        return taken

    def take_returned(self, message: Returned) -> Entry | None:
        """Take out the entry of a returned message; None where it has its verdict already."""
        entries, wanted = self._entries, _comparable(message.properties)
        chosen, most = 0, -1
        for number in range(max(self._lowest, self._returned + 1), self._next):
            entry = entries.get(number)
            if entry is None or entry.routing_key != message.routing_key or entry.body != message.body:
                continue
            # one behind it with these very octets is another message all the same
            if entry.properties == message.properties or (compared := _comparable(entry.properties)) == wanted:
                chosen = number
                break
            # a broker may write headers of its own on what comes in (message_interceptors), and returns them
            common = len(compared.headers) if compared.headers <= wanted.headers else -1
            if not chosen or common > most:
                chosen, most = number, common
        if not chosen:
            return None
        self._returned = chosen
        return entries.pop(chosen)

    def take_expired(self, now: float) -> list[Entry]:
        """Take out what has waited for too long."""
        expired = [number for number, entry in self._entries.items() if entry.deadline <= now]
        return [self._entries.pop(number) for number in expired]

    def take_all(self) -> list[Entry]:
        """Take out everything."""
        taken = list(self._entries.values())
        self._entries.clear()
        return taken


class _Comparable(NamedTuple):
    fixed: bytes
    headers: frozenset[bytes]
    """Encoded, in no order: RabbitMQ sorts them by name. To Python True and 1 are equal, and encoded they are not."""


def _comparable(properties: bytes) -> _Comparable:
    return _read_short(properties) if len(properties) <= _SHORT else _read(properties)


def _read(properties: bytes) -> _Comparable:
    fixed, table = split_headers(properties)
    return _Comparable(fixed, frozenset([encode_table((header,)) for header in decode_table(table)[0]]) if table else frozenset())


_read_short = lru_cache(maxsize=2048)(_read)
"""The same, once for all of a window: each that comes back is compared with those before it."""
