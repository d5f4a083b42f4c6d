"""Messages as they came from RabbitMQ, as bodies, envelopes and records."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Self

from brokercli.backends.contract import Batch, Outline
from brokercli.backends.envelope import write_strings
from brokercli.backends.rabbitmq.amqp_table import decode_table
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.encoded_headers import EncodedDeaths, split_table
from brokercli.backends.rabbitmq.exact_properties import decode_properties, split_headers
from brokercli.backends.rabbitmq.heads import write_heads
from brokercli.backends.rabbitmq.layouts import LAYOUTS, Layout
from brokercli.backends.rabbitmq.times import time_of
from brokercli.model.message import Header, HeaderValue, Message, Place, Record

OFFSET_HEADER = "x-stream-offset"
_SHORT = 4096
_OFFSET_ENTRY = b"\x0fx-stream-offsetl"
_DEATHS = "x-death"
_ENCODED_BODY = b"\x08amqp-1.0"
_TYPE = 0x20
"""In the second octet of the flags."""
_REPLY_TO = 0x02
"""In the first octet of the flags."""


def offset_of(delivery: Delivery) -> int:
    """Return the offset of a stream's record."""
    properties = delivery.properties
    if properties.count(_OFFSET_ENTRY) == 1:
        offset: int = struct.unpack_from(">q", properties, properties.index(_OFFSET_ENTRY) + len(_OFFSET_ENTRY))[0]
        return offset
    # the same octets inside a value: only the table itself can tell
    headers, _ = decode_table(split_headers(properties)[1])
    return next(value for name, value in headers if name == OFFSET_HEADER and isinstance(value, int))


class RabbitMQBatch(Batch):
    """Deliveries of one queue, in its order. Nothing is decoded before somebody asks."""

    __slots__ = ("_deliveries", "_layouts", "_numbered", "_queue")

    def __init__(self, deliveries: list[Delivery], queue: str | None, *, numbered: bool) -> None:
        """`queue` is what the records say they lie in, None for what was only seen passing; `numbered`: they have offsets."""
        self._deliveries = deliveries
        self._queue = queue
        self._numbered = numbered
        self._layouts: list[Layout | None] | None = None

    def __len__(self) -> int:
        return len(self._deliveries)

    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self._deliveries]

    def envelopes(self) -> list[bytes]:
        # once for all that differ in their bodies only
        around = [delivery[1:5] for delivery in self._deliveries]
        different = {one: index for index, one in enumerate(around)}
        if len(different) == len(around):
            heads = self._heads()
        else:
            known = dict(zip(different, self.select(list(different.values()))._heads(), strict=True))
            heads = [known[one] for one in around]
        lines = write_strings(self.bodies())
        for index, head in enumerate(heads):
            # in the place of the body as it was written: large ones are not held twice
            lines[index] = b"%b%b}" % (head, lines[index])
        return lines

    def _heads(self) -> list[bytes]:
        return write_heads(self._deliveries, self.layouts(), self._queue, OFFSET_HEADER if self._numbered else None, self._record)

    def layouts(self) -> list[Layout | None]:
        """Return the layout of each one's properties, None where there is none for it. Raises ValueError where headers are no table."""
        if self._layouts is None:
            found, find = list[Layout | None](), LAYOUTS.find
            last: bytes | None = None
            layout: Layout | None = None
            for delivery in self._deliveries:
                # often the very object
                if (properties := delivery.properties) is not last:
                    last, layout = properties, find(properties)
                found.append(layout)
            self._layouts = found
        return self._layouts

    def wrappings(self) -> list[bytes] | None:
        return None if self._numbered or self._queue is None else [delivery.properties for delivery in self._deliveries]

    def encoded_outlines(self) -> list[Outline] | None:
        if self._numbered or self._queue is None:
            return None
        queue, outlines = self._queue, list[Outline]()
        for (_, _, _, _, encoded, body), layout in zip(self._deliveries, self.layouts(), strict=True):
            if layout is None:
                fixed, table = split_headers(encoded)
                headers, flags = tuple(split_table(table)) if table else (), fixed[:2]
            else:
                headers, flags = layout.headers(encoded), layout.flags
            if layout is None or _DEATHS in layout.form.names:
                headers = tuple([(name, EncodedDeaths(value) if name == _DEATHS else value) for name, value in headers])
            # which properties there are, where an answer is to go, and whether the body is encoded: the rest of them decides nothing
            encoding = _ENCODED_BODY in encoded if flags[1] & _TYPE else None
            answer = decode_properties(split_headers(encoded)[0]).get("reply_to") if flags[0] & _REPLY_TO else None
            outlines.append((headers, None, body, None, (queue, flags, answer, encoding)))
        return outlines

    def positions(self) -> list[str]:
        return super().positions() if self._numbered else [""] * len(self)

    def records(self) -> list[Record]:
        return [self._record(delivery) for delivery in self._deliveries]

    def _record(self, delivery: Delivery) -> Record:
        return Record("rabbitmq", *self._parts(delivery))

    def _parts(self, delivery: Delivery) -> tuple[Place, str, int | None, Message]:
        """Return a record's place, position, time and message."""
        _, redelivered, exchange, routing_key, encoded, body = delivery
        route = _name(routing_key)
        place: Place = {"exchange": _name(exchange), "routing_key": route, "queue": self._queue}
        position = ""
        if self._numbered:
            fixed, table = split_headers(encoded)
            properties, time, identity = _read(fixed)
            headers, offset = _without_offset(table)
            place["offset"], position = offset, str(offset)
        else:
            properties, time, identity, headers = _read_whole(encoded) if len(encoded) <= _SHORT else _read_all(encoded)
        place["redelivered"] = redelivered
        return place, position, time, Message(body, None, headers, identity, None, None, route, properties.copy(), "rabbitmq")

    def select(self, indices: Sequence[int]) -> Self:
        deliveries, layouts = self._deliveries, self._layouts
        chosen = type(self)([deliveries[index] for index in indices], self._queue, numbered=self._numbered)
        if layouts is not None:
            chosen._layouts = [layouts[index] for index in indices]
        return chosen


@lru_cache(maxsize=1024)
def _name(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def _read(fixed: bytes) -> tuple[dict[str, HeaderValue], int | None, str | None]:
    properties = decode_properties(fixed)
    return properties, time_of(properties.get("timestamp")), _message_id(properties)


def _read_all(encoded: bytes) -> tuple[dict[str, HeaderValue], int | None, str | None, tuple[Header, ...]]:
    """Read everything but the body of a message."""
    fixed, table = split_headers(encoded)
    return *_read(fixed), decode_table(table)[0] if table else ()


_read_whole = lru_cache(maxsize=256)(_read_all)
"""The same, once for all messages of which it is the same."""


def _message_id(properties: dict[str, HeaderValue]) -> str | None:
    value = properties.get("message_id")
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else None


def _without_offset(table: bytes) -> tuple[tuple[Header, ...], int | None]:
    """Return the headers without the offset that the broker added, and the offset."""
    headers = decode_table(table)[0] if table else ()
    offset = next((value for name, value in headers if name == OFFSET_HEADER and isinstance(value, int)), None)
    return tuple(header for header in headers if header[0] != OFFSET_HEADER), offset
