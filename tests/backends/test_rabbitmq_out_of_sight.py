"""What lies in a quorum queue and is ready for nobody, held back for another try or until its dead letters are taken, is told by whoever leaves it out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError

import pika
import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq.counting import Count, out_of_sight
from brokercli.backends.rabbitmq.existing import Queue
from brokercli.backends.rabbitmq.letters import count_ready
from brokercli.backends.rabbitmq.survivable import Conditions, count_once_more, version_of
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import fail, make, numbered, queue
from tests.brokers.server import wait_until

PATIENCE = 60.0


def holds_back(places: Places) -> bool:
    """Whether quorum queues of this broker hold back what is returned, which came with RabbitMQ 4.3.1."""
    # the management API of a broker that has just started may answer this with an error of its own
    found: list[str] = []

    def asked() -> bool:
        with suppress(HTTPError):
            found.append(places.api("overview")["rabbitmq_version"])
        return bool(found)

    wait_until(asked, PATIENCE, "the broker's version")
    return version_of({"version": found[0]}) >= (4, 3, 1)


def counted(places: Places, name: str) -> Any:
    return places.api(f"queues/{places.virtual_host}/{name}?disable_stats=true&enable_queue_totals=true")


def said_of(places: Places, name: str) -> Any:
    """Return the statistics of a queue, which come some time after it; empty until then."""
    (said,) = [facts for facts in places.api(f"queues/{places.virtual_host}?columns=name,messages_delayed") if facts["name"] == name]
    return said


def notes_of_a_run(places: Places, name: str) -> list[str]:
    """Open a run over letters, and end it before any is taken."""
    with places.open() as backend, backend.repair(queue(name), RepairPolicy()) as repair:
        pass
    return list(repair.notes)


def test_letters_that_a_delayed_retry_holds_back_are_told_by_whoever_leaves_them_out(places: Places) -> None:
    if not holds_back(places):
        return
    dlq = make(places, "quorum", x_delayed_retry_type=("S", b"all"), x_delayed_retry_min=("l", 600_000), x_delayed_retry_max=("l", 600_000))
    work = places.queue("quorum", x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    fail(places, work, numbered(3))
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        for _ in range(3):
            method, _, _ = channel.basic_get(dlq)
            channel.basic_reject(method.delivery_tag)
    wait_until(lambda: out_of_sight(counted(places, dlq)) == 3 and said_of(places, dlq).get("messages_delayed") == 3, PATIENCE, "3 letters held back")
    with places.open() as backend:
        unseen: list[str] = []
        (found,) = [source for source in backend.dead_letter_sources((), unseen) if source.address.name == dlq]
        assert (found.pending, list(found.remarks)) == (0, ["3 letters are held back by its delayed retry, and not counted"])
        # where it is the only one it is not said that nothing is pending anywhere
        assert [said for said in unseen if dlq in said] == [f"3 letters are held back in queue:{dlq} by its delayed retry, until the time of each is over"]
        assert backend.describe(queue(dlq)).facts["messages held back"] == 3
    assert notes_of_a_run(places, dlq) == [f"3 messages in {dlq} are ready for nobody and not seen here: it holds back what is returned to it for another try"]


def test_dead_letters_that_nobody_took_yet_are_told_by_a_run_over_the_queue_they_wait_in(places: Places) -> None:
    name = make(places, "quorum", x_dead_letter_exchange=("S", b"is-not-there"), x_dead_letter_strategy=("S", b"at-least-once"),
                x_overflow=("S", b"reject-publish"))
    fail(places, name, numbered(2))
    wait_until(lambda: out_of_sight(counted(places, name)) == 2, PATIENCE, "2 letters that wait")
    assert notes_of_a_run(places, name) == [f"2 messages in {name} are ready for nobody and not seen here: its own dead-letter exchange has not taken them yet"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_that_was_emptied_a_moment_ago_is_empty_whatever_the_figures_still_say(places: Places, kind: str) -> None:
    # a run after one that took everything said that somebody else had taken the letters
    dlq = make(places, kind)
    places.put("", dlq, numbered(3))
    wait_until(lambda: counted(places, dlq).get("messages_ready") == 3, PATIENCE, "the count of 3 letters")
    assert places.taken(dlq) == numbered(3)
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert (repair.expected, repair.finished) == (0, True)
    assert repair.notes == []


def test_a_queue_that_counts_nothing_counts_again_and_where_nobody_answers_then_the_figures_hold() -> None:
    class Asked:
        count = Count(0, 0)

        def ask(self, doing: str, *steps: object) -> list[Count]:
            return [self.count]

    asked: Any = Asked()
    found = Conditions(Queue("dlq", "quorum", 0, 0), (4, 3, 6), "/", facts={"messages_ready": 3})
    assert count_ready(count_once_more(found, asked)) == 0
    asked.count = Count(2, 0)  # its leader was away for a moment
    assert count_ready(count_once_more(found, asked)) == 2
    asked.count = Count(0, 0, certain=False)
    assert count_ready(count_once_more(found, asked)) == 3
    assert count_ready(replace(found, queue=replace(found.queue, messages=None))) == 3
    asked.ask = None
    for same in (replace(found, facts={"messages_ready": 0}), replace(found, facts=None), replace(found, queue=replace(found.queue, messages=5))):
        assert count_once_more(same, asked) is same


def test_what_is_out_of_sight_is_what_is_neither_ready_nor_in_hand() -> None:
    facts = {"type": "quorum", "messages": 9, "messages_ready": 2, "messages_unacknowledged": 3}
    assert out_of_sight(facts) == 4
    assert out_of_sight(facts | {"messages": 4}) == 0  # not of one moment
    assert out_of_sight(facts | {"type": "classic"}) == 0
    assert out_of_sight({"type": "quorum", "messages": 9}) is None
    assert out_of_sight({}) is None
