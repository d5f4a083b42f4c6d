"""What an envelope says of bytes, headers and AMQP's field types: JSON that comes back as it was."""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from typing import Any

import orjson

from brokercli.model.message import Header, HeaderValue, Typed

INTEGER_BITS = {"int8": (8, True), "uint8": (8, False), "int16": (16, True), "uint16": (16, False), "int32": (32, True), "uint32": (32, False),
                "int64": (64, True), "timestamp": (64, False)}
# beyond this jq and JavaScript lose digits
_EXACT_IN_JSON = 2**53


def text_or_base64(value: bytes | None) -> Any:
    """Write bytes as the envelope does; None stays None."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def bytes_of(value: Any, what: str) -> bytes | None:
    """Read a string, `{"base64":…}` or null."""
    if isinstance(value, str):
        return value.encode()
    match value:
        case None:
            return None
        case {"base64": str(text), **rest} if not rest:
            try:
                return b64decode(text, validate=True)
            except ValueError as problem:
                raise ValueError(f"{what} is no base64: {problem}") from None
    raise ValueError(f'{what} is neither a string nor {{"base64":…}} nor null')


def encode_headers(headers: tuple[Header, ...]) -> list[dict[str, Any]]:
    """Write headers in order, repeats kept."""
    return [{"name": encode_name(name), "value": encode_value(value)} for name, value in headers]


def encode_name(name: str) -> Any:
    """Write a header's name; one that is not UTF-8 (carried with surrogateescape) becomes base64."""
    return text_or_base64(name.encode(errors="surrogateescape")) if not name.isascii() else name


def encode_value(value: HeaderValue) -> Any:
    """Write one header value; the inverse of `decode_value`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        return text_or_base64(value)
    if isinstance(value, int):
        return value if -_EXACT_IN_JSON < value < _EXACT_IN_JSON else {"int64": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) and not value.is_integer() else {"double": _number_of(value, "d")}
    return {value.kind: _encode_typed(value)}


def in_words(value: HeaderValue) -> bytes | None:
    """Return what a header's value is for a format or a filter: bytes as they are, else what the envelope writes, without its type; tables
    and arrays as JSON. None is null."""
    match value:
        case None | bytes():
            return value
        case float():
            return str(value).encode()
        case Typed(_, bytes() as raw):
            return raw
    written = _encode_typed(value) if isinstance(value, Typed) else value
    return written.encode() if isinstance(written, str) else orjson.dumps(written)


def _encode_typed(typed: Typed) -> Any:
    kind, value = typed
    match value:
        case bytes():
            return b64encode(value).decode()
        case (int(scale), int(unscaled)) if kind == "decimal":
            digits = f"{abs(unscaled):0{scale + 1}d}"
            return ("-" if unscaled < 0 else "") + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)
        case tuple() if kind == "table":
            return encode_headers(value)
        case tuple():
            return [encode_value(item) for item in value]
        case int() if kind in ("float32", "double"):
            code = "f" if kind == "float32" else "d"
            return _number_of(struct.unpack(f">{code}", value.to_bytes(struct.calcsize(code), "big"))[0], code, value)
        case int():
            return value if -_EXACT_IN_JSON < value < _EXACT_IN_JSON else str(value)
    raise TypeError(f"no AMQP field type {kind} of {type(value).__name__}")


def _number_of(number: float, code: str, bits: int | None = None) -> Any:
    if math.isnan(number):
        return {"bits": f"{bits if bits is not None else int.from_bytes(struct.pack(f'>{code}', number), 'big'):x}"}
    return number if math.isfinite(number) else "inf" if number > 0 else "-inf"


def decode_headers(headers: Any) -> tuple[Header, ...]:
    """Read a list of `{"name":…,"value":…}`; a plain object is taken too, its order kept."""
    if isinstance(headers, dict):
        return tuple((name, _decode_of(name, value)) for name, value in headers.items())
    if not isinstance(headers, list):
        raise ValueError("headers is a list of {\"name\":…,\"value\":…}")
    decoded: list[Header] = []
    for header in headers:
        if not isinstance(header, dict) or "name" not in header or len(header) - 1 != ("value" in header):
            raise ValueError("each header is {\"name\":…,\"value\":…}")
        name, value = header["name"], header.get("value")
        if not isinstance(name, str):
            written = bytes_of(name, "a header's name")
            if written is None:
                raise ValueError("a header's name is null")
            name = written.decode(errors="surrogateescape")
        # text nearly always, and here most of the time goes
        decoded.append((name, value.encode() if isinstance(value, str) else _decode_of(name, value)))
    return tuple(decoded)


def _decode_of(name: str, value: Any) -> HeaderValue:
    """Read a header's value; one that cannot be read is said with its header's name."""
    try:
        return decode_value(value)
    except ValueError as problem:
        raise ValueError(f"header {name[:80]!r}: {problem}") from None


def decode_value(value: Any) -> HeaderValue:
    """Read one header value; the inverse of `encode_value`."""
    match value:
        case None | bool() | float():
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"the number {str(value)[:40]} is larger than 64 bits")
            return value
        case str():
            return value.encode()
        case dict() if len(value) == 1:
            return _decode_typed(*next(iter(value.items())))
    raise ValueError(f"{str(value)[:60]!r} is no header value; AMQP types are tagged, for example {{\"int32\":5}}")


def _decode_typed(kind: str, value: Any) -> HeaderValue:
    try:
        return _decode_kind(kind, value)
    except (OverflowError, struct.error):
        raise ValueError(f"{str(value)[:40]} does not fit into {kind}") from None


def _decode_kind(kind: str, value: Any) -> HeaderValue:
    if kind == "base64":
        return bytes_of({"base64": value}, "value")
    if kind in INTEGER_BITS:
        bits, signed = INTEGER_BITS[kind]
        if type(value) is bool or not isinstance(value, (int, str)) or len(str(value)) > 20:
            raise ValueError(f"{kind} is {str(value)[:40]!r}")
        number = int(value)
        number.to_bytes(bits // 8, "big", signed=signed)  # raises OverflowError where it does not fit
        return number if kind == "int64" else Typed(kind, number)
    if kind in ("float32", "double"):
        return _decode_floating(kind, value)
    if kind == "decimal" and isinstance(value, str) and value.removeprefix("-").replace(".", "", 1).isdecimal():
        whole, _, fraction = value.partition(".")
        unscaled = int(whole + fraction)
        unscaled.to_bytes(4, "big", signed=True)
        return Typed("decimal", (len(fraction), unscaled))
    if kind == "bytes" and isinstance(value, str):
        return Typed("bytes", b64decode(value, validate=True))
    if kind == "table":
        return Typed("table", decode_headers(value))
    if kind == "array" and isinstance(value, list):
        return Typed("array", tuple(decode_value(item) for item in value))
    raise ValueError(f"{kind[:40]!r} of {str(value)[:40]!r} is no header value")


def _decode_floating(kind: str, value: Any) -> HeaderValue:
    size = 4 if kind == "float32" else 8
    if isinstance(value, dict) and set(value) == {"bits"}:
        bits = int(value["bits"], 16)
        bits.to_bytes(size, "big")
        return Typed(kind, bits)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{kind} is {str(value)[:40]!r}")
    number = float(value)
    return number if kind == "double" else Typed(kind, int.from_bytes(struct.pack(">f", number), "big"))
