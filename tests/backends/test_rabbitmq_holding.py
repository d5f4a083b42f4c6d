"""Letters held unacknowledged while their queue is worked on by others: what is told, and how the hold ends."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq import holding
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.repair import RabbitMQRepair
from brokercli.model.errors import Failed, NotFound
from tests.backends.rabbitmq_places import Places, records_of
from tests.backends.rabbitmq_redrive import count, letters, make, moves_home, numbered, queue
from tests.brokers.server import wait_until

pytestmark = pytest.mark.rabbitmq
PATIENCE = 60.0


@pytest.fixture
def link(places: Places) -> Iterator[Link]:
    """A connection of its own."""
    made = Link(places.connection)
    yield made
    made.close()


def take_all(held: Holding) -> None:
    """Take until what ends it is raised."""
    while True:
        held.take(0.2)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("kind", "together"), [("classic", False), ("classic", True), ("quorum", False)])
def test_a_hold_on_a_queue_that_was_deleted_meanwhile_ends_without_waiting_for_the_broker(places: Places, link: Link, kind: str, together: bool,
                                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 600.0)
    # it says that it is empty once it is gone, and before that the end comes no sooner
    monkeypatch.setattr(holding, "_EMPTY_ANSWERS", 1000)
    dlq = make(places, kind)
    held = Holding(link, dlq, 5, part=5, together=together)
    places.put("", dlq, [b"first", b"second"])
    # the first part is one letter, and the second lacks some
    while held.taken < 2:
        held.take(0.05)
    places.delete_queue(dlq)
    with pytest.raises(NotFound, match=f"The queue {dlq} was deleted"):
        take_all(held)
    held.give_back()
    assert not held.back


TIMEOUT: dict[str, Any] = {"x_delivery_limit": ("l", -1), "x_consumer_timeout": ("l", 1000)}


def test_letters_are_held_for_longer_than_the_broker_lets_consumers_hold_messages(places: Places) -> None:
    dlq, home = places.queue("quorum", **TIMEOUT), make(places, "classic")
    places.put("", dlq, numbered(3))
    with places.open().look_letters(queue(dlq)) as reader:
        assert len(records_of(reader, 3)) == 3
        time.sleep(3)
        assert count(places, dlq) == 0, "they are still in our hands"
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        held = letters(repair)
        time.sleep(3)
        assert repair.settle(moves_home(held, queue(home))).confirmed == 3
    assert (places.taken(home), places.taken(dlq)) == (numbered(3), [])


def test_a_broker_that_takes_back_what_is_held_for_too_long_is_understood(places: Places, link: Link) -> None:
    dlq = places.queue("quorum", **TIMEOUT)
    places.put("", dlq, numbered(3))
    held = Holding(link, dlq, 3, part=3)
    wait_until(lambda: held.take(0.2) is None and held.finished, PATIENCE, "the end")
    wait_until(lambda: held.cut_off, PATIENCE, "the end of the broker's patience")
    ended = held.taken_back
    assert ended is not None
    assert re.match(f".*took back what was held while reading the queue {dlq}: .*consumer_timeout", str(ended))
    assert ended.hint == "the same command goes on with what is left"
    held.give_back()
    wait_until(lambda: count(places, dlq) == 3, PATIENCE, "what was held back in the queue")


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_that_the_queue_gives_to_another_consumer_alone_are_not_said_to_be_gone(places: Places, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(holding, "_STALLED_TICKS", 5)
    dlq, home = make(places, kind, x_single_active_consumer=("t", 1)), make(places, "classic")
    places.put("", dlq, numbered(100))
    with places.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair, pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        assert isinstance(repair, RabbitMQRepair)
        held = letters(repair, 10)
        wait_until(lambda: repair._holding.taken == 16 and not repair._holding._taking, PATIENCE, "a part that nobody has read yet")
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        # of two that wait a quorum queue takes the one with the higher priority
        channel.basic_consume(dlq, lambda *arguments: None, arguments={"x-priority": 1})
        held += letters(repair, 5)
        wait_until(lambda: count(places, dlq) == 83, PATIENCE, "a letter in the hands of the other")
        with pytest.raises(Failed, match="has 83 letters ready, and has given none to this run"):
            letters(repair)
        assert repair.settle(moves_home(held, queue(home))).confirmed == 16
        assert "letters fewer came" not in " ".join(repair.notes)
    assert places.taken(home) == numbered(16)
