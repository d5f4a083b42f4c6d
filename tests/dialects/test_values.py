"""What a header's value says as text, a number or a time, whatever type it has."""

from __future__ import annotations

import pytest

from brokercli.dialects.values import (
    amqp_time_of,
    big_endian_of,
    count_of,
    integer_of,
    milliseconds_of,
    moment_of,
    offset_of,
    partition_of,
    text_of,
    written_time,
)
from brokercli.model.message import HeaderValue, Typed

SECOND = 1_000_000_000
LARGEST = 2**63 - 1


@pytest.mark.parametrize(("value", "text"), [
    (b"orders", "orders"), (b"\xff\xc3\xa9", "\\xff\u00e9"), (None, ""), (7, "7"), (-7, "-7"), (True, "True"), (0.5, "0.5"), (10**40 - 1, "9" * 40),
    (10**40, ""), (-(10**40), ""), pytest.param(10**5000, "", id="too long"), (Typed("int8", 7), "7"), (Typed("bytes", b"b"), "b"),
    (Typed("array", (b"x",)), ""), (object(), "")])
def test_text(value: HeaderValue | object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(("value", "number"), [
    (7, 7), (-7, -7), (True, None), (None, None), (0.5, None), (Typed("int8", 7), 7), (Typed("float32", 7), None), (Typed("double", 7), None),
    (Typed("bytes", b"7"), None), (b" 7 ", 7), (b"-7", -7), (b"--7", None), (b"", None), (b"-", None), (b"7x", None), (b"1" * 20, int("1" * 20)),
    (b"1" * 21, None), ("7", None)])
def test_a_number(value: HeaderValue | object, number: int | None) -> None:
    assert integer_of(value) == number


@pytest.mark.parametrize(("value", "number"), [
    (b"\x00\x07", 7), (b"\xff\xff", -1), (b"12", 0x3132), (b"123", 0x313233), (b"1", 1), (b"1234", 1234), (7, 7)])
def test_a_big_endian_number_has_the_bytes_that_its_name_promises_and_is_text_otherwise(value: HeaderValue, number: int) -> None:
    assert big_endian_of(value, 2, 3) == number


@pytest.mark.parametrize(("number", "found"), [
    (None, (None, None, None)), (-1, (None, None, None)), (0, (0, 0, 0)), (1_000_000, (1_000_000,) * 3), (1_000_001, (None, 1_000_001, 1_000_001)),
    (2**31 - 1, (None, 2**31 - 1, 2**31 - 1)), (2**31, (None, 2**31, None)), (LARGEST, (None, LARGEST, None)), (2**63, (None, None, None))])
def test_what_a_count_an_offset_and_a_partition_can_be(number: int | None, found: tuple[int | None, ...]) -> None:
    assert (count_of(number), offset_of(number), partition_of(number)) == found


@pytest.mark.parametrize(("number", "moment"), [
    (None, None), (0, None), (-1, None), (1, 1_000_000), (1_795_474_000_123, 1_795_474_000_123_000_000), (LARGEST // 1_000_000, None)])
def test_milliseconds(number: int | None, moment: int | None) -> None:
    assert milliseconds_of(number) == moment


@pytest.mark.parametrize(("value", "moment"), [
    (1_795_474_000, 1_795_474_000 * SECOND), (1_795_474_000_123, 1_795_474_000_123_000_000), (1_795_474_000_123_456, 1_795_474_000_123_456_000),
    (1_795_474_000_123_456_789, 1_795_474_000_123_456_789), (Typed("timestamp", 1_795_474_000), 1_795_474_000 * SECOND),
    (b"1795474000", 1_795_474_000 * SECOND), (0, None), (-1, None), (99_999_999_999, None), (LARGEST, LARGEST), (2**63, None),
    pytest.param(10**5000, None, id="too long"), (None, None)])
def test_a_number_since_1970_says_its_unit_by_its_digits(value: HeaderValue, moment: int | None) -> None:
    assert (amqp_time_of(value), moment_of(value)) == (moment, moment)


@pytest.mark.parametrize(("text", "moment"), [
    ("2026-11-24T00:00:00Z", 1_795_478_400 * SECOND), (" 2026-11-24T00:00:00Z ", 1_795_478_400 * SECOND),
    ("2026-11-24T00:00:00.0000001Z", 1_795_478_400 * SECOND + 100), ("", None), ("yesterday", None), ("2026-13-24T00:00:00Z", None),
    ("2026-11-24T00:00:00Z" + " " * 44, 1_795_478_400 * SECOND),
    ("2026-11-24T00:00:00Z" + " " * 45, None)])
def test_a_time_that_is_written_out(text: str, moment: int | None) -> None:
    assert (written_time(text), moment_of(text.encode())) == (moment, moment)
    assert amqp_time_of(text.encode()) is None
