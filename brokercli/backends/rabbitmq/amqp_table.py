"""AMQP 0.9.1 field tables, bit for bit: what pika's own codec damages (floats, times beyond seconds, strings that are not UTF-8).

The types are RabbitMQ's (its rabbit_binary_parser and the AMQP 0.9.1 errata), which differ from the specification's in `s`
(a 16-bit integer) and `l` (signed):

| octet | type | value |
|---|---|---|
| `S` | long string | bytes |
| `V` | void | None |
| `t` | boolean | bool |
| `l`, `L` | signed 64-bit | int; written as `l` |
| `d` | double | float; a NaN as `Typed("double", bits)`, because Python does not keep what it carries |
| `b` `B` `s` `u` `I` `i` | other integers | `Typed("int8" "uint8" "int16" "uint16" "int32" "uint32", number)` |
| `f` | float | `Typed("float32", bits)` |
| `D` | decimal | `Typed("decimal", (scale, unscaled))` |
| `T` | timestamp | `Typed("timestamp", number)`, 64 bits without a sign, whatever its unit |
| `x` | byte array | `Typed("bytes", bytes)` |
| `F`, `A` | table, array | `Typed("table", headers)`, `Typed("array", values)` |
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache

from brokercli.model.message import Header, HeaderValue, Typed

_INTEGERS = {"int8": (b"b", 1, True), "uint8": (b"B", 1, False), "int16": (b"s", 2, True), "uint16": (b"u", 2, False), "int32": (b"I", 4, True),
             "uint32": (b"i", 4, False), "int64": (b"l", 8, True), "timestamp": (b"T", 8, False), "float32": (b"f", 4, False), "double": (b"d", 8, False)}
_BY_OCTET = {octet[0]: (kind, size, signed) for kind, (octet, size, signed) in _INTEGERS.items()} | {ord("U"): ("int16", 2, True)}
_UINT32 = struct.Struct(">I")
_LONGEST_NAME = 255
# what is longer is not remembered, so that what is remembered is bounded
_REMEMBERED_BYTES, _REMEMBERED_TABLES = 4096, 1024
# a table inside a table inside a table: nobody means this
_DEEPEST = 100


class CannotEncode(ValueError):
    """A value that AMQP has no form for; the text says which and why."""


def encode_table(headers: tuple[Header, ...]) -> bytes:
    """Encode headers in order, repeats kept, with the length in front. Raises CannotEncode."""
    return _with_length(b"".join([encode_header(name, value) for name, value in headers]))


def encode_header(name: str, value: HeaderValue) -> bytes:
    """Encode one header. Raises CannotEncode."""
    if type(value) is bytes:
        # nearly all are
        return b"%bS%b%b" % (_encode_name(name), _UINT32.pack(len(value)), value)
    return _encode_name(name) + encode_value(value)


def encode_value(value: HeaderValue) -> bytes:
    """Encode one value with its type in front."""
    match value:
        case bytes():
            return b"S" + _with_length(value)
        case None:
            return b"V"
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return b"l" + _integer(value, 8, signed=True, kind="int64")
        case float():
            return b"d" + struct.pack(">d", value)
        case Typed(kind="decimal", value=(int(scale), int(unscaled))):
            return b"D" + _integer(scale, 1, signed=False, kind="decimal scale") + _integer(unscaled, 4, signed=True, kind="decimal")
        case Typed(kind="bytes", value=bytes() as raw):
            return b"x" + _with_length(raw)
        case Typed(kind="table", value=tuple() as headers):
            return b"F" + encode_table(headers)
        case Typed(kind="array", value=tuple() as items):
            return b"A" + _with_length(b"".join([encode_value(item) for item in items]))
        case Typed(kind=kind, value=int(number)) if kind in _INTEGERS:
            octet, size, signed = _INTEGERS[kind]
            return octet + _integer(number, size, signed=signed, kind=kind)
    raise CannotEncode(f"AMQP has no form for {str(value)[:60]}")


def decode_value(encoded: bytes) -> HeaderValue:
    """Decode one value with its type in front. Raises ValueError for what is none."""
    try:
        return _decode_value(encoded, 0, 0)[0]
    except (IndexError, struct.error):
        raise ValueError("it ends in the middle of a value") from None


def encode_short_string(value: bytes, what: str) -> bytes:
    """Encode a string of up to 255 bytes. Raises CannotEncode for a longer one."""
    if len(value) > _LONGEST_NAME:
        raise CannotEncode(f"{what} is {len(value)} bytes long; AMQP allows 255")
    return bytes((len(value),)) + value


def decode_table(encoded: bytes, offset: int = 0) -> tuple[tuple[Header, ...], int]:
    """Decode a table with its length in front; return it and where it ends. Raises ValueError for what is no table."""
    try:
        if not offset and len(encoded) <= _REMEMBERED_BYTES:
            return _decode_whole(encoded)
        return _decode_table(encoded, offset, 0)
    except (IndexError, struct.error):
        raise ValueError("the table ends in the middle of a value") from None


@lru_cache(maxsize=_REMEMBERED_TABLES)
def _decode_whole(encoded: bytes) -> tuple[tuple[Header, ...], int]:
    """Decode a table, once for all messages that have the same: nothing in it can change."""
    return _decode_table(encoded, 0, 0)


def _decode_table(encoded: bytes, offset: int, depth: int) -> tuple[tuple[Header, ...], int]:
    (size,) = struct.unpack_from(">I", encoded, offset)
    offset += 4
    end = offset + size
    if end > len(encoded) or depth > _DEEPEST:
        raise ValueError("the table is longer than what holds it, or too deep")
    headers: list[Header] = []
    while offset < end:
        start = offset + 1
        offset = start + encoded[offset]
        name = encoded[start:offset].decode(errors="surrogateescape")
        value, offset = _decode_value(encoded, offset, depth)
        headers.append((name, value))
    return tuple(headers), offset


def _decode_value(encoded: bytes, offset: int, depth: int) -> tuple[HeaderValue, int]:
    octet = encoded[offset]
    offset += 1
    if octet == 0x53:  # S, the usual one
        return _decode_bytes(encoded, offset)
    if octet in (0x6C, 0x4C):  # l, L
        return struct.unpack_from(">q", encoded, offset)[0], offset + 8
    if octet == 0x64:  # d
        (number,) = struct.unpack_from(">d", encoded, offset)
        if math.isnan(number):
            return Typed("double", int.from_bytes(encoded[offset:offset + 8], "big")), offset + 8
        return number, offset + 8
    if octet in _BY_OCTET:
        kind, size, signed = _BY_OCTET[octet]
        if offset + size > len(encoded):
            raise IndexError
        return Typed(kind, int.from_bytes(encoded[offset:offset + size], "big", signed=signed)), offset + size
    decode = _OTHERS.get(octet)
    if decode is None:
        raise ValueError(f"AMQP has no field type {bytes((octet,))!r}")
    return decode(encoded, offset, depth)


def _decode_bytes(encoded: bytes, offset: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">I", encoded, offset)
    end = offset + 4 + size
    if end > len(encoded):
        raise IndexError
    return encoded[offset + 4:end], end


def _decode_array(encoded: bytes, offset: int, depth: int) -> tuple[HeaderValue, int]:
    (size,) = struct.unpack_from(">I", encoded, offset)
    offset += 4
    end = offset + size
    if end > len(encoded) or depth > _DEEPEST:
        raise ValueError("the array is longer than what holds it, or too deep")
    items = encoded[offset:end]
    return _decode_items(items) if not depth and size <= _REMEMBERED_BYTES else _items(items, depth), end


@lru_cache(maxsize=_REMEMBERED_TABLES)
def _decode_items(encoded: bytes) -> HeaderValue:
    """Decode the values of an array, once for all messages that have the same: those that died in one second have the same x-death."""
    return _items(encoded, 0)


def _items(encoded: bytes, depth: int) -> HeaderValue:
    items: list[HeaderValue] = []
    offset = 0
    while offset < len(encoded):
        value, offset = _decode_value(encoded, offset, depth + 1)
        items.append(value)
    return Typed("array", tuple(items))


def _decode_inner_table(encoded: bytes, offset: int, depth: int) -> tuple[HeaderValue, int]:
    headers, offset = _decode_table(encoded, offset, depth + 1)
    return Typed("table", headers), offset


def _decode_raw(encoded: bytes, offset: int, depth: int) -> tuple[HeaderValue, int]:
    raw, offset = _decode_bytes(encoded, offset)
    return Typed("bytes", raw), offset


def _decode_decimal(encoded: bytes, offset: int, depth: int) -> tuple[HeaderValue, int]:
    scale, unscaled = struct.unpack_from(">Bi", encoded, offset)
    return Typed("decimal", (scale, unscaled)), offset + 5


_OTHERS: dict[int, Callable[[bytes, int, int], tuple[HeaderValue, int]]] = {
    ord("V"): lambda encoded, offset, depth: (None, offset),
    ord("t"): lambda encoded, offset, depth: (encoded[offset] != 0, offset + 1),
    ord("D"): _decode_decimal, ord("x"): _decode_raw, ord("F"): _decode_inner_table, ord("A"): _decode_array}


@lru_cache(maxsize=1024)
def _encode_name(name: str) -> bytes:
    return encode_short_string(name.encode(errors="surrogateescape"), f"the name of the header {name[:20]!r}…")


def _with_length(encoded: bytes) -> bytes:
    return _UINT32.pack(len(encoded)) + encoded


def _integer(number: int, size: int, *, signed: bool, kind: str) -> bytes:
    try:
        return number.to_bytes(size, "big", signed=signed)
    except OverflowError:
        raise CannotEncode(f"{number} is no {kind}") from None
