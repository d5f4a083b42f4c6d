"""A message that died in any framework goes back as its producer sent it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.dialects import attach_original, recognise, stamp, to_message
from brokercli.model.message import Message, Record
from tests.dialects.frameworks import FRAMEWORKS, Framework
from tests.dialects.originals import originals


def _broker_of(framework: Framework) -> str:
    return framework.write(Message(body=b"{}")).broker


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=repr)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_goes_back_is_what_was_sent(framework: Framework, data: st.DataObject) -> None:
    original = data.draw(originals(_broker_of(framework), framework.only))
    letter = recognise(framework.write(original))
    if not letter.complete:
        attach_original(letter, Record("kafka", {"topic": "orders", "partition": 3, "offset": 7}, "3:7", None, original))
    message = to_message(letter)
    assert (message.body, message.key, message.headers) == (original.body, original.key, original.headers)


@pytest.mark.parametrize("framework", [each for each in FRAMEWORKS if each.dialect in ("tiered retries", "jetstream convention", "generic")], ids=repr)
def test_names_that_may_as_well_be_the_applications_own_go_back_with_the_message(framework: Framework) -> None:
    own = tuple((name, b"own") for name in ("X-Reason", "x_reason", "x-consumer", "X-Group-Id", "x-attempt", "X-Retries"))
    own += () if framework.dialect == "jetstream convention" else (("x-error", b"own"),)
    assert to_message(recognise(framework.write(Message(body=b"{}", headers=own)))).headers == own


def test_the_same_names_behind_one_that_says_dead_letter_are_read_before_the_applications_own_and_do_not_go_back() -> None:
    written = tuple((f"{prefix}{name}", b"written") for prefix in ("x-dlq-", "DLQ-", "dead_letter_") for name in ("reason", "error", "consumer", "retries"))
    letter = recognise(Record("kafka", {"topic": "dead"}, "", None, Message(body=b"{}", headers=(
        ("x-original-topic", b"orders"), ("x-reason", b"refund"), ("x-error", b"E7"), *written))))
    assert (letter.reason, letter.exception_message, letter.consumer) == ("written", "written", "written")
    assert to_message(letter).headers == (("x-reason", b"refund"), ("x-error", b"E7"))


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=repr)
def test_the_documented_format_is_recognised(framework: Framework) -> None:
    letter = recognise(framework.write(Message(body=b'{"id":1}', headers=(("app-trace", b"abcd"),) if framework.only != "bare" else ())))
    assert letter.dialect == framework.dialect
    assert letter.home is not None
    assert str(letter.home.address) == framework.home
    assert letter.attempts == framework.attempts
    assert letter.remarks == () or framework.write.__name__ in ("uber", "karafka_before_2_5", "easynetq_base64", "easynetq_typed")


@pytest.mark.parametrize("framework", [framework for framework in FRAMEWORKS if framework.only != "bare"], ids=repr)
def test_headers_do_not_grow_however_often_a_letter_dies_and_is_put_back(framework: Framework) -> None:
    message = Message(body=b'{"id":1}')
    sizes = []
    for number in range(1, 4):
        letter = recognise(framework.write(message))
        assert letter.redrives == number - 1
        message = stamp(to_message(letter), letter, 10**18)
        sizes.append(len(message.headers))
    assert sizes == [3, 3, 3]
