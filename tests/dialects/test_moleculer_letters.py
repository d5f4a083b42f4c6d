"""Moleculer's channels name a channel and a group, whatever the broker: where that is, why it died, and what its adapters leave behind."""

from __future__ import annotations

from base64 import b64encode

import pytest

from brokercli.backends.kafka.dead_letter_names import by_headers
from brokercli.backends.kafka.dead_letter_names import by_name as topic_by_name
from brokercli.backends.rabbitmq.dead_letter_names import by_name as queue_by_name
from brokercli.dialects import recognise, to_message
from brokercli.dialects.reading import KIND_OF
from brokercli.model.message import Header, Message, Record

OWN = (("$requestID", b"r-1"), ("tenant", b"acme"))
WRITTEN = (("x-original-channel", b"orders"), ("x-original-group", b"billing"))
FAILED = (("x-error-message", b"no stock"), ("x-error-code", b"422"), ("x-error-type", b"NO_STOCK"), ("x-error-name", b"MoleculerError"),
          ("x-error-retryable", b"false"), ("x-error-stack", b64encode(b"MoleculerError: no stock\n    at handler (orders.js:7:9)")),
          ("x-error-data", b64encode(b'{"item":7}')), ("x-error-timestamp", b"1795474000123"))


def _record(broker: str, headers: tuple[Header, ...]) -> Record:
    return Record(broker, {KIND_OF[broker]: "FAILED_MESSAGES"}, "", None, Message(b"{}", headers=headers, origin=broker))


@pytest.mark.parametrize(("broker", "home"), [("kafka", "topic:orders"), ("nats", "subject:orders"), ("rabbitmq", "queue:billing.orders")])
def test_the_error_of_later_versions_is_read_and_what_was_written_of_the_death_does_not_go_back(broker: str, home: str) -> None:
    letter = recognise(_record(broker, (*OWN, ("x-redelivered-count", b"2"), *WRITTEN, *FAILED)))
    assert (letter.dialect, str(letter.home.address) if letter.home else None) == ("moleculer", home)
    assert (letter.exception, letter.exception_message, letter.attempts, letter.group) == ("MoleculerError", "no stock", 3, "billing")
    assert letter.stack_trace == "MoleculerError: no stock\n    at handler (orders.js:7:9)"
    assert letter.last_death == 1_795_474_000_123_000_000
    assert to_message(letter).headers == OWN


def test_without_a_group_every_queue_of_the_channel_would_get_it_and_that_is_a_guess() -> None:
    letter = recognise(_record("rabbitmq", WRITTEN[:1]))
    assert letter.home is not None
    assert (str(letter.home.address), letter.home.confidence.name) == ("exchange:orders", "GUESS")


@pytest.mark.parametrize(("broker", "lost"), [("kafka", ()), ("nats", ("headers",)), ("rabbitmq", ("headers", "properties"))])
def test_what_its_adapters_leave_behind_is_said(broker: str, lost: tuple[str, ...]) -> None:
    said = " ".join(recognise(_record(broker, WRITTEN)).lost)
    assert [word for word in ("headers", "properties") if word in said] == list(lost)


def test_a_stack_that_is_not_in_base64_is_shown_as_it_is() -> None:
    assert recognise(_record("nats", (*WRITTEN, ("x-error-stack", b"Error: no\n at x")))).stack_trace == "Error: no\n at x"


def test_its_own_name_for_them_and_its_headers_tell_where_its_letters_lie() -> None:
    assert "Moleculer" in str(topic_by_name("FAILED_MESSAGES", ()))
    assert "Moleculer" in str(queue_by_name("FAILED_MESSAGES"))
    assert by_headers([[name for name, _ in WRITTEN]]) is not None
