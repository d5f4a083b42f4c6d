"""Sneakers and Kicks for Ruby: what their Maxretry handler writes down is read, and what it left off the message is put back on."""

from __future__ import annotations

import json
from base64 import encodebytes
from dataclasses import replace
from typing import Any

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.message import Message, Record, Typed
from tests.dialects.real_letters import read_letter

INFO = {"error": "reject", "num_attempts": 1, "failed_at": "2026-11-28T21:54:03+00:00"}


def _record(info: object, queue: str = "ship-error", body: bytes = b"{}") -> Record:
    headers = (("retry_info", json.dumps(info).encode()),) if info is not None else ()
    message = Message(body, headers=headers, properties={"content_type": b"application/octet-stream"}, origin="rabbitmq")
    return Record("rabbitmq", {"queue": queue}, "", None, message)


def test_what_the_handler_did_not_publish_again_comes_out_of_what_it_wrote_down() -> None:
    letter = recognise(read_letter("sneakers_retry_info"))
    message = to_message(letter)
    assert message.body == b'{"id":7}'
    assert dict(message.headers) == {"tenant": b"acme", "n": 5, "nested": Typed("table", (("a", Typed("array", (1, b"two"))),))}
    assert message.properties == {"content_type": b"application/json", "delivery_mode": 2, "priority": 3, "message_id": b"m-7", "app_id": b"shop",
                                  "timestamp": Typed("timestamp", 1_795_902_842)}
    assert "JSON keeps numbers without their width" in " ".join(letter.lost)


def test_a_wrapped_body_is_unwrapped_and_what_cannot_be_had_from_it_is_said() -> None:
    for name in ("sneakers_wrapped", "sneakers_wrapped_without_properties"):
        letter = recognise(read_letter(name))
        message = to_message(letter)
        assert (message.body, message.headers, message.properties) == (b'{"id":7}', (), {})
        assert "headers and properties" in " ".join(letter.lost)


def test_with_rails_the_properties_are_pairs_and_come_back() -> None:
    properties = json.dumps([["content_type", "application/json"], ["headers", {"tenant": "acme"}], ["delivery_mode", 2]]).encode()
    wrapped = {**INFO, "payload": encodebytes(b"{}").decode(), "properties": encodebytes(properties).decode()}
    message = to_message(recognise(_record(None, body=json.dumps(wrapped).encode())))
    assert (message.body, message.headers, message.properties) == (b"{}", (("tenant", b"acme"),), {"content_type": b"application/json", "delivery_mode": 2})


@pytest.mark.parametrize(("rejected", "queue", "home", "confidence"), [
    (["ship"], "ship-error", "queue:ship", "CERTAIN"), (["ship"], "failed", "queue:ship", "LIKELY"), ([], "ship-error", "queue:ship", "LIKELY"),
    (["earlier"], "ship-error", "queue:ship", "LIKELY"), ([], "failed", None, None)])
def test_home_is_where_it_was_rejected_and_what_the_error_queue_is_called_after(
        rejected: list[str], queue: str, home: str | None, confidence: str | None) -> None:
    deaths = [{"queue": f"{name}-retry", "reason": "expired"} for name in rejected] + [{"queue": name, "reason": "rejected"} for name in rejected]
    found = recognise(_record({**INFO, "properties": {"headers": {"x-death": deaths}}}, queue)).home
    assert (str(found.address) if found else None, found.confidence.name if found else None) == (home, confidence)


def test_of_several_times_it_was_given_up_the_latest_counts() -> None:
    letter = recognise(_record([{**INFO, "num_attempts": 3, "error_class": "KeyError", "error_message": "no key", "backtrace": ["a.rb:1", "b.rb:2"]}, INFO]))
    assert (letter.attempts, letter.exception, letter.exception_message, letter.stack_trace) == (3, "KeyError", "no key", "a.rb:1\nb.rb:2")
    assert letter.last_death == 1_795_902_843_000_000_000


@pytest.mark.parametrize("info", [7, "text", [], [7], {"error": "reject"}, {**INFO, "properties": 7}, {**INFO, "properties": {"headers": {"x-death": [7, {}]}}},
                                  {**INFO, "num_attempts": 10**30}, {**INFO, "properties": {"headers": 7, "delivery_mode": 300, "timestamp": "yesterday"}}])
def test_what_is_not_as_it_should_be_loses_nothing(info: object) -> None:
    record = _record(info)
    message = to_message(recognise(record))
    assert message.body == b"{}"
    assert message.properties in ({}, record.message.properties)


def test_a_body_that_only_looks_like_it_is_no_letter() -> None:
    def of(body: Any) -> str:
        return recognise(_record(None, body=json.dumps(body).encode())).dialect
    assert of({**INFO, "payload": "no base64!"}) == of({**INFO, "payload": 7}) == of({"num_attempts": 1, "payload": "e30="}) == of([INFO]) == "unknown"
    assert recognise(replace(_record(INFO), broker="kafka")).dialect == "unknown"
