"""What stands in envelopes before the body, written for many deliveries together: property by property, and header by header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import orjson

from brokercli.backends.envelope import encode_head, encode_place, write_strings
from brokercli.backends.envelope_values import encode_name, encode_value
from brokercli.backends.rabbitmq.amqp_table import decode_value
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.exact_properties import FIXED, decode_property
from brokercli.backends.rabbitmq.layouts import Form, Layout
from brokercli.backends.rabbitmq.times import time_of
from brokercli.model.message import Record
from brokercli.model.position import format_time

_STRING, _LONG = b"Sl"
_SHORT = 512


def write_heads(deliveries: Sequence[Delivery], layouts: Sequence[Layout | None], queue: str | None, offset: str | None,
                record_of: Callable[[Delivery], Record]) -> list[bytes]:
    """Return what `encode_head` writes for the record of each delivery from a queue, whose properties have that layout. `offset` names the header
    that says where in a stream it lay; `record_of` reads one."""
    heads = [b""] * len(deliveries)
    alike: dict[int, list[tuple[int, Layout]]] = {}
    for index, layout in enumerate(layouts):
        if layout is None:
            heads[index] = encode_head(record_of(deliveries[index]))
        else:
            alike.setdefault(id(layout.form), []).append((index, layout))
    for found in alike.values():
        letters = [(deliveries[index], layout) for index, layout in found]
        form = found[0][1].form
        numbered = form.names.index(offset) if offset is not None and form.names.count(offset) == 1 else None
        if offset is not None and (numbered is None or form.types[numbered] != _LONG):
            together = [encode_head(record_of(delivery)) for delivery, _ in letters]
        else:
            together = _together(form, letters, queue, numbered)
        for (index, _), head in zip(found, together, strict=True):
            heads[index] = head
    return heads


def _together(form: Form, letters: Sequence[tuple[Delivery, Layout]], queue: str | None, numbered: int | None) -> list[bytes]:
    """Write the heads of letters of one form; the header at `numbered` says where in a stream they lay."""
    places = [_place(delivery.exchange, delivery.routing_key, queue) for delivery, _ in letters]
    redelivered = [b"true" if delivery.redelivered else b"false" for delivery, _ in letters]
    values = list(zip(*[layout.values(delivery.properties) for delivery, layout in letters], strict=True))
    offsets = [] if numbered is None else [[b"%d" % int.from_bytes(value[1:], "big", signed=True) for value in values[numbered]]]
    headers = [_written(kind, column) for place, (kind, column) in enumerate(zip(form.types, values, strict=True)) if place != numbered]
    properties = dict(zip(form.properties, zip(*[layout.properties(delivery.properties) for delivery, layout in letters], strict=True), strict=True))
    times = [_time(octets) for octets in properties["timestamp"]] if "timestamp" in properties else [b"null"] * len(letters)
    written = [[_number(name, octets) for octets in column] if name in FIXED else write_strings(column) for name, column in properties.items()]
    template = _template(form, numbered)
    return [template % row for row in zip(places, *offsets, redelivered, times, *headers, *written, strict=True)]


def _written(kind: int, values: Sequence[bytes]) -> list[bytes]:
    """Write one header of all letters."""
    if kind == _STRING:
        return write_strings([value[5:] for value in values])
    return [_known_value(value) if len(value) <= _SHORT else _value(value) for value in values]


def _value(encoded: bytes) -> bytes:
    return orjson.dumps(encode_value(decode_value(encoded)))


_known_value = lru_cache(maxsize=1024)(_value)


@lru_cache(maxsize=256)
def _number(name: str, octets: bytes) -> bytes:
    return orjson.dumps(encode_value(decode_property(name, octets)))


@lru_cache(maxsize=256)
def _time(octets: bytes) -> bytes:
    time = time_of(decode_property("timestamp", octets))
    return b"null" if time is None else orjson.dumps(format_time(time))


@lru_cache(maxsize=256)
def _place(exchange: bytes, routing_key: bytes, queue: str | None) -> bytes:
    return encode_place("rabbitmq", {"exchange": exchange.decode(errors="surrogateescape"), "routing_key": routing_key.decode(errors="surrogateescape"),
                                     "queue": queue})


@lru_cache(maxsize=256)
def _template(form: Form, numbered: int | None) -> bytes:
    headers = b",".join([b'{"name":' + orjson.dumps(encode_name(name)).replace(b"%", b"%%") + b',"value":%b}'
                         for place, name in enumerate(form.names) if place != numbered])
    properties = b",".join([orjson.dumps(name) + b":%b" for name in form.properties])
    return ((b'%b,"redelivered":%b' if numbered is None else b'%b,"offset":%b,"redelivered":%b') + b',"time":%b,"key":null,"headers":[' + headers + b"]"
            + (b',"properties":{' + properties + b"}" if properties else b"") + b',"body":')
