"""SmallRye's letters: the latest death comes first, and through retry topics the way home leads back to the first."""

from __future__ import annotations

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.dead_letter import Confidence
from brokercli.model.message import Message, Record
from tests.dialects.frameworks import smallrye, smallrye_retries
from tests.dialects.real_letters import read_letter


def test_the_cause_is_the_failure_and_not_what_it_was_wrapped_in() -> None:
    letter = recognise(smallrye(Message(body=b"{}")))
    assert (letter.reason, letter.exception, letter.exception_message) == ("exception", "w.Cause", "no")
    assert letter.home is not None
    assert letter.home.place == {"partition": 3, "offset": 7}


def test_of_two_deaths_the_later_one_is_told_and_home_is_no_other_destination_of_letters() -> None:
    first = smallrye(Message(body=b"{}", headers=(("tenant", b"shop"),)))
    again = Record("kafka", {"topic": "dead-again", "partition": 0, "offset": 1}, "0:1", None, Message(body=b"{}", headers=(
        ("dead-letter-exception-class-name", b"w.Second"), ("dead-letter-reason", b"still no"), ("dead-letter-topic", b"dead-letter-topic-orders"),
        ("dead-letter-partition", b"0"), ("dead-letter-offset", b"5"), *first.message.headers)))
    letter = recognise(again)
    assert letter.home is not None
    assert (str(letter.home.address), letter.home.place) == ("topic:orders", {"partition": 3, "offset": 7})
    assert (letter.exception, letter.exception_message) == ("w.Second", "still no")  # and not the cause, which only the first death had
    assert [hop.where for hop in letter.journey] == ["orders", "dead-letter-topic-orders"]
    assert to_message(letter).headers == (("tenant", b"shop"),)


@pytest.mark.parametrize(("name", "homes"), [
    ("smallrye_kafka_two_deaths", [("topic:dialects-orders", Confidence.LIKELY), ("topic:dialects-dead-letter-topic-orders", Confidence.GUESS)]),
    ("smallrye_kafka_dead_then_retried", [("topic:dialects-orders", Confidence.CERTAIN)]),
    ("smallrye_kafka_retried_then_dead", [("topic:dialects-retried", Confidence.CERTAIN)]),
    ("smallrye_kafka_delayed_retries", [("topic:dialects-retried", Confidence.CERTAIN)])])
def test_a_topic_that_a_message_only_waited_in_is_none_it_may_have_come_from(name: str, homes: list[tuple[str, Confidence]]) -> None:
    assert [(str(home.address), home.confidence) for home in recognise(read_letter(name)).homes] == homes


def test_what_was_retried_knows_when_it_was_first_sent_and_how_often_it_was_tried() -> None:
    letter = recognise(smallrye_retries(Message(body=b"{}")))
    assert letter.original_time == 1_795_474_000_123_000_000
    assert [hop.where for hop in letter.journey] == ["orders", "orders_retry_10000"]


def test_a_topic_alone_makes_no_letter_of_a_record() -> None:
    assert recognise(Record("kafka", {"topic": "orders"}, "", None, Message(body=b"{}", headers=(("dead-letter-topic", b"orders.dlq"),)))).dialect == "unknown"


@pytest.mark.parametrize("written", [
    ("dead-letter-topic", "dead-letter-partition", "dead-letter-partition", "dead-letter-offset"),
    ("dead-letter-topic", "dead-letter-partition", "dead-letter-exception-class-name", "dead-letter-offset"),
    ("dead-letter-topic", "delayed-retry-partition", "delayed-retry-offset"), ("dead-letter-topic", "dead-letter-offset"),
    ("dead-letter-partition", "dead-letter-offset", "delayed-retry-topic")], ids="-".join)
def test_no_home_is_put_together_out_of_parts_of_several_deaths(written: tuple[str, ...]) -> None:
    letter = recognise(Record("kafka", {"topic": "dead", "partition": 0, "offset": 1}, "0:1", None, Message(
        body=b"{}", headers=tuple((name, b"7") for name in written))))
    assert (letter.dialect, letter.homes) == ("unknown", ())


@pytest.mark.parametrize(("topics", "homes"), [
    ((b"orders", b"orders"), [("topic:orders", Confidence.CERTAIN)]),
    ((b"returns", b"orders"), [("topic:orders", Confidence.LIKELY), ("topic:returns", Confidence.GUESS)])])
def test_a_message_that_died_twice_in_one_topic_came_from_nowhere_else(topics: tuple[bytes, ...], homes: list[tuple[str, Confidence]]) -> None:
    headers = tuple(header for topic in topics for header in (
        ("dead-letter-topic", topic), ("dead-letter-partition", b"3"), ("dead-letter-offset", b"7")))
    letter = recognise(Record("kafka", {"topic": "dead", "partition": 0, "offset": 1}, "0:1", None, Message(body=b"{}", headers=headers)))
    assert [(str(home.address), home.confidence) for home in letter.homes] == homes
