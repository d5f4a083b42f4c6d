"""Messages that came over AMQP 1.0 and have something for which RabbitMQ knows no form in AMQP 0-9-1: it ends the connection of whoever is to get
them (seen on 4.3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pytest

from brokercli.backends.dead_letters import Repair, RepairPolicy
from brokercli.backends.rabbitmq.failures import NoSuch
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.rescue_queue import RescueQueue
from brokercli.model.address import Address
from brokercli.model.errors import Failed
from brokercli.model.position import End, Number, Span, Start
from brokercli.model.receipt import Receipts
from tests.backends.rabbitmq_places import SECONDS, Places, bodies_of
from tests.backends.rabbitmq_redrive import count, make, moves_home, numbered, queue
from tests.backends.test_rabbitmq_tap import eventually, tap
from tests.brokers.server import wait_until
from tests.native.amqp import Properties
from tests.native.amqp10 import DURABLE, Sender, application_properties, data, text, uuid

TRACE = application_properties(text("trace"), uuid(bytes(16)))
SAID = "published over AMQP 1.0 with a value that AMQP 0-9-1 has no form for"


def send(places: Places, name: str, before: Sequence[bytes], behind: Sequence[bytes] = (b"behind",),
         properties: Properties = (("delivery_mode", 2),)) -> None:
    """Publish messages to a queue, and among them one that AMQP 0-9-1 has no form for."""
    if before:
        places.put("", name, before, properties)
    with Sender(places.broker.host, places.broker.port, f"/queues/{name}", places.broker.virtual_host) as sender:
        sender.send(DURABLE, TRACE, data(b"of no form"))
    if behind:
        places.put("", name, behind)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_lies_in_front_of_it_goes_home_once_and_no_run_repeats_that(places: Places, kind: str) -> None:
    dlq, work = make(places, kind), places.queue()
    send(places, dlq, numbered(30))
    for _ in range(2):
        with places.open().repair(queue(dlq), RepairPolicy(batch=32)) as repair:
            total = Receipts()
            with pytest.raises(Failed, match=SAID):
                put_back(repair, work, total)
        assert (total.unknown, total.refused) == (0, 0)
    assert places.taken(work) == numbered(30)
    assert count(places, dlq) == 2


def put_back(repair: Repair, work: str, total: Receipts) -> None:
    while True:
        batch = repair.read(0.2)
        if batch is not None:
            total.add(repair.settle(moves_home(batch.records(), queue(work))))


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_look_says_how_many_lie_in_front_of_it(places: Places, kind: str) -> None:
    dlq = make(places, kind)
    send(places, dlq, numbered(1))
    reader = places.open().look_letters(queue(dlq))
    with reader, pytest.raises(Failed, match=rf"behind the first letter of {dlq}.*{SAID}"):
        bodies_of(reader)
    assert count(places, dlq) == 3


def test_a_stream_is_read_up_to_it_and_its_offset_is_said(places: Places) -> None:
    stream = places.queue("stream")
    with Sender(places.broker.host, places.broker.port, f"/queues/{stream}", places.broker.virtual_host) as sender:
        for body, traced in ((b"0", ()), (b"1", ()), (b"2", (TRACE,)), (b"3", ())):
            sender.send(DURABLE, *traced, data(body))
    places.put("", stream, [b"4"])
    with places.open().look(Address(stream, "stream"), Span(Start(), End())) as reader:
        assert bodies_of(reader, 2) == [b"0", b"1"]
        with pytest.raises(Failed, match=rf"offset 2 of {stream}.*{SAID}") as said:
            bodies_of(reader)
    assert "--from 3" in (said.value.hint or "")
    with places.open().look(Address(stream, "stream"), Span(Number(3), End())) as reader:
        assert bodies_of(reader) == [b"3", b"4"]


def test_a_stream_that_ends_in_it_is_said_to(places: Places) -> None:
    stream = places.stream(numbered(1))
    send(places, stream, (), ())
    with pytest.raises(Failed, match=SAID):
        places.open().look(Address(stream, "stream"), Span(Start(), End()))


def test_of_what_passes_it_is_said_that_it_is_not_shown(places: Places) -> None:
    name, exchange = places.queue(), places.exchange()
    places.bind(name, exchange)
    with tap(places, exchange, "exchange") as reader:
        with Sender(places.broker.host, places.broker.port, f"/exchanges/{exchange}/a", places.broker.virtual_host) as sender:
            sender.send(DURABLE, TRACE, data(b"of no form"))
        assert eventually(lambda: reader.read(0) is None and [note for note in reader.notes if "which is not shown" in note and SAID in note])


def test_out_of_the_queue_that_keeps_letters_for_a_run_what_lies_in_front_of_it_is_put_back_once(places: Places) -> None:
    letters, over = places.queue(), make(places, "quorum")
    death = ("F", ((b"queue", ("S", letters.encode())), (b"reason", ("S", b"delivery_limit"))))
    send(places, over, numbered(20), (), properties=(("delivery_mode", 2), ("headers", [(b"x-death", ("A", (death,)))])))
    with closing(Link(places.connection)) as link:
        emptied = RescueQueue(link, over, letters, None).empty()
    assert emptied.back == 20
    assert SAID in emptied.kept[0]
    assert (places.taken(letters), count(places, over)) == (numbered(20), 1)


def test_where_it_failed_over_the_end_of_a_queue_the_queue_is_said_to_be_deleted(places: Places) -> None:
    name = places.queue("quorum")
    with closing(Link(places.connection)) as link:
        holding = Holding(link, name, 1, part=1)
        wait_until(lambda: holding._taking, SECONDS, "the consumer")
        holding.lost("the broker closed the connection: INTERNAL_ERROR (541)")
        places.delete_queue(name)
        with pytest.raises(NoSuch, match=f"The queue {name} was deleted meanwhile"):
            holding.take(SECONDS)
