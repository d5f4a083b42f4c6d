"""Letters held unacknowledged while their queue is worked on by others: what is told, and how the hold ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq import holding
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
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
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_hold_on_a_queue_that_was_deleted_meanwhile_ends_without_waiting_for_the_broker(places: Places, link: Link, kind: str,
                                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 600.0)
    # it says that it is empty once it is gone, and before that the end comes no sooner
    monkeypatch.setattr(holding, "_EMPTY_ANSWERS", 1000)
    dlq = make(places, kind)
    held = Holding(link, dlq, 5, part=5)
    places.put("", dlq, [b"letter"])
    while not held.taken:
        assert held.take(0.05) is None
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
    wait_until(lambda: held.cut_off, PATIENCE, "the end of the broker's patience")
    with pytest.raises(Failed, match=f"took back what was held while reading the queue {dlq}: .*consumer_timeout") as ended:
        take_all(held)
    assert ended.value.hint == "the same command goes on with what is left"
    held.give_back()
    wait_until(lambda: count(places, dlq) == 3, PATIENCE, "what was held back in the queue")
