"""Letters of a classic queue that are looked at in many parts and go back in one piece."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep

import pika
import pytest

from brokercli.backends.rabbitmq import letters
from brokercli.backends.rabbitmq.letters import QueueLetterReader
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.rabbitmq_redrive import count, make, numbered, queue
from tests.brokers.server import wait_until

pytestmark = pytest.mark.rabbitmq
LETTERS = 500


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are many."""
    monkeypatch.setattr(letters, "PART", 40)


def look_at(places: Places, name: str) -> QueueLetterReader:
    """Open a look of somebody who is told nothing about the queue."""
    reader = places.open(places.without_management).look_letters(queue(name))
    assert isinstance(reader, QueueLetterReader)
    return reader


def test_letters_of_many_parts_are_back_in_their_order_with_nothing_added(places: Places) -> None:
    name = make(places, "classic")
    places.put("", name, numbered(LETTERS))
    for _ in range(2):
        with look_at(places, name) as reader:
            assert bodies_of(reader) == numbered(LETTERS)
            assert count(places, name) == 0
        assert reader._holding.back
        assert "their order and their contents are as they were" in reader.side_effects
        assert places.counts(name) == (LETTERS, 0)
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        method, properties, body = connection.channel().basic_get(name)
    assert (method.redelivered, properties.headers, body) == (True, None, numbered(1)[0])


def test_a_look_that_ends_in_the_midst_leaves_all_in_their_order(places: Places) -> None:
    name = make(places, "classic")
    places.put("", name, numbered(LETTERS))
    with look_at(places, name) as reader:
        wait_until(lambda: reader.read(0.1) is not None and reader._holding.taken > 150, 60.0, "some parts")
    assert reader._holding.back
    assert places.taken(name) == numbered(LETTERS)


def test_who_waits_for_letters_that_go_back_gets_them_in_their_order(places: Places) -> None:
    name = make(places, "classic")
    places.put("", name, numbered(LETTERS))
    got: list[bytes] = []
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        with look_at(places, name) as reader:
            assert bodies_of(reader) == numbered(LETTERS)
            channel = connection.channel()
            channel.basic_consume(name, lambda channel, method, properties, body: got.append(body), auto_ack=True)
        wait_until(_served(connection, lambda: len(got) == LETTERS), 60.0, "all of them")
    assert got == numbered(LETTERS)


def test_a_queue_that_gives_to_one_consumer_alone_is_read_by_whoever_is_not_told(places: Places) -> None:
    name = make(places, "classic", x_single_active_consumer=("t", True))
    places.put("", name, numbered(LETTERS))
    with look_at(places, name) as reader:
        assert bodies_of(reader) == numbered(LETTERS)
    assert reader._holding.back
    assert places.taken(name) == numbered(LETTERS)


def test_one_part_is_taken_ahead_of_what_is_read_and_no_more(places: Places) -> None:
    name = make(places, "classic")
    places.put("", name, numbered(LETTERS))
    with look_at(places, name) as reader:
        read = 0
        while read < 100:
            batch = reader.read(0.1)
            read += 0 if batch is None else len(batch)
        wait_until(lambda: reader._holding.taken == read + 40, 60.0, "the part that is read ahead")
        sleep(0.5)
        assert (reader._holding.taken, count(places, name)) == (read + 40, LETTERS - read - 40)
    assert places.taken(name) == numbered(LETTERS)


def _served(connection: pika.BlockingConnection, reached: Callable[[], bool]) -> Callable[[], bool]:
    def served() -> bool:
        connection.process_data_events(time_limit=0.1)
        return reached()

    return served
