"""EasyNetQ's letters carry the original as text inside JSON: what comes out, and what cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.dead_letter import Confidence, Hop
from brokercli.model.message import HeaderValue, Message, Record, Typed


def _record(message: str, **changes: Any) -> Record:
    error: dict[str, Any] = {"RoutingKey": "order.created", "Exchange": "shop", "Queue": "orders", "Exception": "System.Exception: no\n   at W",
                             "Message": message, "DateTime": "2026-11-23T10:00:00Z", "BasicProperties": {}, **changes}
    place: dict[str, str | int | bool | None] = {"exchange": "", "routing_key": "e", "queue": "EasyNetQ_Default_Error_Queue"}
    return Record("rabbitmq", place, "", None, Message(body=json.dumps(error).encode(), headers=(("wrapper", b"1"),), properties={"type": b"Error"}))


def test_the_original_comes_out_with_its_own_headers_and_properties() -> None:
    properties = {"ContentType": "application/json", "DeliveryMode": 2, "Timestamp": 1_795_474_000, "UserId": "guest", "CorrelationId": None,
                  "Headers": {"trace": "YWJjZA==", "n": 3, "nested": {"a": ["YQ=="]}}}
    message = to_message(recognise(_record('{"id":1}', BasicProperties=properties)))
    assert message.body == b'{"id":1}'
    assert message.headers == (("trace", b"abcd"), ("n", 3), ("nested", Typed("table", (("a", Typed("array", (b"a",))),))))
    assert message.properties == {"content_type": b"application/json", "delivery_mode": 2, "timestamp": Typed("timestamp", 1_795_474_000)}


def test_old_versions_say_which_properties_were_present() -> None:
    properties = {"ContentType": "", "ContentTypePresent": False, "Priority": 0, "PriorityPresent": False, "MessageId": "m", "MessageIdPresent": True}
    assert to_message(recognise(_record("{}", BasicProperties=properties))).properties == {"message_id": b"m"}


@pytest.mark.parametrize(("written", "properties"), [
    ({"Priority": 255, "DeliveryMode": 1, "Timestamp": 1}, {"delivery_mode": 1, "priority": 255, "timestamp": Typed("timestamp", 1)}),
    ({"Priority": 0, "DeliveryMode": 255, "Timestamp": 2**63 - 1}, {"delivery_mode": 255, "priority": 0, "timestamp": Typed("timestamp", 2**63 - 1)}),
    ({"Priority": 256, "DeliveryMode": 0, "Timestamp": 0}, {}), ({"Priority": -1, "DeliveryMode": 256, "Timestamp": 2**63}, {}),
    ({"Priority": True, "DeliveryMode": "2", "Timestamp": 1.5}, {}), ({"Timestamp": 1, "TimestampPresent": False}, {})])
def test_properties_that_no_message_can_have_are_left_out(written: dict[str, Any], properties: dict[str, HeaderValue]) -> None:
    assert to_message(recognise(_record("{}", BasicProperties=written))).properties == properties


def test_what_happened_is_read_out_of_the_wrapping() -> None:
    letter, without = recognise(_record("{}")), recognise(_record("{}", Queue=None))
    assert (letter.reason, letter.exception, letter.exception_message, letter.last_death) == ("exception", "System.Exception", "no", 1_795_428_000 * 10**9)
    assert letter.journey == (Hop("orders", time=letter.last_death),)
    assert [hop.where for hop in without.journey] == ["shop"]


@pytest.mark.parametrize("name", ["RoutingKey", "Exchange", "Exception", "Message", "BasicProperties"])
def test_json_that_lacks_a_part_of_the_wrapping_is_somebodys_own(name: str) -> None:
    whole = json.loads(_record("{}").message.body or b"")
    body = json.dumps({"also": '"BasicProperties"', **{part: value for part, value in whole.items() if part != name}}).encode()
    for written in (body, body + b",", b"[" + body + b"]"):
        record = Record("rabbitmq", {"queue": "dead"}, "", None, Message(body=written))
        assert recognise(record).dialect == "unknown"
    for value in (None, 5, []):
        if name in ("Message", "BasicProperties"):
            assert recognise(_record("{}", **{name: value})).dialect == "unknown"


@pytest.mark.parametrize(("written", "body", "doubts"), [
    ('{"id":1}', b'{"id":1}', 0), ("eyJpZCI6MX0=", b'{"id":1}', 0), ("1234", b"1234", 0), ("AP8=", b"\x00\xff", 1),
    ("ORDER123", b"9\x10\xc4G]\xb7", 1), ("no such order", b"no such order", 0), ("", b"", 0)])
def test_base64_is_unwrapped_where_the_text_is_no_json_itself_and_the_plan_says_where_it_may_have_been_text(
        written: str, body: bytes, doubts: int) -> None:
    letter = recognise(_record(written))
    assert to_message(letter).body == body
    assert len(letter.lost) == doubts
    assert all("--through 'base64 -w0'" in lost for lost in letter.lost)


def test_a_body_that_was_binary_is_said_to_be_lost() -> None:
    assert "not UTF-8" in recognise(_record("a\ufffdb")).lost[0]


def test_without_its_queue_the_exchange_is_only_a_guess() -> None:
    by_exchange, by_default = recognise(_record("{}", Queue=None)), recognise(_record("{}", Queue=None, Exchange="", RoutingKey="orders"))
    assert by_exchange.home is not None
    assert (str(by_exchange.home.address), by_exchange.home.confidence) == ("exchange:shop/order.created", Confidence.GUESS)
    assert str(by_default.home and by_default.home.address) == "queue:orders"
    assert to_message(by_exchange).route == "order.created"
