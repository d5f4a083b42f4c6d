"""RabbitMQ's consumers: a consumption is a queue, and who is at it only the broker's management API says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from brokercli.backends.consumers import Consumers
from brokercli.backends.rabbitmq.management import Management
from brokercli.model.consumption import Consumption
from brokercli.model.errors import Failed, NotFound, Unsupported
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places
from tests.brokers.server import wait_until

PATIENCE = 60.0


@contextmanager
def holding(places: Places, queue: str, prefetch: int) -> Iterator[Any]:
    """Be a worker who takes messages and does nothing about them."""
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, lambda *_: None, consumer_tag="worker-1")
        connection.process_data_events(0.1)
        yield channel


def found(consumers: Consumers, queue: str) -> Consumption:
    (one,) = consumers.find([queue])
    return one


def test_a_queue_says_how_much_is_before_its_consumers_and_in_their_hands(places: Places) -> None:
    name = places.queue("quorum")
    places.put("", name, [b"%d" % number for number in range(5)])
    consumers = places.open().consumers()

    def seen() -> bool:
        one = found(consumers, name)
        return (one.lag, one.in_hand, one.members) == (5, 2, 1)

    with holding(places, name, 2):
        wait_until(seen, PATIENCE, "5 messages, 2 in hand")
        one = found(consumers, name)
        assert (one.kind, one.state, one.reads, one.facts["type"]) == ("queue", "running", (f"queue:{name}",), "quorum")
        # where it runs is counted a moment after the consumer itself
        wait_until(lambda: consumers.lag(name)[0].member.startswith("worker-1 from 127.0.0.1:"), PATIENCE, "the consumer's address")
        (lag,) = consumers.lag(name)
        assert (lag.source, lag.lag, lag.in_hand, lag.position) == (f"queue:{name}", 5, 2, None)


def test_what_was_just_delivered_is_not_taken_for_finished(places: Places) -> None:
    name = places.queue("quorum")
    places.put("", name, [b"%d" % number for number in range(5)])
    consumers = places.open().consumers()
    wait_until(lambda: found(consumers, name).lag == 5, PATIENCE, "5 messages in figures that are up to five seconds old")
    with holding(places, name, 2):
        # AMQP says at once that three are ready, the management API only later that two are in hand
        wait_until(lambda: places.broker.wire.declare_queue(name, passive=True)[0] == 3, PATIENCE, "the delivery")
        assert [lag.lag for lag in consumers.lag(name)] == [5]
        wait_until(lambda: consumers.lag(name)[0].in_hand == 2, PATIENCE, "2 in hand")
        assert [lag.lag for lag in consumers.lag(name)] == [5]


def test_what_is_in_hand_counts_at_once_and_not_when_the_figures_come(places: Places) -> None:
    name = places.queue("classic")
    with holding(places, name, 10):
        places.put("", name, [b"1", b"2", b"3"])
        # for five seconds the figures say nothing of it
        (lag,) = places.open().consumers().lag(name)
    assert (lag.lag, lag.in_hand, lag.at_least) == (3, 3, False)


def test_where_nobody_says_what_is_in_hand_a_lag_is_one_at_least(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    name = places.queue("classic")
    places.put("", name, [b"1"])
    consumers = places.open().consumers()
    for question in ("queue", "queue_now"):
        told = getattr(Management, question)
        monkeypatch.setattr(Management, question, lambda self, name, told=told: {
            key: value for key, value in (told(self, name) or {}).items() if key != "messages_unacknowledged"})
    (lag,) = consumers.lag(name)
    assert (lag.lag, lag.in_hand, lag.at_least) == (1, None, True)


def test_a_consumer_that_has_just_connected_is_named_without_where_it_runs(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    name = places.queue("classic")
    consumers = places.open().consumers()
    told = Management.queue
    details = [{"consumer_tag": "w", "channel_details": {}}]
    monkeypatch.setattr(Management, "queue", lambda self, name: {**(told(self, name) or {}), "consumer_details": details})
    assert [lag.member for lag in consumers.lag(name)] == ["w"]


def test_who_consumes_it_is_told_with_prefetch_acknowledgements_and_where_it_runs(places: Places) -> None:
    name = places.queue("classic")
    consumers = places.open().consumers()
    with holding(places, name, 7):
        # where it runs is counted a moment after the consumer itself
        wait_until(lambda: any(row["from"] for section in consumers.describe(name).sections for row in section.rows), PATIENCE, "the consumer and its address")
        description = consumers.describe(name)
    (section,) = description.sections
    (row,) = section.rows
    assert (section.title, row["tag"], row["prefetch"], row["acknowledges"], row["active"]) == ("consumers", "worker-1", 7, True, True)
    assert str(row["from"]).startswith("127.0.0.1:")
    assert description.facts["queue"] == f"queue:{name}"


def test_a_stream_says_who_consumes_it_and_not_how_far(places: Places) -> None:
    name = places.stream([b"1", b"2"])
    (lag,) = places.open().consumers().lag(name)
    assert (lag.source, lag.lag, lag.position) == (f"stream:{name}", None, None)
    assert "how far each one is" in places.open().consumers().describe(name).missing[0]


def test_without_the_management_api_a_queue_that_is_named_tells_its_numbers_and_what_is_missing(places: Places) -> None:
    name = places.queue("classic")
    places.put("", name, [b"1", b"2", b"3"])
    consumers = places.open(places.without_management).consumers()
    (one,) = consumers.find([name])
    assert (one.name, one.members, one.lag, one.in_hand) == (name, 0, 3, None)
    (lag,) = consumers.lag(name)
    assert (lag.lag, lag.in_hand, lag.at_least) == (3, None, False)
    with holding(places, name, 2):
        wait_until(lambda: consumers.lag(name)[0].lag == 1, PATIENCE, "one that is ready")
        assert consumers.lag(name)[0].at_least
    description = consumers.describe(name)
    facts = ("messages ready", "consumers")
    wait_until(lambda: [consumers.describe(name).facts[fact] for fact in facts] == [3, 0], PATIENCE, "what was held back in the queue")
    assert "nothing answers" in description.missing[0]
    with pytest.raises(NotFound):
        consumers.lag(f"{name}-missing")
    assert list(consumers.find([f"{name}-missing"])) == []


@pytest.mark.parametrize("ask", [lambda consumers: list(consumers.find()), lambda consumers: list(consumers.find(["or*"])),
                                 lambda consumers: consumers.names()], ids=["all", "pattern", "names"])
def test_without_the_management_api_nobody_can_say_which_queues_there_are(places: Places, ask: Callable[[Any], Any]) -> None:
    with pytest.raises(Failed, match="only the management API") as refusal:
        ask(places.open(places.without_management).consumers())
    assert "rabbitmq-plugins enable" in str(refusal.value.hint)


def test_a_login_without_the_tag_is_told_about_it(declared: Declared) -> None:
    name = declared.places.queue("classic")
    consumers = declared.places.open(declared.restricted()).consumers()
    with pytest.raises(Failed, match="refuses this login") as refusal:
        list(consumers.find())
    assert "the tag management" in str(refusal.value.hint)
    assert [one.name for one in consumers.find([name])] == [name]


def test_queues_of_one_connection_are_not_listed(places: Places) -> None:
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        own = connection.channel().queue_declare("", exclusive=True).method.queue
        assert own not in places.open().consumers().names()


def test_nothing_of_a_consumer_is_there_to_be_removed(places: Places) -> None:
    name = places.queue("classic")
    consumers = places.open().consumers()
    for ask in (consumers.goes_with, consumers.remove):
        with pytest.raises(Unsupported, match="nothing is kept"):
            ask(name)
        with pytest.raises(NotFound):
            ask(f"{name}-missing")
