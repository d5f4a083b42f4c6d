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
