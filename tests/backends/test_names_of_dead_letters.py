"""How topics, queues and streams of dead letters are called where nobody asked a framework."""

from __future__ import annotations

import pytest

from brokercli.backends.kafka.dead_letter_names import by_name as topic
from brokercli.backends.nats.dead_letter_names import marks_of
from brokercli.backends.rabbitmq.dead_letter_names import by_name as queue


@pytest.mark.parametrize("name", [
    "orders.dlq", "orders-dlq", "orders_dlq", "ordersDLQ", "OrdersDlq", "orders.dlq.v1", "orders-dlq-v2", "dlq", "DLQ", "dlq.orders", "dead-letter-queue",
    "dead_letter_queue", "orders.dead-letter-queue", "orders_dead_letter_queue", "orders.dead_letter", "orders-dead-letters"])
def test_a_name_that_says_dead_letters_is_taken_for_them(name: str) -> None:
    assert topic(name, ()) is not None
    assert queue(name) is not None
    assert marks_of({"name": name.replace(".", "_")}) is not None


@pytest.mark.parametrize("name", ["orders", "orders.v1", "dlqs", "orders.retry.v1", "orders.deadline", "ordersdlq-metrics", "undead", "orders.dlq.retry"])
def test_a_name_that_says_something_else_is_not(name: str) -> None:
    assert topic(name, ()) is None
    assert queue(name) is None
    assert "retry" in name or marks_of({"name": name.replace(".", "_")}) is None
