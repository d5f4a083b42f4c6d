"""What a record looks like on a terminal, in a pipe, as JSON and as exact bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message, Record
from brokercli.terminal.records import Entry, RecordWriter

NOW = 1_795_428_000_000_000_000  # 2026-11-23T10:00Z
DAY = 86_400_000_000_000


def printed(captured: Any, batch: Any, *arguments: Any) -> bytes:
    RecordWriter(captured.streams, *arguments).write(batch)
    result: bytes = captured.out
    return result


def test_in_a_pipe_bodies_are_written_one_a_line_untouched(capture: Callable[..., Any], batch: Callable[..., Any], kafka_record: Callable[..., Record]) -> None:
    records = batch(kafka_record(b"\x1b[31m\xff"), kafka_record(None), kafka_record(b""), kafka_record(b"last"))
    assert printed(capture(), records) == b"\x1b[31m\xff\n\n\nlast\n"
    assert printed(capture(), records, "bodies") == b"\x1b[31m\xff\n\n\nlast\n"


def test_raw_adds_nothing_to_the_bytes(capture: Callable[..., Any], batch: Callable[..., Any], kafka_record: Callable[..., Record]) -> None:
    assert printed(capture(), batch(kafka_record(b"a\x00"), kafka_record(b"\xffb")), "raw") == b"a\x00\xffb"


def test_raw_is_refused_on_a_terminal(capture: Callable[..., Any]) -> None:
    with pytest.raises(UsageProblem, match="does not print to one"):
        RecordWriter(capture(stdout_is_terminal=True).streams, "raw")


def test_json_is_the_envelope_one_a_line(capture: Callable[..., Any], batch: Callable[..., Any], kafka_record: Callable[..., Record]) -> None:
    records = batch(kafka_record("a\u202eb".encode()), kafka_record(None))
    assert printed(capture(), records, "json") == b"\n".join(records.envelopes()) + b"\n"


def test_json_on_a_terminal_is_the_same_json_with_what_steers_it_escaped(
    capture: Callable[..., Any], batch: Callable[..., Any], kafka_record: Callable[..., Record]
) -> None:
    records = batch(kafka_record("a\u202e\x9b\x7f".encode()))
    line = printed(capture(stdout_is_terminal=True), records, "json")
    assert rb"a\u202e\u009b\u007f" in line
    assert orjson.loads(line) == orjson.loads(records.envelopes()[0])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("yaml",), "no form of output"),
        (("json", "%v"), "exclude each other"),
        (("auto", "%q"), "no verb"),
    ],
)
def test_what_cannot_be_printed_is_refused_before_anything_is_read(capture: Callable[..., Any], arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageProblem, match=reason):
        RecordWriter(capture().streams, *arguments)


def test_on_a_terminal_an_entry_says_time_place_and_key_before_the_body(kafka_record: Callable[..., Record]) -> None:
    record = kafka_record(b'{"id":1}', key=b"c-7", time=NOW + 123_000_000)
    assert Entry(colour=False, now=NOW).render(record) == '10:00:00.123Z  3:1200  c-7  {"id":1}\n'
    assert Entry(colour=True, now=NOW).render(record) == '\x1b[2m10:00:00.123Z  3:1200\x1b[0m  \x1b[36mc-7\x1b[0m  {"id":1}\n'


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (NOW, "10:00:00.000Z"),
        (NOW - 3 * DAY, "11-20 10:00:00Z"),
        (NOW - 400 * DAY, "2025-10-19 10:00Z"),
        (NOW + 400 * DAY, "2027-12-28 10:00Z"),
        (2**63 - 1, "2262-04-11 23:47Z"),
    ],
)
def test_a_time_is_as_long_as_it_has_to_be(kafka_record: Callable[..., Record], time: int, shown: str) -> None:
    assert Entry(colour=False, now=NOW).render(kafka_record(time=time)) == f"{shown}  3:1200  hello\n"


def test_null_and_empty_look_different(kafka_record: Callable[..., Record]) -> None:
    entry = Entry(colour=False, now=NOW)
    assert [entry.render(kafka_record(body, key=key, time=None)) for body, key in ((None, None), (b"", b""))] == [
        "3:1200  (null)\n",
        "3:1200  (empty)  (empty)\n",
    ]


def test_a_body_cannot_pretend_to_be_another_entry(kafka_record: Callable[..., Record]) -> None:
    shown = Entry(colour=False, now=NOW).render(kafka_record(b"one\n10:00:00.123Z  3:1201  forged\r\x1b[2Kgone\n", time=None))
    assert shown == "3:1200  one\n    10:00:00.123Z  3:1201  forged\\r\\x1b[2Kgone\\n\n"


def test_the_words_of_each_broker_are_its_own() -> None:
    entry = Entry(colour=False, now=NOW)
    nats = Record("nats", {"subject": "orders.eu", "stream": "ORDERS", "sequence": 87}, "87", None, Message(b"x"))
    rabbitmq = Record("rabbitmq", {"exchange": "orders", "routing_key": "a.b", "queue": "q", "redelivered": True}, "", None, Message(b"x"))
    default = Record("rabbitmq", {"exchange": "", "routing_key": "q"}, "", None, Message(b"x"))
    assert [entry.render(record) for record in (nats, rabbitmq, default)] == ["87  orders.eu  x\n", "orders/a.b  redelivered  x\n", "q  x\n"]


def test_names_and_keys_are_escaped_too() -> None:
    record = Record("nats", {"subject": "a\x1b[31m\udcff"}, "1", None, Message(b"[red]x[/red]", b"\x9b"))
    assert Entry(colour=False, now=NOW).render(record) == "1  a\\x1b[31m\\xff  \\x9b  [red]x[/red]\n"
