"""One dead letter, whole, on paper."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from brokercli.dialects import recognise
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
