"""Messages that the client has and nobody took yet: taken together, and not more of them than there is memory for."""

from __future__ import annotations

from confluent_kafka import Consumer

from brokercli.backends.kafka.odd_headers import OddHeaders, Stored

_EVERY = 256
MOST_BYTES = 8 << 20
"""About how much is taken at once. What came with one answer of a broker may be a hundred times as much, once it is decompressed."""


def take(consumer: Consumer, first: Stored, most: int, odd: OddHeaders) -> list[Stored]:
    """Return `first` and up to `most` that wait behind it, fewer where they are large. The last one that was taken says how large, and some of
    those before it, so that small ones are not weighed one by one."""
    messages = taken = [first]
    left = MOST_BYTES
    while True:
        size = 1 + max([len(message) + odd.size_of(message) for message in taken[::-_EVERY]])
        left -= size * len(taken)
        room = min(most + 1 - len(messages), left // size)
        if room <= 0:
            return messages
        taken = consumer.consume(room, 0)
        if not taken:
            return messages
        messages = messages + taken
