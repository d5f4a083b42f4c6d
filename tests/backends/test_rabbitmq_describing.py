"""A queue explained to whoever looks for lost messages: what holds, who says so, where its dead letters go and how surely."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.model.address import Address
from brokercli.model.declaration import Declaration, RetrySpecification
from brokercli.model.description import Description
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places

SECOND = 1_000_000_000


def text(value: str) -> tuple[str, bytes]:
    return "S", value.encode()


def describe(places: Places, name: str, kind: str = "queue") -> Description:
    return places.open().describe(Address(name, kind))


def rows(description: Description, title: str) -> list[dict[str, Any]]:
    return next((list(section.rows) for section in description.sections if section.title == title), [])


def risks(places: Places, name: str, kind: str = "queue") -> list[str]:
    return [row["risk"] for row in rows(describe(places, name, kind), "risks")]


def test_each_setting_says_who_says_so_and_what_else_is_said(declared: Declared) -> None:
    name = declared.places.queue("quorum", name=declared.name("q"), x_max_length=("l", 100), x_dead_letter_exchange=text("amq.fanout"))
    policy = declared.policy(declared.name("p"), f"^{declared.prefix}", **{"max-length": 50, "dead-letter-exchange": "other", "message-ttl": 60_000})
    found = {row["setting"]: (row["value"], row["said by"], row["beside"]) for row in rows(describe(declared.places, name), "settings")}
    # the default is told by figures that are some seconds old
    assert found.pop("delivery-limit", (20, "RabbitMQ's default", None)) == (20, "RabbitMQ's default", None)
    assert found == {"max-length": (50, f"policy {policy}", "argument says 100"), "message-ttl": (60_000, f"policy {policy}", None),
                     "dead-letter-exchange": ("amq.fanout", "argument", f"policy {policy} says other")}


@pytest.mark.parametrize("name", [".", ".."])
def test_by_a_name_that_leads_elsewhere_nothing_is_asked_and_nothing_claimed(places: Places, name: str) -> None:
    places.queue("classic", name=name, x_dead_letter_exchange=text("amq.fanout"))
    found = describe(places, name)
    assert "it cannot be asked about anything" in found.missing[0]
    assert (rows(found, "risks"), rows(found, "settings")) == ([], [])


def test_where_dead_letters_go_and_how_surely_is_said_at_both_ends(places: Places) -> None:
    dead = places.queue("classic")
    exchange = places.exchange("topic")
    places.bind(dead, exchange, "orders.#")
    at_most = places.queue("classic", x_dead_letter_exchange=text(exchange), x_dead_letter_routing_key=text("orders.dead"))
    at_least = places.queue("quorum", x_dead_letter_exchange=text(exchange), x_dead_letter_strategy=text("at-least-once"), x_overflow=text("reject-publish"))
    facts = describe(places, at_most).facts
    assert (facts["dead letters go to"], facts["handed over"]) == (f"queue:{dead}", "at most once")
    assert describe(places, at_least).facts["handed over"] == "at least once"
    assert set(str(describe(places, dead).facts["holds the dead letters of"]).split(", ")) == {f"queue:{at_most}", f"queue:{at_least}"}
    assert {row["queue"] for row in rows(describe(places, exchange, "exchange"), "takes the dead letters of")} == {f"queue:{at_most}", f"queue:{at_least}"}
    assert any("at most once, and lost where that fails; only a quorum queue" in risk for risk in risks(places, at_most))
    assert not any("at most once" in risk for risk in risks(places, at_least))


def test_at_least_once_without_what_it_takes_is_at_most_once(places: Places) -> None:
    dead = places.queue("classic")
    name = places.queue("quorum", x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(dead), x_dead_letter_strategy=text("at-least-once"))
    assert describe(places, name).facts["handed over"] == "at most once"
    assert "its dead letters are handed over at most once all the same: at-least-once takes overflow reject-publish" in risks(places, name)


@pytest.mark.parametrize(("kind", "arguments", "said"), [
    ("classic", {}, "it has no dead-letter exchange: what is rejected is deleted"),
    ("quorum", {}, "it has no dead-letter exchange: what is rejected, or redelivered more than 20 times, is deleted"),
    ("quorum", {"x_delivery_limit": ("l", 3)}, "it has no dead-letter exchange: what is rejected, or redelivered more than 3 times, is deleted"),
    ("quorum", {"x_delivery_limit": ("l", -1)}, "it has no dead-letter exchange: what is rejected is deleted"),
    ("classic", {"x_message_ttl": ("l", 60_000)}, "messages older than 1m are deleted"),
    ("classic", {"x_max_length": ("l", 1000)}, "when it is full (1,000 messages), its oldest messages are deleted"),
    ("classic", {"x_expires": ("l", 3_600_000)}, "the queue itself is deleted after 1h without consumers"),
    ("classic", {"x_dead_letter_exchange": text("none-such")}, "its dead letters go to the exchange none-such, which does not exist: they are lost"),
    ("classic", {"x_dead_letter_exchange": text(""), "x_dead_letter_routing_key": text("none-such")},
     "its dead letters go to a queue that does not exist: they are lost")])
def test_what_deletes_messages_is_a_risk(places: Places, kind: str, arguments: dict[str, Any], said: str) -> None:
    assert said in risks(places, places.queue(kind, **arguments))


def test_a_full_queue_that_refuses_publishers_deletes_nothing(places: Places) -> None:
    assert not any("full" in risk for risk in risks(places, places.queue("classic", x_max_length=("l", 1000), x_overflow=text("reject-publish"))))


def test_letters_that_would_not_survive_being_looked_at_are_a_risk(places: Places) -> None:
    dead = places.queue("quorum")
    places.queue("classic", x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(dead))
    assert f"brokercli declare queue {dead} -s delivery-limit=-1 lifts it" in risks(places, dead)[0]


def test_no_policy_is_proposed_against_a_limit_that_none_lifts(declared: Declared) -> None:
    places = declared.places
    for_operators = declared.name("operated")
    policy = f"operator-policies/%2F/{for_operators}"
    places.api(policy, "PUT", **{"pattern": f"^{for_operators}$", "definition": {"delivery-limit": 7}, "apply-to": "queues"})
    try:
        for dead in (places.queue("quorum", name=for_operators), places.queue("quorum", x_delivery_limit=("l", 7))):
            places.queue("classic", x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(dead))
            (said,) = [risk for risk in risks(places, dead) if "delivery limit of 7" in risk]
            assert "no policy lifts it" in said
    finally:
        places.api(policy, "DELETE")


def test_what_lies_where_nobody_consumes_is_a_risk(places: Places) -> None:
    name = places.queue("classic")
    places.put("", name, [b"1", b"2"])
    assert "nobody consumes it, and 2 messages wait" in risks(places, name)


def test_retries_are_listed_with_their_delays(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    declared.apply(*declared.declarer().retry(RetrySpecification(work, (5 * SECOND, 120 * SECOND), 3)).declarations)
    description = describe(declared.places, work)
    assert [(row["after"], row["queue"]) for row in rows(description, "retries")] == [("5s", f"queue:{work}.retry.1.5s"), ("2m", f"queue:{work}.retry.2.2m")]
    assert description.facts["handed over"] == "at least once"
    assert rows(description, "risks") == []
    waiting = describe(declared.places, f"{work}.retry.1.5s")
    assert waiting.facts["returns to"] == f"queue:{work}"
    assert rows(waiting, "risks") == []
    assert rows(describe(declared.places, f"{work}.dlq"), "risks") == []


def test_an_exchange_says_where_what_it_cannot_route_goes(declared: Declared) -> None:
    exchange = declared.name("x")
    declared.apply(Declaration("exchange", exchange, {"type": "topic"}))
    assert "nothing is bound to it and it has no alternate exchange" in risks(declared.places, exchange, "exchange")[0]
    declared.apply(Declaration("exchange", exchange, {"alternate-exchange": "amq.fanout"}))
    description = describe(declared.places, exchange, "exchange")
    assert description.facts["alternate exchange"] == "amq.fanout"
    assert [(row["setting"], row["said by"]) for row in rows(description, "settings")] == [("alternate-exchange", f"policy brokercli:exchange:{exchange}")]
    assert rows(description, "risks") == []


def test_without_the_management_api_it_says_what_it_cannot_tell(places: Places) -> None:
    description = places.open(places.without_management).describe(Address(places.queue("quorum"), "queue"))
    assert "dead lettering, retries, consumers" in description.missing[0]
    assert "nothing answers" in description.missing[0]
