"""What one publishes (`Message`) and what a broker stored (`Record`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Typed(NamedTuple):
    """A header value of an AMQP field type that JSON and Python have no word for.

    `kind` is the type's name as the envelope writes it: int8, uint8, int16, uint16, int32, uint32, int64, float32,
    double, decimal, timestamp, bytes, table, array. `value` is exact: an int for the integers and for `timestamp`
    (the stored 64-bit number, whatever its unit), the raw big-endian bits as an int for float32 and double,
    `(scale, unscaled)` for decimal, bytes for `bytes`, a tuple of headers for `table`, a tuple of values for `array`.
    """

    kind: str
    value: object


HeaderValue = bytes | None | bool | int | float | Typed
"""bytes is a string or blob (Kafka, NATS: always; AMQP: a long string), None is null or void, bool, int and float are
AMQP's boolean, signed 64-bit integer and double; everything else AMQP knows is `Typed`."""

Header = tuple[str, HeaderValue]
"""A name and a value. A name that is not UTF-8 is carried with `surrogateescape`."""


def bytes_in(headers: Sequence[Header]) -> int:
    """Return about how many bytes headers hold."""
    return sum([len(name) + (len(value) if type(value) is bytes else _bytes_in(value)) for name, value in headers])


def _bytes_in(value: object) -> int:
    if isinstance(value, (bytes, str)):
        return len(value)
    # a table, an array, or what has a type of its own: each of them is a tuple
    return sum(map(_bytes_in, value)) if isinstance(value, tuple) else 8


Place = dict[str, str | int | bool | None]
"""Where a record lies, in its broker's own words and the envelope's order: topic, partition, offset / subject, stream,
sequence / exchange, routing_key, queue, offset, redelivered."""


@dataclass(slots=True)
class Message:
    """What one publishes. Null is not empty: `body=None` is a tombstone, `key=None` is no key."""

    body: bytes | None = b""
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    id: str | None = None
    """The broker's own message id: `Nats-Msg-Id`, AMQP `message_id`, on Kafka the header `x-message-id`."""
    time: int | None = None
    """Nanoseconds since 1970; None leaves it to the broker."""
    partition: int | None = None
    route: str | None = None
    """Its own topic, subject or routing key, used where the destination leaves the routing open."""
    properties: dict[str, HeaderValue] = field(default_factory=dict)
    """AMQP basic properties by their names in the specification; empty elsewhere."""
    origin: str | None = None
    """The broker whose headers these are (`kafka`, `nats`, `rabbitmq`); None: written by hand, for any broker."""


def size_of(message: Message) -> int:
    """Return about how many bytes a message holds: its body, its key, and its headers."""
    return len(message.body or b"") + len(message.key or b"") + bytes_in(message.headers)


@dataclass(slots=True)
class Record:
    """One stored message with its coordinates."""

    broker: str
    place: Place
    position: str
    """Where it lies, as `--from` takes it (`3:1200`, `87`); empty where the broker numbers nothing."""
    time: int | None
    """Nanoseconds since 1970, as the broker or the producer stamped it; None where neither did."""
    message: Message


class Unread(NamedTuple):
    """Stands for a record that is stored, or may be, and that cannot be read now."""

    why: str
