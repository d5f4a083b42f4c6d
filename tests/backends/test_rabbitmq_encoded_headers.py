"""Headers compared and put on as they are encoded: the same octets, and no two taken for the same that are not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.rabbitmq.amqp_table import decode_table, encode_table
from brokercli.backends.rabbitmq.encoded_headers import EncodedDeaths, decoded, join_table, split_table
from brokercli.model.message import HeaderValue, Typed
from tests.backends.test_rabbitmq_table import TABLES
from tests.native import amqp


def deaths(*entries: tuple[tuple[str, HeaderValue], ...]) -> EncodedDeaths:
    """Return an encoded x-death of these entries."""
    value = Typed("array", tuple(Typed("table", entry) for entry in entries))
    return EncodedDeaths(split_table(encode_table((("x-death", value),)))[0][1])


def death(time: int, queue: bytes = b"orders", **more: HeaderValue) -> tuple[tuple[str, HeaderValue], ...]:
    return (("count", 1), ("reason", b"rejected"), ("queue", queue), ("time", Typed("timestamp", time)), ("exchange", b""),
            ("routing-keys", Typed("array", (b"orders",))), *more.items())


@given(TABLES)
def test_a_table_taken_apart_is_put_together_as_it_was(table: list[tuple[bytes, amqp.Field]]) -> None:
    encoded = amqp.encode_table(table)
    headers = split_table(encoded)
    assert join_table(headers) == encoded
    assert decoded(headers) == decode_table(encoded)[0]
    assert encode_table(decoded(headers)) == encoded


@given(TABLES)
def test_a_table_that_is_cut_short_is_an_error(table: list[tuple[bytes, amqp.Field]]) -> None:
    encoded = amqp.encode_table(table)
    for end in range(len(encoded)):
        with pytest.raises(ValueError, match=r"table|type"):
            split_table(encoded[:end])


@given(st.binary(max_size=80))
def test_arbitrary_octets_are_taken_apart_or_an_error(content: bytes) -> None:
    encoded = struct.pack(">I", len(content)) + content
    try:
        headers = split_table(encoded)
    except ValueError:
        return
    assert join_table(headers) == encoded


def test_what_is_of_another_type_is_another_value() -> None:
    values: list[HeaderValue] = [1, True, 1.0, b"1", Typed("int32", 1), Typed("uint8", 1), Typed("bytes", b"1"), Typed("timestamp", 1)]
    assert len({split_table(encode_table((("n", value),)))[0][1] for value in values}) == len(values)


def test_deaths_that_differ_in_their_times_only_are_the_same() -> None:
    one, other = deaths(death(5), death(6, b"wait")), deaths(death(2**40), death(0, b"wait"))
    assert bytes(one) != bytes(other)
    assert (one == other, one != other, hash(one) == hash(other), len({one, other})) == (True, False, True, 1)


@pytest.mark.parametrize("other", [
    deaths(death(5, b"bills"), death(6, b"wait")), deaths(death(5)), deaths(death(6, b"wait"), death(5)), deaths(death(5), death(6, b"wait", more=b"x")),
    deaths((("count", 2), *death(5)[1:]), death(6, b"wait")), deaths(), deaths((("time", 5), *death(5)), death(6, b"wait"))],
    ids=["another queue", "fewer", "another order", "one field more", "another count", "none", "a time that is a number"])
def test_deaths_that_differ_in_anything_else_are_not(other: EncodedDeaths) -> None:
    one = deaths(death(5), death(6, b"wait"))
    assert one != other
    assert len({one, other}) == 2
    assert one != bytes(one)
    assert bytes(one) != one


def test_what_is_so_long_that_it_would_be_remembered_at_a_cost_is_compared_as_it_is() -> None:
    one, other = (deaths(death(time, b"q" * 5000)) for time in (5, 6))
    assert one != other
    assert one == deaths(death(5, b"q" * 5000))


def test_a_queue_whose_name_looks_like_a_time_is_not_taken_for_one() -> None:
    names = [b"orders\x04timeT%08d" % number for number in range(20)]
    assert len({deaths(death(5, name)) for name in names}) == len(names)
    # nor where there are as many of them as of times
    without = [deaths((("queue", name),)) for name in names]
    assert len(set(without)) == len(names)
    deeper = [deaths((("routing-keys", Typed("table", (("time", Typed("timestamp", number)),))),)) for number in range(3)]
    assert len(set(deeper)) == 3


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_octets_that_are_no_deaths_are_the_same_only_where_they_are(one: bytes, other: bytes) -> None:
    marked = [part + b"\x04timeT12345678" + part for part in (one, other)]
    for some, more in ((one, other), (marked[0], marked[1]), (marked[0], marked[0].replace(b"12345678", b"87654321"))):
        assert (EncodedDeaths(some) == EncodedDeaths(more)) is (some == more)
