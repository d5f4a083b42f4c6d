"""What RabbitMQ delivered, as envelopes and records: the same, and back into the same octets."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.envelope import decode_envelope, encode_record
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.convert import CannotCarry, Converter, Native
from brokercli.backends.rabbitmq.exact_properties import split_headers
from brokercli.backends.rabbitmq.records import RabbitMQBatch, offset_of
from brokercli.backends.rabbitmq.times import nanoseconds_of
from brokercli.model.message import Message
from tests.backends.test_rabbitmq_table import PROPERTIES, TABLES
from tests.native import amqp

SECOND = 1_000_000_000
NAMES = st.binary(max_size=40)


def _unique(table: list[tuple[bytes, amqp.Field]]) -> list[tuple[bytes, amqp.Field]]:
    # a broker hands out each name once, and an offset that is its own
    return [(name, field) for name, field in {name: field for name, field in table if name != b"x-stream-offset"}.items()]


def encoded(properties: dict[str, Any], table: list[tuple[bytes, amqp.Field]]) -> bytes:
    given_ones = {**properties, **({"headers": table} if table else {})}
    return amqp.encode_properties(tuple((name, given_ones[name]) for name in amqp.PROPERTIES if name in given_ones))


@st.composite
def deliveries(draw: st.DrawFn, *, numbered: bool) -> Delivery:
    table = _unique(draw(TABLES))
    if numbered:
        place = draw(st.integers(0, len(table)))
        table = [*table[:place], (b"x-stream-offset", ("l", draw(st.integers(0, 2**62)))), *table[place:]]
    return Delivery(draw(st.integers(1, 2**63)), draw(st.booleans()), draw(NAMES), draw(NAMES), encoded(draw(PROPERTIES), table), draw(st.binary(max_size=60)))


@given(st.lists(deliveries(numbered=False), max_size=6), st.none() | st.just("orders"))
def test_envelopes_are_the_records_written_down(batch: list[Delivery], queue: str | None) -> None:
    view = RabbitMQBatch(batch, queue, numbered=False)
    assert view.envelopes() == [encode_record(record) for record in view.records()]
    assert view.bodies() == [record.message.body for record in view.records()]


@given(st.lists(deliveries(numbered=True), max_size=6))
def test_records_of_a_stream_say_their_offset_and_leave_it_out_of_the_headers(batch: list[Delivery]) -> None:
    view = RabbitMQBatch(batch, "orders", numbered=True)
    records = view.records()
    assert view.envelopes() == [encode_record(record) for record in records]
    assert [record.position for record in records] == [str(offset_of(delivery)) for delivery in batch]
    assert all(name != "x-stream-offset" for record in records for name, _ in record.message.headers)


def converted(converter: Converter, message: Message) -> Native | None:
    """Return None for what no broker can have handed out."""
    try:
        return converter.convert(message)
    except CannotCarry as refusal:
        if "no finite number" in str(refusal) or "no array of strings" in str(refusal):
            return None
        raise


@given(deliveries(numbered=False))
def test_a_message_goes_back_into_the_octets_it_came_from(delivery: Delivery) -> None:
    view = RabbitMQBatch([delivery], "orders", numbered=False)
    converter = Converter(user=None, to_stream=False, certain=True, keep_control_headers=True)
    fixed, table = split_headers(delivery.properties)
    for message in (view.records()[0].message, decode_envelope(view.envelopes()[0], 1)):
        native = converted(converter, message)
        if native is None:
            continue
        assert native.body == delivery.body
        # an empty table is left out
        assert split_headers(native.properties)[1] == (table if table != b"\0\0\0\0" else b"")
        if struct.unpack_from(">H", fixed)[0] & 0x1000:
            # without a delivery_mode of its own a message becomes persistent
            assert split_headers(native.properties)[0] == fixed


@pytest.mark.parametrize(("written", "meant"), [(0, 0), (1_700_000_000, 1_700_000_000 * SECOND), (1_700_000_000_123, 1_700_000_000_123 * 1_000_000),
                                                (1_700_000_000_123_456, 1_700_000_000_123_456_000), (1_700_000_000_123_456_789, 1_700_000_000_123_456_789)])
def test_a_timestamp_is_in_the_unit_that_makes_sense_of_it(written: int, meant: int) -> None:
    assert nanoseconds_of(written) == meant


def test_letters_whose_bodies_are_encoded_are_told_from_others_of_which_all_else_is_the_same() -> None:
    table = [(b"tenant", ("S", b"acme"))]
    letters = [Delivery(number, False, b"", b"dlq", encoded({"type": kind}, table), b"body")
               for number, kind in enumerate((b"order-88", b"amqp-1.0", b"order-99"), 1)]
    outlines = RabbitMQBatch(letters, "dlq", numbered=False).encoded_outlines()
    assert outlines is not None
    assert [outline[-1] == outlines[0][-1] for outline in outlines] == [True, False, True]
