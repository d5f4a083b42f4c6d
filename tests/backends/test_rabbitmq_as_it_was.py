"""What a letter was before RabbitMQ dead-lettered it once more, read out of what it is now."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.rabbitmq.amqp_table import decode_table, encode_table
from brokercli.backends.rabbitmq.as_it_was import as_it_was
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.exact_properties import decode_properties, encode_properties, split_headers
from brokercli.model.dead_letter import KEPT_DEATHS
from brokercli.model.message import Header, HeaderValue, Typed

LARGE = 100_000
COUNTS: tuple[Header, ...] = (("x-acquired-count", 2), ("x-delivery-count", 2))


def death(queue: str, reason: str, **more: HeaderValue) -> Typed:
    """One entry of x-death."""
    fields: dict[str, HeaderValue] = {"count": 1, "reason": reason.encode(), "queue": queue.encode(), "time": Typed("timestamp", 1795645540), "exchange": b"",
                                      "routing-keys": Typed("array", (queue.encode(),))}
    return Typed("table", tuple((fields | more).items()))


def died(*deaths: Typed) -> tuple[Header, ...]:
    """The headers that tell of deaths, the latest first, as RabbitMQ writes them."""
    newest, oldest = dict(deaths[0].value), dict(deaths[-1].value)  # type: ignore[call-overload]
    return (("x-death", Typed("array", deaths)), *((f"x-first-death-{field}", oldest[field]) for field in ("exchange", "queue", "reason")),
            *((f"x-last-death-{field}", newest[field]) for field in ("exchange", "queue", "reason")))


def delivery(headers: tuple[Header, ...], **properties: Any) -> Delivery:
    """A message as it comes."""
    return Delivery(1, True, b"", b"over", encode_properties({"delivery_mode": 2, **properties}, encode_table(headers)), b"body")


def before(message: Delivery, user: str | None = "guest", largest: int = LARGE) -> tuple[dict[str, HeaderValue], dict[str, HeaderValue]]:
    """What it was in the queue `dlq`: headers and properties."""
    restored = as_it_was(message, "dlq", user, largest)
    assert restored is not None
    properties, table = split_headers(restored.properties)
    return dict(decode_table(table)[0]) if table else {}, decode_properties(properties)


def test_the_death_in_front_is_taken_off_and_the_one_before_is_the_last_again() -> None:
    was = died(death("work", "rejected"), death("earlier", "expired"))
    now = died(death("dlq", "delivery_limit"), death("work", "rejected"), death("earlier", "expired"))
    headers, properties = before(delivery((("a", 1), *now, *COUNTS)))
    assert {name: value for name, value in headers.items() if name != KEPT_DEATHS} == {"a": 1, **dict(was)}
    assert headers[KEPT_DEATHS] == Typed("table", was)
    assert properties == {"delivery_mode": 2}


def test_a_letter_that_had_not_died_before_has_no_deaths() -> None:
    assert before(delivery((("a", 1), *died(death("dlq", "delivery_limit")), *COUNTS)))[0] == {"a": 1}


def test_one_that_went_over_before_has_the_deaths_that_were_kept() -> None:
    was = died(death("work", "rejected"))
    kept = (KEPT_DEATHS, Typed("table", was))
    assert before(delivery((kept, *died(death("dlq", "delivery_limit")))))[0] == dict((kept, *was))


def test_deaths_of_the_brokers_own_come_before_those_that_were_kept() -> None:
    was = died(death("work", "rejected"))
    stale = (KEPT_DEATHS, Typed("table", died(death("long ago", "expired"))))
    assert before(delivery((stale, *died(death("dlq", "delivery_limit"), death("work", "rejected")))))[0] == {**dict(was), KEPT_DEATHS: Typed("table", was)}


def test_where_the_frame_has_no_room_they_are_not_kept_a_second_time() -> None:
    was = died(death("work", "rejected"))
    assert before(delivery(died(death("dlq", "delivery_limit"), death("work", "rejected"))), largest=400)[0] == dict(was)


def test_what_would_be_routed_again_or_refused_does_not_go_back_and_an_expiration_does() -> None:
    now = died(death("dlq", "delivery_limit", **{"original-expiration": b"5000"}))
    headers, properties = before(delivery((("CC", Typed("array", (b"elsewhere",))), *now), user_id=b"worker"))
    assert (headers, properties) == ({}, {"delivery_mode": 2, "expiration": b"5000"})
    assert before(delivery(now, user_id=b"worker"), user="worker")[1]["user_id"] == b"worker"


@pytest.mark.parametrize("headers", [(), (("x-death", b"text"),), died(death("another", "delivery_limit"), death("dlq", "rejected"))])
def test_what_did_not_come_out_of_that_queue_last_is_not_touched(headers: tuple[Header, ...]) -> None:
    assert as_it_was(delivery(headers), "dlq", "guest", LARGE) is None
