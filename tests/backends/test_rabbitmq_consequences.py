"""What a change of a queue does to the messages that are in it: said in the plan, and then done."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.model.declaration import Action, Declaration
from tests.backends.rabbitmq_declared import Declared, only
from tests.backends.rabbitmq_places import SECONDS
from tests.backends.rabbitmq_redrive import count, numbered
from tests.brokers.server import wait_until

KINDS = ("classic", "quorum")


def filled(declared: Declared, kind: str = "classic", **arguments: Any) -> str:
    """Make a queue of ten messages, which the management API has counted."""
    name = declared.places.queue(kind, name=declared.name(f"{kind}-q"), **arguments)
    declared.places.put("", name, numbered(10))
    wait_until(lambda: declared.places.api(f"queues/%2F/{name}").get("messages") == 10, SECONDS, "the count of the management API")
    return name


def remarks(declared: Declared, name: str, *, kind: str = "queue", **settings: Any) -> list[str]:
    """Plan a change and return what is remarked on it, except where it is kept."""
    change = only(declared.declarer().plan([Declaration(kind, name, {key.replace("_", "-"): value for key, value in settings.items()})]))
    assert change.action is Action.CHANGE
    return [remark for remark in change.remarks if "kept in the policy" not in remark and "takes the place of" not in remark]


def change(declared: Declared, name: str, **settings: Any) -> None:
    assert only(declared.apply(Declaration("queue", name, {key.replace("_", "-"): value for key, value in settings.items()}))).action is Action.CHANGE


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_below_what_is_there_says_that_the_rest_is_deleted_and_so_it_is(declared: Declared, kind: str) -> None:
    name = filled(declared, kind)
    assert remarks(declared, name, max_length=3) == ["10 messages are there: all but the newest 3 are deleted at once"]
    assert count(declared.places, name) == 10
    change(declared, name, max_length=3)
    wait_until(lambda: count(declared.places, name) == 3, SECONDS, "the end of seven messages")


@pytest.mark.parametrize("kind", KINDS)
def test_where_dead_letters_are_kept_it_says_where_what_is_beyond_goes(declared: Declared, kind: str) -> None:
    dead = declared.places.queue(name=declared.name("dead"))
    name = filled(declared, kind)
    settings = {"max_length": 3, "dead_letter_exchange": "", "dead_letter_routing_key": dead}
    assert remarks(declared, name, **settings) == [f"10 messages are there: all but the newest 3 are dead-lettered to queue:{dead} at once"]
    change(declared, name, **settings)
    wait_until(lambda: count(declared.places, dead) == 7, SECONDS, "seven dead letters")


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_in_bytes_says_that_the_oldest_go(declared: Declared, kind: str) -> None:
    name = filled(declared, kind)
    assert remarks(declared, name, max_length_bytes=20) == [
        "10 messages are there: the oldest, until what is left has 20 bytes at most, are deleted at once"]
    change(declared, name, max_length_bytes=20)
    wait_until(lambda: count(declared.places, name) <= 5, SECONDS, "the end of the oldest")


@pytest.mark.parametrize("kind", KINDS)
def test_a_classic_queue_that_is_to_refuse_publishers_drops_what_is_beyond_a_limit_that_comes_with_it_and_a_quorum_queue_does_not(
        declared: Declared, kind: str) -> None:
    name = filled(declared, kind)
    refused = "from now on publishers are refused when it is full, instead of its oldest messages being pushed out"
    dropped = "10 messages are there: all but the newest 3 are deleted at once; declared first, and alone, overflow keeps them"
    assert remarks(declared, name, max_length=3, overflow="reject-publish") == ([dropped, refused] if kind == "classic" else [refused])
    change(declared, name, overflow="reject-publish")
    assert remarks(declared, name, max_length=3) == []
    change(declared, name, max_length=3)
    assert remarks(declared, name, overflow="drop-head") == ["10 messages are there: all but the newest 3 are deleted at once"]
    assert len(declared.places.taken(name)) == 10


def test_a_limit_that_is_raised_or_that_nothing_is_beyond_deletes_nothing_now(declared: Declared) -> None:
    name = filled(declared, x_max_length=("l", 30))
    change(declared, name, max_length=20)
    assert remarks(declared, name, max_length=30) == []
    assert remarks(declared, name, max_length=15) == ["from now on its oldest messages are deleted when it is full"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_to_live_is_said_to_be_for_messages_to_come_and_those_that_are_there_stay(declared: Declared, kind: str) -> None:
    name = filled(declared, kind)
    assert remarks(declared, name, message_ttl=100) == [
        "messages that are published from now on are deleted after 100ms; those that are there keep the time they have"]
    change(declared, name, message_ttl=100)
    declared.places.put("", name, [b"late"])
    wait_until(lambda: declared.places.api(f"queues/%2F/{name}").get("messages") != 10, SECONDS, "the count of the late one")
    assert [body for body in declared.places.taken(name) if body != b"late"] == numbered(10)


def test_an_end_of_the_queue_itself_is_said_with_what_goes_with_it(declared: Declared) -> None:
    name = filled(declared)
    assert remarks(declared, name, expires=60_000) == ["the queue itself is deleted, with 10 messages now, after 1m without consumers; it has none"]


@pytest.mark.parametrize("before", [{}, {"x_delivery_limit": ("l", -1)}], ids=["default", "without"])
def test_a_limit_of_deliveries_is_said_to_end_messages(declared: Declared, before: dict[str, Any]) -> None:
    name = filled(declared, "quorum", **before)
    assert remarks(declared, name, delivery_limit=3) == ["a message that is returned more than 3 times is deleted from now on"]


def test_a_stream_that_keeps_less_says_so(declared: Declared) -> None:
    name = declared.places.queue("stream", name=declared.name("s"))
    declared.places.put("", name, numbered(10))
    wait_until(lambda: declared.places.api(f"queues/%2F/{name}").get("messages") == 10, SECONDS, "the count of the management API")
    assert remarks(declared, name, kind="stream", max_age=3600, max_length_bytes=1000) == [
        "10 messages are there: those older than 1h are deleted, in whole segments",
        "10 messages are there: the oldest beyond 1,000 bytes are deleted, in whole segments"]
    change(declared, name, max_age=3600)
    assert remarks(declared, name, kind="stream", max_age=7200) == []
