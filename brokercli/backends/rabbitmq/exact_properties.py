"""AMQP's basic properties between their encoded form and typed values, without loss.

Nothing here is pika's: its decoder loses the connection on a `timestamp` in milliseconds and rounds floats in headers. The
encoded form is what a content header frame holds after the body's size: two octets of flags, then the properties that are
set, in the order of the specification.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from brokercli.backends.rabbitmq.amqp_table import CannotEncode, encode_short_string
from brokercli.model.message import HeaderValue, Typed

HEADERS = 0x2000
_DELIVERY_MODE, _PRIORITY, _TIMESTAMP = 0x1000, 0x0800, 0x0040
_BEFORE = (("content_type", 0x8000), ("content_encoding", 0x4000))
_AFTER = (("delivery_mode", _DELIVERY_MODE), ("priority", _PRIORITY), ("correlation_id", 0x0400), ("reply_to", 0x0200), ("expiration", 0x0100),
          ("message_id", 0x0080), ("timestamp", _TIMESTAMP), ("type", 0x0020), ("user_id", 0x0010), ("app_id", 0x0008), ("cluster_id", 0x0004))
_OCTETS = ("delivery_mode", "priority")
FIXED = {**dict.fromkeys(_OCTETS, 1), "timestamp": 8}
"""How many octets the properties take that are no strings."""
NAMES = tuple(name for name, _ in _BEFORE + _AFTER)
_NOTHING = b"\0\0"


def split_headers(encoded: bytes) -> tuple[bytes, bytes]:
    """Return the properties without the headers, still encoded (flags included), and the encoded table (empty: no headers)."""
    if len(encoded) < 2 or not encoded[0] & (HEADERS >> 8):
        return encoded, b""
    start, end = headers_in(encoded)
    return bytes((encoded[0] & ~(HEADERS >> 8), encoded[1])) + encoded[2:start] + encoded[end:], encoded[start:end]


def around_headers(encoded: bytes) -> tuple[int, bytes, bytes]:
    """Return the flags, and the properties before and behind the headers, still encoded."""
    start, end = headers_in(encoded)
    return int.from_bytes(encoded[:2], "big"), encoded[2:start], encoded[end:]


def headers_in(encoded: bytes) -> tuple[int, int]:
    """Return where the headers begin and end; where there are none, where they would."""
    start = 2
    for flag in (0x80, 0x40):
        if encoded[0] & flag:
            start += 1 + encoded[start]
    return start, start + (4 + struct.unpack_from(">I", encoded, start)[0] if encoded[0] & (HEADERS >> 8) else 0)


def decode_properties(encoded: bytes) -> dict[str, HeaderValue]:
    """Decode what `split_headers` returned first, in the order of the specification. Strings are bytes, `delivery_mode` and
    `priority` int, `timestamp` is `Typed("timestamp", number)` in whatever unit the publisher wrote."""
    return _decode(encoded).copy()


@lru_cache(maxsize=1024)
def _decode(encoded: bytes) -> dict[str, HeaderValue]:
    return {name: decode_property(name, encoded[start:end]) for name, start, end in places(encoded)}


def decode_property(name: str, octets: bytes) -> HeaderValue:
    """Decode what stands at one of `places`."""
    if name in _OCTETS:
        return octets[0]
    return Typed("timestamp", int.from_bytes(octets, "big")) if name == "timestamp" else octets


def places(encoded: bytes) -> list[tuple[str, int, int]]:
    """Return the properties that are set, in the order of the specification, and where the value of each begins and ends; a string's length is
    in front of that."""
    flags = int.from_bytes(encoded[:2], "big")
    found: list[tuple[str, int, int]] = []
    offset = 2
    for names in (_BEFORE, _AFTER):
        for name, flag in names:
            if flags & flag:
                length = FIXED.get(name)
                start = offset + (length is None)
                offset = start + (encoded[offset] if length is None else length)
                found.append((name, start, offset))
        if names is _BEFORE:
            offset = headers_in(encoded)[1]
    return found


def encode_properties(properties: dict[str, HeaderValue], table: bytes) -> bytes:
    """Encode properties and an encoded table of headers (empty: no headers). Raises CannotEncode."""
    if not properties and not table:
        return _NOTHING
    flags = HEADERS if table else 0
    pieces: list[bytes] = []
    for fields in (_BEFORE, _AFTER):
        for name, flag in fields:
            if name in properties:
                flags |= flag
                pieces.append(_encode(name, flag, properties[name]))
        if fields is _BEFORE:
            pieces.append(table)
    if not properties.keys() <= set(NAMES):
        unknown = ", ".join(sorted(properties.keys() - set(NAMES)))
        raise CannotEncode(f"AMQP has no property {unknown}; it has {', '.join(NAMES)}")
    return struct.pack(">H", flags) + b"".join(pieces)


def _encode(name: str, flag: int, value: HeaderValue) -> bytes:
    if flag in (_DELIVERY_MODE, _PRIORITY):
        number = value.value if isinstance(value, Typed) else value
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 255:
            return bytes((number,))
        raise CannotEncode(f"the property {name} is a number from 0 to 255")
    if flag == _TIMESTAMP:
        number = value.value if isinstance(value, Typed) else value
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**64:
            return struct.pack(">Q", number)
        raise CannotEncode("the property timestamp is a number from 0 to 2⁶⁴-1, in seconds")
    if not isinstance(value, bytes):
        raise CannotEncode(f"the property {name} is a string")
    return encode_short_string(value, f"the property {name}")
