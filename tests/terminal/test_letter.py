"""One dead letter, whole, on paper."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from brokercli.dialects import recognise
from brokercli.dialects.restore import attach_original
from brokercli.model.message import Message, Record, Typed
from brokercli.terminal.letter import print_letter
from tests.terminal.conftest import Captured


def test_headers_of_amqp_types_are_shown_as_the_envelope_writes_them(capture: Callable[..., Captured]) -> None:
    headers = (("CC", Typed("array", (b"a", Typed("int32", 5)))), ("at", Typed("timestamp", 1_700_000_000)), ("text", b"plain"), ("none", None))
    captured = capture()
    print_letter(captured.streams, recognise(Record("rabbitmq", {"queue": "dlq"}, "", None, Message(b"", headers=headers))), "pending", "json")
    (section,) = [section for section in orjson.loads(captured.out)["sections"] if section["title"] == "headers"]
    found = {row["name"]: row["value"] for row in section["rows"]}
    assert found == {"CC": '{"array": ["a", {"int32": 5}]}', "at": '{"timestamp": 1700000000}', "text": "plain", "none": "null"}


def test_properties_are_shown_and_json_shortens_nothing(capture: Callable[..., Captured]) -> None:
    message = Message(b"", headers=(("long", b"x" * 1000),), properties={"message_id": b"m-7", "priority": Typed("uint8", 3)})
    letter = recognise(Record("rabbitmq", {"queue": "dlq"}, "", None, message))
    whole, read = capture(), capture()
    print_letter(whole.streams, letter, "pending", "json")
    sections = {section["title"]: {row["name"]: row["value"] for row in section["rows"]} for section in orjson.loads(whole.out)["sections"]}
    assert sections == {"properties": {"message_id": "m-7", "priority": '{"uint8": 3}'}, "headers": {"long": "x" * 1000}}
    print_letter(read.streams, letter, "pending")
    assert b"message_id  m-7" in read.out
    assert b"(1,000 characters)" in read.out


def test_the_headers_of_the_message_that_a_letter_points_at_are_shown(capture: Callable[..., Captured]) -> None:
    advisory = (b'{"type":"io.nats.jetstream.advisory.v1.max_deliver","timestamp":"2026-11-23T10:00:00Z","stream":"ORDERS","consumer":"worker","stream_seq":7,'
                b'"deliveries":3}')
    subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.worker"
    letter = recognise(Record("nats", {"subject": subject, "stream": "DLQ", "sequence": 1}, "1", None, Message(advisory, headers=(("of", b"the record"),))))
    original = Record("nats", {"subject": "orders.a", "stream": "ORDERS", "sequence": 7}, "7", 1, Message(b"hi", headers=(("trace", b"x"),), origin="nats"))
    captured = capture()
    print_letter(captured.streams, attach_original(letter, original), "pending", "json")
    sections = {section["title"]: section["rows"] for section in orjson.loads(captured.out)["sections"]}
    assert (sections["headers"], sections["headers of the message"]) == ([{"name": "of", "value": "the record"}], [{"name": "trace", "value": "x"}])
