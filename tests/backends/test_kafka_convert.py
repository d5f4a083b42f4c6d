"""What becomes of messages from other brokers on their way into Kafka."""

from __future__ import annotations

import pytest

from brokercli.backends.kafka.convert import CannotCarry, to_kafka
from brokercli.model.message import HeaderValue, Message, Typed


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    return to_kafka(message).headers or []


def test_headers_of_kafka_go_through_untouched() -> None:
    original = (("x-message-key", b"k"), ("a", b""), ("a", None), ("", b"\xff"))
    native = to_kafka(Message(b"b", headers=original, origin="kafka"))
    assert native.headers == list(original)
    assert native.key is None


@pytest.mark.parametrize(("value", "written"), [
    (b"raw\xff", b"raw\xff"), (None, None), (True, b"true"), (False, b"false"), (-5, b"-5"), (1.5, b"1.5"),
    (Typed("int32", 7), b"7"), (Typed("uint8", 255), b"255"), (Typed("timestamp", 1_700_000_000), b"1700000000"),
    (Typed("decimal", (2, 314)), b"3.14"), (Typed("decimal", (0, -3)), b"-3"), (Typed("bytes", b"\0\x01"), b"\0\x01"),
    (Typed("float32", 0x40600000), b"3.5"), (Typed("double", 0x7FF0000000000000), b"inf"),
    (Typed("table", (("a", b"x"), ("n", Typed("int8", 1)))), b'[{"name":"a","value":"x"},{"name":"n","value":{"int8":1}}]'),
    (Typed("array", (1, b"two", None)), b'[1,"two",null]'),
], ids=repr)
def test_amqp_values_become_text_or_json(value: HeaderValue, written: bytes | None) -> None:
    assert headers(Message(headers=(("h", value),), origin="rabbitmq")) == [("h", written)]


def test_a_key_that_travelled_as_a_header_is_a_key_again() -> None:
    native = to_kafka(Message(headers=(("X-Message-Key", b"k"), ("a", b"1")), origin="nats"))
    assert (native.key, native.headers) == (b"k", [("a", b"1")])
    kept = to_kafka(Message(key=b"own", headers=(("x-message-key", b"k"),), origin="nats"))
    assert (kept.key, kept.headers) == (b"own", [("x-message-key", b"k")])


def test_properties_become_headers_with_known_names() -> None:
    message = Message(origin="rabbitmq", id="m-1", route="orders.new", headers=(("h", b"1"),), properties={
        "content_type": b"text/plain", "correlation_id": b"c", "message_id": b"m-1", "delivery_mode": Typed("uint8", 2), "reply_to": b"r", "priority": 3})
    assert headers(message) == [("h", b"1"), ("x-message-id", b"m-1"), ("content-type", b"text/plain"), ("x-correlation-id", b"c"),
                                ("x-amqp-reply-to", b"r"), ("x-amqp-priority", b"3")]


def test_a_header_that_is_there_is_not_written_twice() -> None:
    message = Message(id="new", headers=(("X-Message-Id", b"old"), ("Content-Type", b"a")), properties={"content_type": b"b"}, origin="rabbitmq")
    assert headers(message) == [("X-Message-Id", b"old"), ("Content-Type", b"a")]


def test_times_are_cut_to_milliseconds() -> None:
    assert to_kafka(Message(time=1_700_000_000_999_999_999)).timestamp == 1_700_000_000_999
    assert to_kafka(Message()).timestamp == 0


@pytest.mark.parametrize("message", [Message(time=999_999), Message(time=-1), Message(headers=(("\udc80", b""),)), Message(headers=(("a\0b", b""),))], ids=repr)
def test_what_kafka_has_no_form_for_says_why(message: Message) -> None:
    with pytest.raises(CannotCarry, match=r"1970|UTF-8|NUL"):
        to_kafka(message)
