"""Letters of frameworks for .NET, and of Uber's proxy, written as their source code writes them; none of these could be run here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.dead_letter import Confidence
from brokercli.model.message import Header, Message, Record, Typed
from brokercli.model.position import format_time

BYTES = "System.Byte[], System.Private.CoreLib"


def wrapped(headers: dict[str, Any], exception: str = "System.Exception: no") -> Record:
    """Return EasyNetQ's letter for a message with these headers, as they are written."""
    error = {"RoutingKey": "#", "Exchange": "x", "Queue": "q", "Exception": exception, "Message": "{}", "DateTime": "2026-11-23T10:00:00Z",
             "BasicProperties": {"Headers": headers}}
    return Record("rabbitmq", {"queue": "EasyNetQ_Default_Error_Queue"}, "", None, Message(body=json.dumps(error).encode()))


def moved(queue: str, *headers: Header, body: bytes = b"{}") -> Record:
    """Return a message that was moved to an error queue with these headers."""
    return Record("rabbitmq", {"exchange": "", "routing_key": queue, "queue": queue}, "", None, Message(body=body, headers=headers))


@pytest.mark.parametrize(("written", "header"), [
    ("acme", b"acme"), ("20261123", b"20261123"), ("true", b"true"), ("caf\u00e9", "caf\u00e9".encode()), ("", b""),
    ({"$type": BYTES, "$value": "YWNtZQ=="}, b"acme"), ({"$type": BYTES, "$value": "/wA="}, b"\xff\0"), ({"$type": BYTES, "$value": ""}, b""),
    ({"$type": "RabbitMQ.Client.AmqpTimestamp, RabbitMQ.Client", "UnixTime": 1795474000}, Typed("timestamp", 1795474000)),
    ({"$type": "System.Collections.Generic.List`1[[System.Object]]", "$values": [{"$type": BYTES, "$value": "YQ=="}, None]}, Typed("array", (b"a", None))),
    ({"$type": "System.Collections.Generic.Dictionary`2", "a": {"$type": BYTES, "$value": "YQ=="}}, Typed("table", (("a", b"a"),))),
    ({"Type": 1, "Value": None}, None), ({"Type": 2, "Value": True}, True), ({"Type": 3, "Value": 255}, Typed("uint8", 255)),
    ({"Type": 4, "Value": -1}, Typed("int8", -1)), ({"Type": 5, "Value": -300}, Typed("int16", -300)), ({"Type": 6, "Value": 5}, Typed("int32", 5)),
    ({"Type": 7, "Value": 4_000_000_000}, Typed("uint32", 4_000_000_000)), ({"Type": 8, "Value": 2**40}, 2**40),
    ({"Type": 9, "Value": 1.5}, Typed("float32", 0x3FC00000)), ({"Type": 10, "Value": 0.1}, 0.1), ({"Type": 11, "Value": "12.50"}, Typed("decimal", (2, 1250))),
    ({"Type": 12, "Value": 1795474000}, Typed("timestamp", 1795474000)), ({"Type": 13, "Value": "acme"}, b"acme"),
    ({"Type": 14, "Value": "/wA="}, b"\xff\0"), ({"Type": 15, "Value": [{"Type": 14, "Value": "YQ=="}, {"Type": 6, "Value": 1}]},
                                                 Typed("array", (b"a", Typed("int32", 1)))),
    ({"Type": 16, "Value": {"a": {"Type": 2, "Value": False}}}, Typed("table", (("a", False),))), ({"Type": 17, "Value": "AP8="}, Typed("bytes", b"\0\xff")),
])
def test_each_serializer_of_easynetq_writes_headers_its_own_way(written: object, header: object) -> None:
    assert to_message(recognise(wrapped({"h": written, "plain": "no base64!"}))).headers == (("h", header), ("plain", b"no base64!"))


@pytest.mark.parametrize(("written", "seen"), [
    ({"Type": 6, "Value": 2**40}, b'{"Type":6,"Value":1099511627776}'), ({"Type": 14, "Value": "no base64"}, b'{"Type":14,"Value":"no base64"}'),
    ({"Type": 15, "Value": [1]}, b'{"Type":15,"Value":[1]}'), ({"Type": 6, "Value": "5"}, b'{"Type":6,"Value":"5"}'),
    ({"Type": 99, "Value": 5}, Typed("table", (("Type", 99), ("Value", 5)))),
    ({"$type": BYTES, "$value": "no base64"}, Typed("table", (("$value", b"no base64"),)))])
def test_what_is_of_no_known_form_makes_no_bug_and_stays_to_be_seen(written: object, seen: object) -> None:
    headers = to_message(recognise(wrapped({"h": written, "plain": "no base64!"}))).headers
    assert headers == (("h", seen), ("plain", b"no base64!"))


def test_headers_that_all_read_as_base64_of_text_are_taken_for_it_and_that_is_said() -> None:
    letter = recognise(wrapped({"trace": "YWJjZA==", "tenant": "YWNtZQ=="}))
    assert to_message(letter).headers == (("trace", b"abcd"), ("tenant", b"acme"))
    assert any("read as base64" in remark for remark in letter.remarks)


def test_numbers_lose_their_width_only_where_it_is_not_written() -> None:
    assert recognise(wrapped({"n": {"Type": 6, "Value": 5}})).lost == ()
    assert "width" in recognise(wrapped({"n": 5})).lost[0]
    assert "not UTF-8" in recognise(wrapped({"n": "a\ufffd"})).lost[0]


@pytest.mark.parametrize(("text", "name", "message"), [
    ("System.Exception: no\r\n   at X", "System.Exception", "no"),
    ("System.AggregateException: One or more errors occurred. (x)\r\n ---> System.InvalidOperationException: x\r\n   at X",
     "System.InvalidOperationException", "x"),
    ("System.AggregateException: One ---> (Inner Exception #0) System.IO.IOException: gone<---\r\n", "System.IO.IOException", "gone"),
    ("Orders.Failed: could not\r\n ---> Npgsql.PostgresException (0x80004005): 23505: duplicate key\r\n", "Npgsql.PostgresException", "23505: duplicate key"),
])
def test_of_exceptions_within_exceptions_the_innermost_is_the_failure(text: str, name: str, message: str) -> None:
    letter = recognise(wrapped({}, exception=text))
    assert (letter.exception, letter.exception_message) == (name, message)


def test_masstransit_adds_what_it_adds_and_leaves_what_the_sender_wrote_under_such_names() -> None:
    own: tuple[Header, ...] = (("MT-Fault-Address", b"rabbitmq://h/orders-faults"), ("MT-Host-Info", b'{"machineName":"sender"}'), ("tenant", b"acme"))
    letter = recognise(moved("submit-order_error", *own, ("MT-Reason", b"fault"), ("MT-Fault-ExceptionType", b"W.Cause"), ("MT-Host-MachineName", b"m"),
                             ("publishId", b"7")))
    assert letter.dialect == "masstransit"
    assert to_message(letter).headers == own


@pytest.mark.parametrize(("address", "queue"), [
    (b"rabbitmq://h:5671/vhost/orders?durable=false", "queue:orders"), (b"rabbitmq://h/orders", "queue:orders"), (b"queue:orders", "queue:orders"),
    (b"rabbitmq://h/v/orders%2Fnew", "queue:orders/new"), (b"rabbitmq://[", "None"), (b"rabbitmq://h/", "None")])
def test_masstransit_names_its_queue_by_an_address(address: bytes, queue: str) -> None:
    letter = recognise(moved("dead", ("MT-Reason", b"fault"), ("MT-Fault-InputAddress", address)))
    assert str(letter.home and letter.home.address) == queue
    assert letter.journey[0].where == (queue.removeprefix("queue:") if letter.home else address.decode())


def test_masstransit_tells_a_queue_without_an_address_by_the_name_of_its_letters() -> None:
    for lies_in, header in (("orders_error", ("MT-Fault-ExceptionType", b"W.Cause")), ("orders_skipped", ("MT-Reason", b"dead-letter"))):
        letter = recognise(moved(lies_in, header))
        assert letter.home is not None
        assert (str(letter.home.address), letter.home.confidence, letter.attempts) == ("queue:orders", Confidence.LIKELY, None)
        assert letter.reason == ("fault" if lies_in == "orders_error" else "dead-letter")
    assert recognise(moved("orders_error", ("MT-Fault-Address", b"rabbitmq://h/faults"))).dialect == "unknown"


@pytest.mark.parametrize(("trace", "name", "message"), [
    (b"Orders.SubmitFailed: could not store order\r\n ---> Npgsql.PostgresException (0x80004005): 23505: duplicate key\r\n   at X",
     "Npgsql.PostgresException", "23505: duplicate key"),
    (b"at X", "Orders.SubmitFailed", "could not store order"),
])
def test_nservicebus_names_an_exception_and_its_own_message(trace: bytes, name: str, message: str) -> None:
    letter = recognise(moved("error", ("NServiceBus.FailedQ", b"orders"), ("NServiceBus.ExceptionInfo.ExceptionType", b"Orders.SubmitFailed"),
                             ("NServiceBus.ExceptionInfo.InnerExceptionType", b"Npgsql.PostgresException"),
                             ("NServiceBus.ExceptionInfo.Message", b"could not store order"), ("NServiceBus.ExceptionInfo.StackTrace", trace),
                             ("NServiceBus.Transport.RabbitMQ.ConfirmationId", b"12")))
    assert (letter.exception, letter.exception_message) == (name, message)
    assert to_message(letter).headers == ()


@pytest.mark.parametrize(("details", "name", "message"), [
    ("1 unhandled exceptions: 11/23/2026 10:00:00 AM +00:00: System.Exception: no such order\r\n   at X", "System.Exception", "no such order"),
    ("1 unhandled exceptions: 23.11.2026 10:00:00 +01:00: Orders.Handlers+NoSuchOrderException: 7\r\n", "Orders.Handlers+NoSuchOrderException", "7"),
    ("1 unhandled exceptions: 11/23/2026 10:00:00 AM +00:00: NoSuchOrderException: 7", "NoSuchOrderException", "7"),
    ("1 unhandled exceptions: 11/23/2026: Orders.FailedException`1[Orders.Order]: 7", "Orders.FailedException`1[Orders.Order]", "7"),
    ("1 unhandled exceptions: 11/23/2026: Npgsql.PostgresException (0x80004005): 23505: key\r\n", "Npgsql.PostgresException", "23505: key"),
])
def test_rebus_names_exceptions_of_every_kind_of_class(details: str, name: str, message: str) -> None:
    letter = recognise(moved("error", ("rbs2-source-queue", b"orders"), ("rbs2-error-details", details.encode())))
    assert (letter.exception, letter.exception_message, letter.attempts) == (name, message, 1)


def test_rebus_counts_tries_in_a_header_or_in_words() -> None:
    details = ("rbs2-error-details", b"5 unhandled exceptions: 11/23/2026: System.Exception: no")
    assert recognise(moved("error", ("rbs2-source-queue", b"orders"), details)).attempts == 5
    assert recognise(moved("error", ("rbs2-source-queue", b"orders"), ("rbs2-delivery-count", b"6"), details)).attempts == 6
    assert recognise(moved("error", ("rbs2-source-queue", b"orders"), ("rbs2-error-details", b"poison"))).attempts is None


@pytest.mark.parametrize("timeouts", [b"", b"\x38\x02"])
def test_letters_of_ubers_proxy_have_milliseconds_and_the_originals_headers(timeouts: bytes) -> None:
    moment = 1_795_474_000_123
    varint = bytes([*(moment >> shift & 0x7F | 0x80 for shift in range(0, 35, 7)), moment >> 35])
    key = b"\x08\x04\x12\x06orders\x18\x03\x20\x07\x28" + varint + b"\x32\x02k1" + timeouts
    letter = recognise(Record("kafka", {"topic": "billing__orders__dlq", "partition": 0, "offset": 1}, "0:1", None,
                              Message(body=b"{}", key=key, headers=(("h", b"1"),))))
    assert (letter.dialect, str(letter.home and letter.home.address), letter.attempts) == ("uber kafka-client", "topic:orders", 4)
    assert letter.original_time == moment * 1_000_000
    assert letter.lost == ()
    message = to_message(letter)
    assert (message.key, message.headers, message.body) == (b"k1", (("h", b"1"),), b"{}")


def test_a_time_that_nobody_set_is_shown_with_a_year_of_four_digits() -> None:
    letter = recognise(moved("error", ("NServiceBus.FailedQ", b"orders"), ("NServiceBus.TimeOfFailure", b"0001-01-01 00:00:00:000000 Z")))
    assert letter.died is not None
    assert format_time(letter.died) == "0001-01-01T00:00:00.000Z"
