"""What becomes of a message on its way into AMQP: what is kept, moved, withheld, refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from brokercli.backends.rabbitmq.amqp_table import decode_table
from brokercli.backends.rabbitmq.convert import CannotCarry, Converter
from brokercli.backends.rabbitmq.exact_properties import decode_properties, split_headers
from brokercli.model.message import Header, HeaderValue, Message, Typed

SECOND = 1_000_000_000


def converter(*, to_stream: bool = False, certain: bool = True, keep: bool = False) -> Converter:
    return Converter(user="guest", to_stream=to_stream, certain=certain, keep_control_headers=keep)


def carried(message: Message, **options: bool) -> tuple[tuple[Header, ...], dict[str, HeaderValue]]:
    """Return the headers and the properties that AMQP gets."""
    fixed, table = split_headers(converter(**options).convert(message).properties)
    return decode_table(table)[0] if table else (), decode_properties(fixed)


def test_headers_of_rabbitmq_keep_their_types() -> None:
    inner = Typed("table", (("x", Typed("decimal", (1, 2))),))
    headers: tuple[Header, ...] = (("a", b"\xff"), ("b", Typed("int8", 5)), ("c", None), ("d", 1.5), ("e", inner))
    assert carried(Message(headers=headers, origin="rabbitmq"))[0] == headers


def test_a_message_is_persistent_unless_it_says_otherwise() -> None:
    assert carried(Message())[1]["delivery_mode"] == 2
    assert carried(Message(properties={"delivery_mode": 1}, origin="rabbitmq"))[1]["delivery_mode"] == 1


@pytest.mark.parametrize("name", [
    "CC", "BCC", "x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count", "x-acquired-count", "x-stream-offset"])
@pytest.mark.parametrize("origin", ["rabbitmq", "kafka", "nats"])
def test_headers_that_steer_the_broker_are_withheld_and_counted(name: str, origin: str) -> None:
    converting = converter()
    native = converting.convert(Message(headers=((name, Typed("array", (b"q",))), ("kept", b"1")), origin=origin))
    assert decode_table(split_headers(native.properties)[1])[0] == (("kept", b"1"),)
    assert converting.withheld == {name: 1}


def test_control_headers_are_kept_when_that_is_asked_for() -> None:
    converting = converter(keep=True)
    message = Message(headers=(("CC", Typed("array", (b"q",))),), properties={"expiration": b"5"}, origin="rabbitmq")
    fixed, table = split_headers(converting.convert(message).properties)
    assert decode_table(table)[0] == message.headers
    assert decode_properties(fixed)["expiration"] == b"5"
    assert converting.withheld == {}


def test_a_copy_does_not_expire_impersonate_or_answer_for_another() -> None:
    converting = converter()
    properties: dict[str, HeaderValue] = {"expiration": b"60000", "user_id": b"somebody", "reply_to": b"amq.rabbitmq.reply-to.g1h2", "app_id": b"shop"}
    fixed, _ = split_headers(converting.convert(Message(properties=properties, origin="rabbitmq")).properties)
    assert decode_properties(fixed) == {"app_id": b"shop", "delivery_mode": 2}
    assert converting.withheld == {"expiration": 1, "user_id": 1, "reply_to": 1}


def test_our_own_login_and_a_queue_to_reply_to_stay() -> None:
    _, properties = carried(Message(properties={"user_id": b"guest", "reply_to": b"answers"}, origin="rabbitmq"))
    assert properties["user_id"] == b"guest"
    assert properties["reply_to"] == b"answers"


def test_a_message_from_kafka_keeps_its_key_and_finds_its_properties() -> None:
    headers: tuple[Header, ...] = (("x-message-id", b"m-1"), ("Content-Type", b"application/json"), ("none", None), ("bytes", b"\xff"))
    found, properties = carried(Message(key=b"c-7", headers=headers, origin="kafka"))
    assert found == (("none", None), ("bytes", b"\xff"), ("x-message-key", b"c-7"))
    assert properties == {"content_type": b"application/json", "message_id": b"m-1", "delivery_mode": 2}


def test_an_id_becomes_the_message_id() -> None:
    assert carried(Message(id="m-1"))[1]["message_id"] == b"m-1"
    assert carried(Message(id="m-1", headers=(("Nats-Msg-Id", b"m-1"),), origin="nats"))[1]["message_id"] == b"m-1"


def test_a_key_that_is_already_there_is_not_written_twice() -> None:
    assert carried(Message(key=b"new", headers=(("x-message-key", b"old"),), origin="kafka"))[0] == (("x-message-key", b"old"),)


def test_a_header_that_repeats_becomes_one_array_in_order() -> None:
    found, _ = carried(Message(headers=(("a", b"1"), ("b", b"2"), ("a", b"3")), origin="kafka"))
    assert found == (("a", Typed("array", (b"1", b"3"))), ("b", b"2"))


def test_a_time_is_written_in_whole_seconds_and_only_where_it_is_given() -> None:
    assert "timestamp" not in carried(Message())[1]
    assert carried(Message(time=1_700_000_000 * SECOND + 999))[1]["timestamp"] == Typed("timestamp", 1_700_000_000)


def test_a_timestamp_in_milliseconds_stays_as_it_was_stored() -> None:
    stored: dict[str, HeaderValue] = {"timestamp": Typed("timestamp", 1_700_000_000_123)}
    assert carried(Message(properties=stored, origin="rabbitmq"))[1]["timestamp"] == Typed("timestamp", 1_700_000_000_123)
    # the time of the record is the same time, and no reason to write it in seconds
    assert carried(Message(properties=stored, time=1_700_000_000_123_000_000, origin="rabbitmq"))[1]["timestamp"] == Typed("timestamp", 1_700_000_000_123)


@pytest.mark.parametrize(("message", "said"), [
    (Message(body=None), "no null bodies"),
    (Message(partition=0), "no partitions"),
    (Message(key=b"k"), "no key"),
    (Message(time=-1), "before 1970"),
    (Message(id="x" * 256), "message_id is 256 bytes"),
    (Message(route="x" * 256), "routing key is 256 bytes"),
    (Message(headers=(("n" * 256, b""),)), "256 bytes long"),
    (Message(headers=(("n", 2**63),)), "no int64"),
    (Message(headers=(("n", math.inf),)), "no finite number"),
    (Message(headers=(("n", Typed("table", (("m", Typed("float32", 0x7FC00000)),))),)), "no finite number"),
    (Message(properties={"colour": b"red"}), "no property colour"),
    (Message(headers=(("CC", b"queue"),)), "no array of strings"),
], ids=["null body", "partition", "key by hand", "time before 1970", "long id", "long route", "long name", "large number", "infinity", "inner nan",
        "unknown property", "CC of the wrong type"])
def test_what_amqp_cannot_carry_is_refused_with_the_reason(message: Message, said: str) -> None:
    with pytest.raises(CannotCarry, match=said):
        converter().convert(message)


@pytest.mark.parametrize("value", [Typed("decimal", (2, 125)), Typed("table", ()), Typed("array", ())])
def test_what_a_stream_would_drop_is_refused(value: Any) -> None:
    message = Message(headers=(("a", b"1"), ("h", value)), origin="rabbitmq")
    assert carried(message)[0] == message.headers
    with pytest.raises(CannotCarry, match=f"a stream keeps no header of the type {value.kind}: h"):
        carried(message, to_stream=True)


def test_of_a_header_that_repeats_it_is_said_why_a_stream_would_drop_it() -> None:
    with pytest.raises(CannotCarry, match="a stream keeps no header of the type array: h; one that repeats is an array"):
        carried(Message(headers=(("h", b"1"), ("h", b"2")), origin="kafka"), to_stream=True)


def test_a_message_that_may_end_the_channel_is_marked() -> None:
    assert converter().convert(Message()).risk == ""
    assert converter(certain=False).convert(Message(headers=(("d", Typed("decimal", (0, 1))),))).risk
    assert converter().convert(Message(properties={"user_id": b"somebody"})).risk


def test_a_refused_message_counts_nothing_as_withheld() -> None:
    converting = converter()
    with pytest.raises(CannotCarry):
        converting.convert(Message(headers=(("CC", b"q"), ("n", 2**63)), origin="rabbitmq"))
    assert converting.withheld == {}


@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_a_routing_header_that_is_an_empty_string_is_refused_as_any_other_string(name: str) -> None:
    with pytest.raises(CannotCarry, match="no array of strings"):
        Converter(user=None, to_stream=False, certain=True, keep_control_headers=False).convert(Message(b"", headers=((name, b""),)))


@pytest.mark.parametrize("message", [Message(b"", properties={"reply_to": b"\xff"}), Message(b"", headers=(("x-stream-filter-value", 5),)),
                                     Message(b"", headers=(("x-stream-filter-value", b"\xff"),))], ids=["reply_to", "filter", "no text"])
def test_what_a_stream_breaks_the_connection_for_is_refused_or_goes_alone(message: Message) -> None:
    with pytest.raises(CannotCarry, match="breaks the connection"):
        Converter(user=None, to_stream=True, certain=True, keep_control_headers=False).convert(message)
    assert "breaks the connection" in Converter(user=None, to_stream=False, certain=False, keep_control_headers=False).convert(message).risk
    assert not Converter(user=None, to_stream=False, certain=True, keep_control_headers=False).convert(message).risk
