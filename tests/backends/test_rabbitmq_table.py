"""AMQP tables and properties: every type RabbitMQ knows, bit for bit, beside an independent codec; and what is no table."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from brokercli.backends.rabbitmq.amqp_table import CannotEncode, decode_table, encode_table, encode_value
from brokercli.backends.rabbitmq.exact_properties import NAMES, decode_properties, encode_properties, split_headers
from brokercli.model.message import Header, HeaderValue, Typed
from tests.native import amqp


def integers(letter: str, bits: int, *, signed: bool) -> SearchStrategy[amqp.Field]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high).map(lambda value: (letter, value))


NAMES_OF_HEADERS = st.binary(max_size=255)
PLAIN = st.one_of(
    integers("b", 8, signed=True), integers("B", 8, signed=False), integers("s", 16, signed=True), integers("u", 16, signed=False),
    integers("I", 32, signed=True), integers("i", 32, signed=False), integers("l", 64, signed=True), integers("T", 64, signed=False),
    st.binary(min_size=4, max_size=4).map(lambda raw: ("f", raw)), st.binary(min_size=8, max_size=8).map(lambda raw: ("d", raw)),
    st.tuples(st.integers(0, 255), st.integers(-2**31, 2**31 - 1)).map(lambda value: ("D", value)),
    st.binary(max_size=60).map(lambda raw: ("S", raw)), st.binary(max_size=60).map(lambda raw: ("x", raw)),
    st.booleans().map(lambda value: ("t", value)), st.just(("V", b"")))
FIELDS: SearchStrategy[amqp.Field] = st.recursive(PLAIN, lambda inner: st.one_of(
    st.lists(inner, max_size=4).map(lambda items: ("A", tuple(items))),
    st.lists(st.tuples(NAMES_OF_HEADERS, inner), max_size=4).map(lambda items: ("F", tuple(items)))), max_leaves=8)
TABLES = st.lists(st.tuples(NAMES_OF_HEADERS, FIELDS), max_size=6)


@given(TABLES)
def test_what_another_codec_wrote_is_read_and_written_again_bit_for_bit(table: list[tuple[bytes, amqp.Field]]) -> None:
    encoded = amqp.encode_table(table)
    headers, end = decode_table(encoded)
    assert end == len(encoded)
    assert encode_table(headers) == encoded


@given(TABLES)
def test_a_table_cut_short_is_an_error_and_never_another_table(table: list[tuple[bytes, amqp.Field]]) -> None:
    encoded = amqp.encode_table(table)
    for end in range(len(encoded)):
        with pytest.raises(ValueError, match=r"table|array|type"):
            decode_table(encoded[:end])


@given(st.binary(max_size=80))
def test_arbitrary_octets_are_a_table_or_an_error(content: bytes) -> None:
    encoded = struct.pack(">I", len(content)) + content
    try:
        headers, end = decode_table(encoded)
    except ValueError:
        return
    assert end == len(encoded)
    # two octets say the same in two ways: `l` and `L`, and any true boolean
    assert decode_table(encode_table(headers))[0] == headers or "nan" in repr(headers)


@pytest.mark.parametrize(("value", "octets"), [
    (b"text", b"S\0\0\0\4text"), (None, b"V"), (True, b"t\1"), (False, b"t\0"), (-2, b"l" + b"\xff" * 7 + b"\xfe"), (3.75, b"d\x40\x0e" + bytes(6)),
    (Typed("int8", -1), b"b\xff"), (Typed("uint8", 255), b"B\xff"), (Typed("int16", -2), b"s\xff\xfe"), (Typed("uint16", 2), b"u\0\2"),
    (Typed("int32", -2), b"I\xff\xff\xff\xfe"), (Typed("uint32", 2), b"i\0\0\0\2"), (Typed("int64", 2), b"l" + bytes(7) + b"\2"),
    (Typed("float32", 0x3FC00000), b"f\x3f\xc0\0\0"), (Typed("double", 0x7FF8000000000123), b"d\x7f\xf8\0\0\0\0\1\x23"),
    (Typed("decimal", (2, -125)), b"D\2\xff\xff\xff\x83"), (Typed("timestamp", 1700000000123), b"T" + struct.pack(">Q", 1700000000123)),
    (Typed("bytes", b"\0"), b"x\0\0\0\1\0"), (Typed("table", (("a", True),)), b"F\0\0\0\4\1at\1"), (Typed("array", (None, False)), b"A\0\0\0\3Vt\0"),
])
def test_each_type_has_the_octet_that_rabbitmq_reads(value: HeaderValue, octets: bytes) -> None:
    assert encode_value(value) == octets


@pytest.mark.parametrize("bits", [0x7FF8000000000000, 0xFFF0000000000001, 0x7FF0000000000001])
def test_a_nan_keeps_what_it_carries(bits: int) -> None:
    (header,), _ = decode_table(encode_table((("n", Typed("double", bits)),)))
    assert header == ("n", Typed("double", bits))
    assert math.isnan(struct.unpack(">d", bits.to_bytes(8, "big"))[0])


@pytest.mark.parametrize(("value", "said"), [
    (2**63, "no int64"), (Typed("int8", 128), "no int8"), (Typed("uint32", -1), "no uint32"), (Typed("decimal", (256, 1)), "no decimal"),
    (Typed("decimal", (0, 2**31)), "no decimal"), (Typed("timestamp", -1), "no timestamp"), (Typed("complex", 1), "no form"), (Typed("table", "x"), "no form"),
    (Typed("float32", 1.5), "no form")])
def test_a_value_that_amqp_cannot_say_is_named(value: Any, said: str) -> None:
    with pytest.raises(CannotEncode, match=said):
        encode_table((("h", value),))


def test_a_name_of_more_than_255_bytes_cannot_be_written() -> None:
    assert encode_table((("ü" * 127, None),))
    with pytest.raises(CannotEncode, match="256 bytes long"):
        encode_table((("ü" * 128, None),))


def test_names_that_are_no_utf_8_and_repeated_names_survive() -> None:
    encoded = amqp.encode_table([(b"\xff", ("S", b"1")), (b"a", ("S", b"2")), (b"a", ("S", b"3"))])
    headers = decode_table(encoded)[0]
    assert headers == (("\udcff", b"1"), ("a", b"2"), ("a", b"3"))
    assert encode_table(headers) == encoded


def test_a_table_that_is_nested_without_end_is_refused_and_not_followed() -> None:
    inner: Header = ("a", None)
    for _ in range(5000):
        inner = ("a", Typed("table", (inner,))) if _ < 150 else inner
    with pytest.raises(ValueError, match="too deep"):
        decode_table(encode_table((inner,)))


SHORT = st.binary(max_size=255)
PROPERTIES = st.fixed_dictionaries({}, optional={
    name: st.integers(0, 255) if name in ("delivery_mode", "priority") else st.integers(0, 2**64 - 1) if name == "timestamp" else SHORT for name in NAMES})


@given(PROPERTIES, st.none() | TABLES)
def test_properties_of_another_codec_are_read_and_written_again_bit_for_bit(properties: dict[str, Any], table: list[tuple[bytes, amqp.Field]] | None) -> None:
    given_ones = {**properties, **({} if table is None else {"headers": table})}
    encoded = amqp.encode_properties(tuple((name, given_ones[name]) for name in amqp.PROPERTIES if name in given_ones))
    fixed, raw_table = split_headers(encoded)
    decoded = decode_properties(fixed)
    assert {name: value.value if isinstance(value, Typed) else value for name, value in decoded.items()} == properties
    assert raw_table == (b"" if table is None else amqp.encode_table(table))
    assert encode_properties(decoded, raw_table) == encoded


def test_a_timestamp_in_milliseconds_is_a_number_like_any_other() -> None:
    encoded = encode_properties({"timestamp": Typed("timestamp", 1_700_000_000_123)}, b"")
    assert decode_properties(encoded) == {"timestamp": Typed("timestamp", 1_700_000_000_123)}


@pytest.mark.parametrize(("properties", "said"), [
    ({"priority": 256}, "priority is a number from 0 to 255"), ({"delivery_mode": b"2"}, "delivery_mode is a number"),
    ({"timestamp": -1}, "timestamp is a number"),
    ({"timestamp": True}, "timestamp is a number"), ({"message_id": b"x" * 256}, "message_id is 256 bytes long"), ({"type": 5}, "type is a string"),
    ({"content-type": b"x"}, "no property content-type")])
def test_a_property_that_amqp_cannot_say_is_named(properties: dict[str, HeaderValue], said: str) -> None:
    with pytest.raises(CannotEncode, match=said):
        encode_properties(properties, b"")
