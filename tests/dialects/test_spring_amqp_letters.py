"""Whose `retry-count` a republished message carries: the binder counts on in what a producer wrote, the recoverer alone passes it on."""

from __future__ import annotations

import pytest

from brokercli.dialects import Facts, recognise, to_message
from brokercli.model.dead_letter import Confidence, DeadLetter, Hop
from brokercli.model.message import Header, HeaderValue, Message, Record

CONTAINER = b"org.springframework.amqp.rabbit.support.ListenerExecutionFailedException: Listener threw exception\n"
HANDLER = b"org.springframework.messaging.MessageHandlingException: error occurred in message handler\n"


def republished(count: HeaderValue, stack_trace: bytes | None) -> DeadLetter:
    """Return a letter with a `retry-count`; None: without a stack trace."""
    headers: tuple[Header, ...] = (("tenant", b"shop"), ("retry-count", count), ("x-exception-message", b"no"), ("x-original-exchange", b""),
                                   ("x-original-routingKey", b"orders"))
    traced = () if stack_trace is None else (("x-exception-stacktrace", stack_trace),)
    return recognise(Record("rabbitmq", {"exchange": "", "routing_key": "dead", "queue": "dead"}, "", None, Message(body=b"{}", headers=(*headers, *traced))))


@pytest.mark.parametrize("stack_trace", [CONTAINER, None], ids=["as it comes", "without a stack trace"])
def test_what_the_recoverer_passed_on_goes_back_with_the_message(stack_trace: bytes | None) -> None:
    letter = republished(5, stack_trace)
    assert letter.dialect == "spring amqp"
    assert to_message(letter).headers == (("tenant", b"shop"), ("retry-count", 5))


@pytest.mark.parametrize(("count", "altered"), [(1, False), (2, True), (b"2", True), (b"\xff", False), (None, False)])
def test_what_the_binder_counted_is_taken_off_and_what_it_counted_on_from_is_said_to_be_lost(count: HeaderValue, altered: bool) -> None:
    letter = republished(count, HANDLER)
    assert letter.dialect == "spring cloud stream"
    assert to_message(letter).headers == (("tenant", b"shop"),)
    assert any(lost.startswith("retry-count") for lost in letter.lost) is altered


@pytest.mark.parametrize(("exchange", "queue", "homes", "where"), [
    (b"shop", "orders.billing.dlq", [("queue:orders.billing", Confidence.LIKELY), ("exchange:shop/created", Confidence.GUESS)], "shop"),
    (b"shop", "dead", [("exchange:shop/created", Confidence.GUESS)], "shop"),
    (b"", "orders.billing.dlq", [("queue:created", Confidence.CERTAIN)], "created")])
def test_where_the_exchange_is_known_alone_it_is_a_guess_behind_the_name_of_the_queue(exchange: bytes, queue: str, homes: list[tuple[str, Confidence]],
                                                                                     where: str) -> None:
    letter = recognise(Record("rabbitmq", {"exchange": "", "routing_key": queue, "queue": queue}, "", None, Message(body=b"{}", headers=(
        ("x-exception-message", b"no"), ("x-original-exchange", exchange), ("x-original-routingKey", b"created")))))
    assert [(str(home.address), home.confidence) for home in letter.homes] == homes
    assert (letter.reason, letter.exception_message) == ("exception", "no")
    assert letter.journey == (Hop(where, place={"exchange": exchange.decode(), "routing_key": "created"}),)


@pytest.mark.parametrize(("origins", "homes", "said"), [
    (("orders.billing",), [("queue:orders.billing", Confidence.LIKELY), ("exchange:shop/created", Confidence.GUESS)], "it alone dead-letters to here"),
    ((), [("exchange:shop/created", Confidence.GUESS)], "every queue bound there gets it again: none of them dead-letters to here"),
    (("orders.billing", "orders.stock"), [("exchange:shop/created", Confidence.GUESS)], "gets it again: orders.billing, orders.stock dead-letter to here"),
    (None, [("exchange:shop/created", Confidence.GUESS)], "every queue bound there gets it again")])
def test_a_letter_of_the_binder_goes_to_the_one_queue_that_its_origin_leads_to_and_that_dead_letters_here(
        origins: tuple[str, ...] | None, homes: list[tuple[str, Confidence]], said: str) -> None:
    asked: list[tuple[str, str, str]] = []

    def answer(*question: str) -> tuple[str, ...] | None:
        asked.append(question)
        return origins

    def read(*headers: Header) -> DeadLetter:
        return recognise(Record("rabbitmq", {"exchange": "DLX", "routing_key": "any", "queue": "all.failed"}, "", None, Message(headers=(
            *headers, ("x-exception-message", b"no"), ("x-original-exchange", b"shop"), ("x-original-routingKey", b"created")))),
            facts=Facts(origins=answer))

    letter = read(("retry-count", 1), ("x-exception-stacktrace", HANDLER))
    assert (letter.dialect, [(str(home.address), home.confidence) for home in letter.homes]) == ("spring cloud stream", homes)
    assert letter.home is not None
    assert letter.home.derived.endswith(said)
    assert asked == [("all.failed", "shop", "created")]
    # beside the recoverer alone a queue that does not dead-letter may be where it comes from
    assert [str(home.address) for home in read().homes] == ["exchange:shop/created"]
