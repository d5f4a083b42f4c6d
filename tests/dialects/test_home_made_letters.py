"""Headers that people write themselves, as they are found in services: whatever they put between the words, and however they count."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.kafka.dead_letter_names import by_headers
from brokercli.backends.nats.dead_letter_names import look_like_letters
from brokercli.dialects import recognise, to_message
from brokercli.dialects.generic import FIELDS, NAMES
from brokercli.dialects.reading import KIND_OF
from brokercli.model.message import Message, Record

OWN = (("tenant", b"acme"), ("original", b"true"), ("source-service", b"shop"))
TIME = 1_795_474_000_000_000_000

# broker, what is written, and what the letter says
CONVENTIONS: dict[str, tuple[str, dict[str, bytes], dict[str, Any]]] = {
    "dots": ("kafka", {"dlq.original.topic": b"orders", "dlq.original.partition": b"3", "dlq.original.offset": b"7", "dlq.error.class": b"a.E",
                       "dlq.error.message": b"no", "dlq.failed.at": b"2026-11-23T22:46:40Z", "dlq.consumer.group": b"billing", "dlq.attempts": b"3"},
             {"exception": "a.E", "exception_message": "no", "attempts": 3, "group": "billing", "last_death": TIME}),
    "dots and a reason": ("kafka", {"dlq.reason": b"poison", "dlq.original.topic": b"orders", "dlq.timestamp": b"1795474000000", "dlq.error.name": b"E",
                                    "dlq.error.stack": b"E: no", "dlq.retry.attempt": b"2"},
                          {"reason": "poison", "exception": "E", "stack_trace": "E: no", "last_death": TIME, "attempts": 2}),
    "dots alone": ("kafka", {"original.topic": b"orders", "original.partition": b"3", "original.offset": b"7"}, {}),
    "dots behind x": ("kafka", {"x.original.topic": b"orders", "x.retry.count": b"3", "x.exception.message": b"no"},
                      {"attempts": 3, "exception_message": "no"}),
    "words together": ("kafka", {"OriginalTopic": b"orders", "originalPartition": b"3"}, {}),
    "words together behind x-": ("rabbitmq", {"X-OriginalQueue": b"orders", "X-ErrorMessage": b"no", "X-RetryCount": b"3"},
                                 {"exception_message": "no", "attempts": 3}),
    "words together behind dlq": ("kafka", {"dlqOriginalTopic": b"orders", "dlqReason": b"poison", "dlqRetryCount": b"3"}, {"reason": "poison", "attempts": 3}),
    "silverback": ("kafka", {"x-source-topic": b"orders", "x-source-partition": b"3", "x-source-offset": b"7", "x-source-timestamp": b"1795474000000",
                             "x-source-consumer-group-id": b"billing", "x-failure-reason": b"no stock", "x-failed-attempts": b"3"},
                   {"reason": "no stock", "attempts": 3, "group": "billing", "original_time": TIME}),
    "counted attempts": ("kafka", {"x-dlq-original-topic": b"orders", "x-dlq-failed-at": b"2026-11-23T22:46:40Z", "x-dlq-error-message": b"no",
                                   "x-dlq-error-stack": b"E: no", "x-dlq-attempt-count": b"3"}, {"attempts": 3, "last_death": TIME, "stack_trace": "E: no"}),
    "a time of the queue": ("kafka", {"x-original-topic": b"orders", "x-error-name": b"Poison", "x-error-message": b"no", "x-dlq-at": b"2026-11-23T22:46:40Z"},
                            {"exception": "Poison", "last_death": TIME}),
    "rabbitmq's last error": ("rabbitmq", {"x-original-queue": b"orders", "x-original-routing-key": b"order.new", "x-first-failure-time": b"1795473000000",
                                           "x-dlq-time": b"1795474000000", "x-last-error": b"no", "x-retry-count": b"3"},
                              {"exception_message": "no", "attempts": 3, "last_death": TIME}),
    "rabbitmq's consumer": ("rabbitmq", {"x-original-queue": b"orders", "x-failed-at-utc": b"2026-11-23T22:46:40.0000000Z", "x-failed-consumer": b"stock",
                                         "x-final-retry-count": b"3"}, {"consumer": "stock", "last_death": TIME, "attempts": 3}),
    "jetstream's deliveries": ("nats", {"X-Original-Subject": b"orders", "X-Original-Stream": b"ORDERS", "X-Failure-Reason": b"no", "X-Delivered-Count": b"3"},
                               {"reason": "no", "attempts": 3}),
    "jetstream's worker": ("nats", {"X-Failure-Reason": b"no", "X-Failure-Worker": b"w-1", "X-Delivery-Count": b"3", "X-Original-Subject": b"orders"},
                           {"consumer": "w-1", "attempts": 3}),
    "jetstream's queue": ("nats", {"X-DLQ-Original-Subject": b"orders", "X-DLQ-Failure-Reason": b"no", "X-DLQ-Delivery-Count": b"3"},
                          {"reason": "no", "attempts": 3}),
}


def _record(name: str) -> Record:
    broker, written, _ = CONVENTIONS[name]
    return Record(broker, {KIND_OF[broker]: "dead"}, "", None, Message(b"{}", headers=(*OWN, *written.items()), origin=broker))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_letter_says_where_it_came_from_and_why_and_goes_back_without_what_was_written_of_its_death(name: str) -> None:
    broker, _, said = CONVENTIONS[name]
    letter = recognise(_record(name))
    assert letter.home is not None
    assert str(letter.home.address) == f"{KIND_OF[broker]}:orders"
    assert {fact: getattr(letter, fact) for fact in said} == said
    assert to_message(letter).headers == OWN


@pytest.mark.parametrize("name", CONVENTIONS)
def test_where_such_letters_lie_is_told_by_their_headers(name: str) -> None:
    broker, written, _ = CONVENTIONS[name]
    if broker == "kafka" and name not in ("dots alone", "words together"):  # names that an application, or a mirror, may have as well
        assert by_headers([list(written)]) is not None
    if broker == "nats":
        assert look_like_letters([list(written)])


@pytest.mark.parametrize("header", ["x-timestamp", "x-at", "x-time", "topic", "queue", "error-code", "original", "timestamp", "reason", "attempts"])
def test_names_that_anybody_may_use_are_not_taken_off(header: str) -> None:
    assert header not in NAMES


def test_what_is_read_and_may_be_the_applications_own_stays() -> None:
    headers = (("x-error-code", b"422"), ("x.reason", b"refund"), ("x-deliveries", b"2"), ("x.attempt", b"1"))
    letter = recognise(Record("kafka", {"topic": "dead"}, "", None, Message(b"{}", headers=(*headers, ("dlq.original.topic", b"orders")), origin="kafka")))
    assert (letter.reason, letter.attempts) == ("refund", 1)
    assert to_message(letter).headers == headers


def test_no_name_means_two_things() -> None:
    meanings: dict[str, str] = {}
    for meaning, names in FIELDS.items():
        for name in names:
            assert meanings.setdefault(name, meaning) == meaning, name
