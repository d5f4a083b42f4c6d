"""Which letters pass a filter, what they are called, and how a list of names is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brokercli.dialects import recognise
from brokercli.model.address import Address
from brokercli.model.dead_letter import Confidence, DeadLetter, Home
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message, Record
from brokercli.operations.letters import LetterFilter, identity, read_ids

DAY = 86_400_000_000_000


def letter(position: str = "0:1", time: int | None = 5 * DAY, **headers: str) -> DeadLetter:
    written = {"x-original-topic": "orders.created", "x-attempts": "3", "x-dlq-reason": "timeout"}
    written |= {name.replace("_", "-"): value for name, value in headers.items()}
    record = Record("kafka", {"topic": "orders.dlq", "partition": 0, "offset": 1}, position, time,
                    Message(body=b"{}", headers=tuple((name, value.encode()) for name, value in written.items() if value)))
    return recognise(record)


@pytest.mark.parametrize(("pattern", "passes"), [("timeout", True), ("TIME*", True), ("t", False), ("*out", True), ("com.acme.Late", True), ("late", True),
                                                 ("acme", False), ("?imeout", True), ("", False)])
def test_a_reason_is_the_reason_or_the_exceptions_class_or_its_last_part(pattern: str, passes: bool) -> None:
    assert LetterFilter(reason=pattern).passes(letter(x_exception_class="com.acme.Late")) is passes


def test_a_letter_without_a_reason_is_found_by_what_is_shown_in_its_place() -> None:
    # dlq inspect has the dialect in that column then, and what stands there is what one types
    silent = letter(x_attempts="", x_dlq_reason="", x_error="Timeout: db")
    assert (silent.reason, silent.dialect) == ("", "generic")
    assert LetterFilter(reason="generic").passes(silent)
    assert not LetterFilter(reason=letter().dialect).passes(letter())


@pytest.mark.parametrize(("pattern", "passes"), [("orders.created", True), ("orders.*", True), ("ORDERS.CREATED", True), ("created", False)])
def test_an_origin_is_the_whole_name_of_the_best_home(pattern: str, passes: bool) -> None:
    assert LetterFilter(origin=pattern).passes(letter()) is passes
    assert LetterFilter(origin=pattern).passes(letter(x_original_topic="a\tb")) is False


@pytest.mark.parametrize(("pattern", "passes"), [("topic:orders.created", True), ("Topic:orders.*", True), ("topic:*", True), ("topic:created", False),
                                                 ("queue:orders.created", False), ("topic*", False), ("top?c:orders.created", False)])
def test_an_origin_is_also_its_address_which_inspect_shows(pattern: str, passes: bool) -> None:
    # and not a part of that: who writes topic* means names that begin so
    assert LetterFilter(origin=pattern).passes(letter()) is passes


def test_an_origin_that_is_an_exchange_is_found_by_what_is_shown_and_without_its_routing_key() -> None:
    at = replace(letter(), homes=(Home(Address("shop/eu", "exchange", "created"), Confidence.LIKELY, "a header"),))
    assert str(at.home and at.home.address) == "exchange:shop%2Feu/created"
    for pattern in ("shop/eu", "exchange:shop%2Feu/created", "exchange:shop/eu", "exchange:shop*"):
        assert LetterFilter(origin=pattern).passes(at), pattern
    assert not LetterFilter(origin="exchange:shop%2Feu/paid").passes(at)
    assert not LetterFilter(origin="*").passes(replace(at, homes=()))


def test_brackets_in_a_pattern_are_those_of_the_name() -> None:
    # RabbitMQ's queues are called so, and what is chosen may be dropped
    assert not LetterFilter(origin="orders[1]").passes(letter(x_original_topic="orders1"))
    assert LetterFilter(reason="KeyError[*]").passes(letter(x_exception_class="KeyError[id]"))


def test_times_are_those_of_the_death_from_and_before() -> None:
    died = letter(x_failed_at="1970-01-04T00:00:00Z")
    assert LetterFilter(since=3 * DAY).passes(died)
    assert not LetterFilter(since=3 * DAY + 1).passes(died)
    assert LetterFilter(until=3 * DAY + 1).passes(died)
    assert not LetterFilter(until=3 * DAY).passes(died)
    assert LetterFilter(since=5 * DAY).passes(letter())  # nobody wrote when: the record's own time
    assert not LetterFilter(since=0).passes(letter(time=None))
    assert not LetterFilter(until=9 * DAY).passes(letter(time=None))


def test_letters_that_a_time_leaves_out_because_they_have_none_are_counted_and_said_once() -> None:
    both, since = LetterFilter(since=0, until=9 * DAY), LetterFilter(since=0, reason="timeout")
    for undated in (letter(time=None), letter(time=None), letter(), letter(time=None, x_dlq_reason="other")):
        both.passes(undated)
        since.passes(undated)
    assert both.take_notes() == ["--since and --until: 3 letters do not say when they died, and count as not matching"]
    assert since.take_notes() == ["--since: 2 letters do not say when they died, and count as not matching"]
    assert since.take_notes() == []
    since.passes(letter(time=None))
    assert since.take_notes() == ["--since: 1 letter does not say when it died, and counts as not matching"]


def test_a_letter_is_named_by_its_position_or_else_its_message_id() -> None:
    assert identity(letter("0:7")) == "0:7"
    unnumbered = Record("rabbitmq", {"queue": "dlq"}, "", None, Message(body=b"", properties={"message_id": b"m-1"}))
    assert identity(recognise(unnumbered)) == "m-1"
    assert LetterFilter(ids=frozenset({"m-1"})).passes(recognise(unnumbered))
    assert not LetterFilter(ids=frozenset({""})).passes(letter())


def test_a_list_of_names_is_one_a_line_and_holds_some() -> None:
    assert read_ids(b"0:1\r\n\n 3:1200 \n", "--ids -") == frozenset({"0:1", "3:1200"})
    for content in (b"", b"\n\n", b"\xff\xfe"):
        with pytest.raises(UsageProblem, match="--ids -"):
            read_ids(content, "--ids -")
