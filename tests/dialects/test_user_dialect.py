"""A dialect of one's own, from the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.dialects import parse_user_dialect, recognise, to_message
from brokercli.model.dead_letter import Confidence, Hop
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Header, Message, Record

ACME: dict[str, Any] = {"when": ["acme-origin"], "topic": "acme-origin", "partition": {"header": "acme-partition", "format": "int32"}, "attempts": "acme-tries",
                        "exception_message": "acme-error", "failed_at": {"header": "acme-at", "format": "milliseconds"}, "strip": ["acme-x-*"]}


def _record(*headers: Header) -> Record:
    return Record("kafka", {"topic": "acme.graveyard", "partition": 0, "offset": 1}, "0:1", None, Message(headers=headers, origin="kafka"))


def test_it_reads_what_it_says_and_strips_what_it_names() -> None:
    record = _record(("a", b"1"), ("acme-origin", b"orders"), ("acme-partition", b"\x00\x00\x00\x03"), ("acme-tries", b"4"), ("acme-error", b"no"),
                     ("acme-at", b"1795474000123"), ("acme-x-host", b"h"), ("acme-kept", b"k"))
    letter = recognise(record, extra=[parse_user_dialect("acme", ACME)])
    assert (letter.dialect, letter.attempts, letter.exception_message, letter.last_death) == ("acme", 4, "no", 1_795_474_000_123_000_000)
    assert str(letter.home and letter.home.address) == "topic:orders"
    assert letter.home is not None
    assert letter.home.place == {"partition": 3}
    assert to_message(letter).headers == (("a", b"1"), ("acme-kept", b"k"))


def test_it_comes_before_every_dialect_that_is_built_in() -> None:
    record = _record(("acme-origin", b"orders"), ("kafka_dlt-original-topic", b"elsewhere"))
    assert recognise(record).dialect == "spring kafka"
    letter = recognise(record, extra=[parse_user_dialect("acme", ACME)])
    assert str(letter.home and letter.home.address) == "topic:orders"


def test_a_record_without_its_headers_is_left_to_the_others() -> None:
    strict = parse_user_dialect("acme", {**ACME, "when": ["acme-origin", "acme-error"]})
    assert recognise(_record(("acme-origin", b"orders")), extra=[strict]).dialect == "unknown"


def test_first_or_last_of_repeated_headers_and_case_are_settings() -> None:
    record = _record(("Acme-Origin", b"first"), ("acme-origin", b"last"))
    for settings, home in (({}, "topic:last"), ({"ignore_case": True, "take": "first"}, "topic:first")):
        letter = recognise(record, extra=[parse_user_dialect("acme", {**ACME, **settings})])
        assert str(letter.home and letter.home.address) == home


QUEUES: dict[str, Any] = {
    "when": ["acme-exchange"], "exchange": "acme-exchange", "routing_key": "acme-key", "queue": "acme-queue", "reason": "acme-why", "exception": "acme-class",
    "stack_trace": "acme-trace", "consumer": "acme-worker", "group": "acme-group", "connector": "acme-sink", "original_time": "acme-sent"}


@pytest.mark.parametrize(("broker", "headers", "homes"), [
    ("rabbitmq", (("acme-exchange", b"shop"), ("acme-key", b"created")), [("exchange:shop/created", Confidence.GUESS)]),
    ("rabbitmq", (("acme-exchange", b""), ("acme-key", b"work")), [("queue:work", Confidence.CERTAIN)]),
    ("rabbitmq", (("acme-queue", b"work"), ("acme-exchange", b"shop")), [("queue:work", Confidence.CERTAIN), ("exchange:shop/", Confidence.GUESS)]),
    ("kafka", (("acme-exchange", b"shop"), ("acme-key", b"created")), [])])
def test_an_exchange_is_a_home_where_there_are_exchanges_and_its_queue_is_a_better_one(broker: str, headers: tuple[Header, ...],
                                                                                     homes: list[tuple[str, Confidence]]) -> None:
    record = Record(broker, {"queue": "dead"} if broker == "rabbitmq" else {"topic": "dead"}, "", None, Message(headers=headers))
    letter = recognise(record, extra=[parse_user_dialect("acme", QUEUES)])
    assert letter.dialect == "acme"
    assert [(str(home.address), home.confidence) for home in letter.homes] == homes
    assert [hop.where for hop in letter.journey] == [home.address.name for home in letter.homes[:1]]


def test_everything_that_it_names_is_read() -> None:
    record = Record("rabbitmq", {"queue": "dead"}, "", None, Message(headers=(
        ("acme-exchange", b"shop"), ("acme-key", b"created"), ("acme-why", b"late"), ("acme-class", b"E"), ("acme-trace", b"at x"), ("acme-worker", b"billing"),
        ("acme-group", b"g"), ("acme-sink", b"s"), ("acme-sent", b"2026-11-24T00:00:00Z"))))
    letter = recognise(record, extra=[parse_user_dialect("acme", QUEUES)])
    assert (letter.reason, letter.exception, letter.stack_trace, letter.consumer, letter.group, letter.connector, letter.original_time) == (
        "late", "E", "at x", "billing", "g", "s", 1_795_478_400 * 10**9)
    assert letter.homes[0].place == {"exchange": "shop", "routing_key": "created"}
    assert letter.journey == (Hop("shop", "late"),)


@pytest.mark.parametrize(("change", "problem"), [
    ({"topics": "x"}, "a setting 'topics'"), ({"when": []}, "names no header"), ({"when": None}, "list of header names"),
    ({"when": [3]}, "list of header names"), ({"strip": [""]}, "list of header names"), ({"partition": {"header": "p", "format": 4}}, "no format '4'"),
    ({"topic": ""}, "not the name"),
    ({"topic": 3}, "not the name"), ({"partition": {"header": "p", "format": "int16"}}, "no format 'int16'"), ({"strip": ["*"]}, "beginnings of names"),
    ({"strip": ["a*b"]}, "beginnings of names"), ({"take": "middle"}, '"first" or "last"'), ({"ignore_case": "yes"}, "true or false"),
    ({"attempts": {"header": "a", "unit": "s"}}, "header and format")])
def test_a_mistake_in_it_is_refused_with_the_name_of_the_setting(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageProblem, match=problem) as refused:
        parse_user_dialect("acme", {**ACME, **change})
    assert "dialects.acme" in str(refused.value)


def test_a_dialect_without_an_origin_is_refused() -> None:
    with pytest.raises(UsageProblem, match="which header holds the origin"):
        parse_user_dialect("acme", {"when": ["acme-error"], "reason": "acme-error"})
