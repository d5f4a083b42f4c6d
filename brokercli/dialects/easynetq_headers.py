"""The headers of a message that EasyNetQ wrapped, in the JSON of its serializers.

Up to version 7 byte strings were turned into text before they were written, so a string is the text itself
(DefaultConsumerErrorStrategy). Version 8 writes the bytes: its Newtonsoft serializer as `{"$type":"System.Byte[], …","$value":base64}`,
SystemTextJsonV2 as `{"Type":14,"Value":base64}` with a number for every type (JsonHeaderType), SystemTextJson as bare base64.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from brokercli.dialects.json_headers import DEEPEST, LOST_NUMBERS, is_number, plain
from brokercli.model.message import Header, HeaderValue, Typed

_LOST_BYTES = "headers of the original that were not UTF-8: EasyNetQ replaced what it could not read"
_READ_AS_BASE64 = "its wrapped headers read as base64 and are unwrapped as such; if they were plain text, put it back with --through"
_INTEGERS = {3: "uint8", 4: "int8", 5: "int16", 6: "int32", 7: "uint32", 12: "timestamp"}
_NULL, _FLOAT, _DECIMAL, _STRING, _BYTES, _LIST, _DICTIONARY, _BINARY_TABLE = 1, 9, 11, 13, 14, 15, 16, 17
_KINDS = range(1, 18)


@dataclass(slots=True)
class Unwrapped:
    """What came out: `lost` and `remarks` say what is not as it was, or may not be."""

    headers: tuple[Header, ...]
    lost: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def unwrap(written: object) -> Unwrapped:
    """Return the headers of a `Headers` object; none of anything else. What is of no known form stays as the JSON it was."""
    if not isinstance(written, dict):
        return Unwrapped(())
    untyped = list(_untyped(written))
    strings = [value for value in untyped if isinstance(value, str)]
    # text may read as base64 by chance, one that gives printable text again hardly
    as_base64 = bool(strings) and all(map(_is_text_in_base64, strings))
    numbers = any(map(is_number, untyped))
    lost = ((LOST_NUMBERS,) if numbers else ()) + ((_LOST_BYTES,) if any("\ufffd" in string for string in strings) else ())
    return Unwrapped(tuple((name, _value(value, as_base64)) for name, value in written.items() if name != "$type"), lost,
                     (_READ_AS_BASE64,) if as_base64 else ())


def base64_of(text: str) -> bytes | None:
    """Return the bytes of canonical base64; None for any other text, and for none."""
    if not text or len(text) % 4:
        return None
    try:
        decoded = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return None
    return decoded if b64encode(decoded).decode() == text else None


def _value(value: Any, as_base64: bool, depth: int = 0) -> HeaderValue:
    match value:
        case str():
            return (base64_of(value) if as_base64 else None) or value.encode(errors="surrogatepass")
        case dict() | list() if depth >= DEEPEST:
            pass
        case {"Type": int(kind), "Value": held, **rest} if not rest and kind in _KINDS and type(kind) is int:
            try:
                return _typed(kind, held, depth + 1)
            except (ValueError, TypeError, OverflowError, NotBase64, KeyError):
                pass
        case {"$type": str(name), "$value": str(text)} if name.startswith("System.Byte[]") and (text == "" or base64_of(text) is not None):
            return base64_of(text) or b""
        case {"$type": str(name), "UnixTime": int(seconds)} if name.startswith("RabbitMQ.Client.AmqpTimestamp") and 0 <= seconds < 2**63:
            return Typed("timestamp", seconds)
        case {"$type": str(), "$values": list(items)}:
            return Typed("array", tuple(_value(item, as_base64, depth + 1) for item in items))
        case dict():
            return Typed("table", tuple((name, _value(item, as_base64, depth + 1)) for name, item in value.items() if name != "$type"))
        case list():
            return Typed("array", tuple(_value(item, as_base64, depth + 1) for item in value))
    return plain(value)


def _typed(kind: int, held: Any, depth: int) -> HeaderValue:
    """Return the value of a type that is written beside it. Raises ValueError, TypeError, KeyError or OverflowError where it is not of it."""
    if depth > DEEPEST:
        raise ValueError
    if kind in _INTEGERS:
        if type(held) is not int:
            raise TypeError
        name = _INTEGERS[kind]
        size = 8 if name == "timestamp" else int(name.lstrip("uint")) // 8
        held.to_bytes(size, "big", signed=name.startswith("int"))
        return Typed(name, held)
    if kind == _NULL:
        return None
    if kind == _FLOAT:
        return Typed("float32", int.from_bytes(struct.pack(">f", held), "big"))
    if kind == _DECIMAL:
        whole, _, fraction = str(held).partition(".")
        unscaled = int(whole + fraction)
        unscaled.to_bytes(4, "big", signed=True)
        return Typed("decimal", (len(fraction), unscaled))
    if kind == _STRING:
        return str.encode(held, errors="surrogatepass")
    if kind in (_BYTES, _BINARY_TABLE):
        content = b64decode(held, validate=True)
        return content if kind == _BYTES else Typed("bytes", content)
    if kind == _LIST:
        return Typed("array", tuple(_typed(item["Type"], item["Value"], depth + 1) for item in held))
    if kind == _DICTIONARY:
        return Typed("table", tuple((name, _typed(item["Type"], item["Value"], depth + 1)) for name, item in held.items()))
    if isinstance(held, int) and not isinstance(held, bool):
        held.to_bytes(8, "big", signed=True)
    if isinstance(held, (bool, int, float)):
        return held
    raise TypeError


def _untyped(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the values of which nothing says the type: text that may be base64, numbers without their width."""
    if not isinstance(value, (dict, list)):
        yield value
    elif depth < DEEPEST and not _says_its_type(value):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _untyped(item, depth + 1)


def _says_its_type(value: Any) -> bool:
    return isinstance(value, dict) and ("$value" in value or "UnixTime" in value or value.keys() == {"Type", "Value"})


def _is_text_in_base64(text: str) -> bool:
    decoded = base64_of(text)
    return decoded is not None and decoded.isascii() and decoded.decode().isprintable()
