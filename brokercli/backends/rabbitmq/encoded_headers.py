"""A table of headers taken apart and put together without reading its values: letters of which each has values of its own are compared,
and go back, as they are encoded."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from brokercli.backends.rabbitmq.amqp_table import decode_value, encode_header
from brokercli.model.message import Header, HeaderValue

_LENGTHS = {**dict.fromkeys(b"lLdT", 8), **dict.fromkeys(b"Iif", 4), **dict.fromkeys(b"suU", 2), **dict.fromkeys(b"bBt", 1), ord("V"): 0, ord("D"): 5}
"""Octet of a type → how long its values are; of the others the length is in front."""
_WITH_LENGTH = b"SxFA"
_TIME = b"\x04timeT"
_UINT32 = struct.Struct(">I")
_LAYOUTS_REMEMBERED, _LONGEST = 1024, 4096
_SHORT = 256


class EncodedName(str):
    """The name of a header whose value is as it is encoded, its type in front: what is equal is the same value of the same type. The name
    tells, and not the value, because all letters share it."""

    __slots__ = ("octets",)
    octets: bytes
    """The name as it is encoded, its length in front."""


class EncodedDeaths(bytes):
    """What x-death says, equal where all but the times of the deaths is: from those nothing follows but times (`brokercli.dialects`)."""

    # octets can have no slots of their own
    _timeless: bytes

    def __new__(cls, value: bytes) -> EncodedDeaths:
        made = super().__new__(cls, value)
        made._timeless = without_times(value)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncodedDeaths) and self._timeless == other._timeless

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._timeless)


def split_table(encoded: bytes) -> list[tuple[EncodedName, bytes]]:
    """Return the headers of a table with its length in front, their values still encoded. Raises ValueError for what is no table."""
    headers: list[tuple[EncodedName, bytes]] = []
    try:
        offset, end = 4, 4 + struct.unpack_from(">I", encoded)[0]
        while offset < end:
            start = offset
            begin = start + 1 + encoded[start]
            octet = encoded[begin]
            # written out here, where it is done for every header of every letter
            offset = begin + 1 + (_LENGTHS[octet] if octet in _LENGTHS else _length_in_front(encoded, begin))
            headers.append((_name(encoded[start:begin]), encoded[begin:offset]))
    except (IndexError, struct.error):
        raise ValueError("the table ends in the middle of a value") from None
    if offset != end or end != len(encoded):
        raise ValueError("the table is longer than what holds it")
    return headers


def join_table(headers: Iterable[Header]) -> bytes:
    """Return the table of such headers, and of others, with its length in front. Raises CannotEncode for one of the others."""
    joined = b"".join([name.octets + value if type(name) is EncodedName else _header(name, value) for name, value in headers])  # type: ignore[operator]
    return _UINT32.pack(len(joined)) + joined


def decoded(headers: Iterable[Header]) -> tuple[Header, ...]:
    """Return headers with their values read."""
    return tuple([(str(name), decode_value(bytes(value))) if isinstance(name, EncodedName) and isinstance(value, bytes) else (name, value)
                  for name, value in headers])


def head_length(value: bytes) -> int:
    """Return how many octets of an encoded value are in front of its content: its type, and its length where it says that."""
    return 5 if value[0] in _WITH_LENGTH else 1


def without_times(deaths: bytes) -> bytes:
    """Return an encoded x-death without the times of its entries; as it is where it is anything but a list of tables, or long."""
    pieces: list[bytes] = []
    start = 0
    while len(deaths) <= _LONGEST and (found := deaths.find(_TIME, start)) >= 0:
        pieces.append(deaths[start:found + len(_TIME)])
        start = found + len(_TIME) + 8
    if not pieces:
        return bytes(deaths)
    # eight octets for each of them: where the rest is the same, so is what they are taken from
    places = (*[len(piece) for piece in pieces], len(deaths))
    shape = b"".join([*pieces, deaths[start:]])
    return shape if _are_times(shape, places) else bytes(deaths)


@lru_cache(maxsize=_LAYOUTS_REMEMBERED)
def _are_times(shape: bytes, places: tuple[int, ...]) -> bool:
    """Whether what was left out are the fields `time` of the tables of a list, and nothing that only looks like them."""
    *lengths, size = places
    octets, taken, offset = bytearray(), set[int](), 0
    for length in lengths:
        octets += shape[offset:offset + length]
        taken.add(len(octets))
        octets += bytes(8)
        offset += length
    octets += shape[offset:]
    if len(octets) != size:
        return False
    try:
        return taken == set(_times_of(bytes(octets)))
    except (IndexError, ValueError, struct.error):
        return False


def _times_of(deaths: bytes) -> list[int]:
    """Return where the times begin in a list of tables. Raises ValueError for anything else."""
    if deaths[:1] != b"A" or len(deaths) != 5 + struct.unpack_from(">I", deaths, 1)[0]:
        raise ValueError("no list")
    found: list[int] = []
    offset = 5
    while offset < len(deaths):
        if deaths[offset:offset + 1] != b"F":
            raise ValueError("no table")
        end = offset + 5 + struct.unpack_from(">I", deaths, offset + 1)[0]
        offset += 5
        while offset < end:
            start = offset + 1
            offset = start + deaths[offset]
            octet = deaths[offset]
            if deaths[start:offset + 1] == _TIME[1:]:
                found.append(offset + 1)
            offset += 1 + (_LENGTHS[octet] if octet in _LENGTHS else _length_in_front(deaths, offset))
        if offset != end:
            raise ValueError("a table that is longer than what holds it")
    if offset != len(deaths):
        raise ValueError("a list that is longer than what holds it")
    return found


def _length_in_front(encoded: bytes, begin: int) -> int:
    """Return how long a value is that says so, with what says it. Raises ValueError, or struct.error where it is cut off."""
    octet = encoded[begin]
    if octet not in _WITH_LENGTH:
        raise ValueError(f"AMQP has no field type {bytes((octet,))!r}")
    length: int = struct.unpack_from(">I", encoded, begin + 1)[0]
    return 4 + length


@lru_cache(maxsize=1024)
def _name(octets: bytes) -> EncodedName:
    name = EncodedName(octets[1:].decode(errors="surrogateescape"))
    name.octets = octets
    return name


def _header(name: str, value: HeaderValue) -> bytes:
    # what is written on letters that are put back is the same on many of them
    return _short_header(name, value) if isinstance(value, bytes) and len(value) <= _SHORT else encode_header(name, value)


_short_header = lru_cache(maxsize=256)(encode_header)
