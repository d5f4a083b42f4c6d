"""Properties that are read where those of another letter stood: only where they do stand there, and then the same as if read with care."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.envelope import encode_record
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.encoded_headers import split_table
from brokercli.backends.rabbitmq.exact_properties import decode_properties, decode_property, split_headers
from brokercli.backends.rabbitmq.layouts import Layout, Layouts
from brokercli.backends.rabbitmq.records import RabbitMQBatch
from tests.backends.test_rabbitmq_records import encoded
from tests.backends.test_rabbitmq_table import PROPERTIES, TABLES
from tests.native import amqp


def check(layout: Layout, properties: bytes) -> None:
    """Compare what is read of properties by a layout that they fit with what is read of them with care."""
    fixed, table = split_headers(properties)
    headers = split_table(table) if table else []
    assert layout.headers(properties) == tuple(headers)
    assert layout.values(properties) == tuple([value for _, value in headers])
    assert layout.flags == fixed[:2]
    assert {name: decode_property(name, octets) for name, octets in zip(layout.form.properties, layout.properties(properties), strict=True)} \
        == decode_properties(fixed)
    assert layout.form.types == bytes([value[0] for _, value in headers])


@given(PROPERTIES, TABLES, st.data())
def test_what_fits_is_read_as_it_is(properties: dict[str, Any], table: list[tuple[bytes, amqp.Field]], data: st.DataObject) -> None:
    first = encoded(properties, table)
    layout = Layout(first)
    check(layout, first)
    changed = bytearray(first)
    for place in data.draw(st.lists(st.integers(0, len(first) - 1), max_size=3)):
        changed[place] = data.draw(st.integers(0, 255))
    if layout.fits(bytes(changed)):
        check(layout, bytes(changed))


@given(PROPERTIES, TABLES, st.data())
def test_other_values_of_the_same_length_fit_and_nothing_else_does(properties: dict[str, Any], table: list[tuple[bytes, amqp.Field]],
                                                                  data: st.DataObject) -> None:
    table = [(b"trace", ("S", b"0001")), *table]
    layout = Layout(encoded({**properties, "message_id": b"m-1"}, table))
    assert layout.fits(encoded({**properties, "message_id": b"m-2"}, [(b"trace", ("S", b"\xff\0\1S")), *table[1:]]))
    others = [(b"trace", ("x", b"0001")), (b"Trace", ("S", b"0001")), (b"tra", ("S", b"ce0001"))]
    other = encoded({**properties, "message_id": b"m-1"}, [data.draw(st.sampled_from(others)), *table[1:]])
    assert len(other) == len(encoded({**properties, "message_id": b"m-1"}, table))
    assert not layout.fits(other)


def test_values_that_take_length_from_each_other_are_told_apart() -> None:
    layouts = Layouts()
    letters = [encoded({}, [(b"a", ("S", b"x" * long)), (b"b", ("S", b"y" * (9 - long)))]) for long in range(10)]
    assert len({len(letter) for letter in letters}) == 1
    for letter in [*letters, *letters]:
        layout = layouts.find(letter)
        if layout is not None:
            check(layout, letter)
    assert layouts.find(letters[0]) is not None
    # that many of one length are not looked through
    assert layouts.find(letters[-1]) is None


def test_letters_of_which_none_is_as_long_as_another_are_soon_read_without() -> None:
    layouts = Layouts()
    found = [layouts.find(encoded({}, [(b"a", ("S", b"x" * long))])) for long in range(2000)]
    assert found[0] is not None
    assert found[-1] is None
    # what is known is found all the same
    assert layouts.find(encoded({}, [(b"a", ("S", b"y" * 5))])) is found[5]


@given(PROPERTIES, TABLES, st.lists(st.tuples(st.binary(max_size=8), st.booleans(), st.integers(0, 2)), min_size=2, max_size=8))
def test_letters_of_one_form_are_written_down_together_as_each_would_be_alone(properties: dict[str, Any], table: list[tuple[bytes, amqp.Field]],
                                                                             own: list[tuple[bytes, bool, int]]) -> None:
    table = [(name, field) for name, field in {b"%name": ("S", b"%b"), **dict(table)}.items() if name != b"x-stream-offset"]
    letters = [Delivery(number + 1, redelivered, b"", b"key.%d" % route,
                        encoded({**properties, "message_id": value}, [*table, (b"trace", ("S", value))]), value)
               for number, (value, redelivered, route) in enumerate(own)]
    batch = RabbitMQBatch(letters, "orders.dlq", numbered=False)
    assert batch.envelopes() == [encode_record(record) for record in batch.records()]
