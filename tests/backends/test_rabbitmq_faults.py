"""RabbitMQ out of memory, killed, cut off, deaf: what is said of each message stays true, and nothing hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.errors import Unreachable
from brokercli.model.position import End, Span, Start
from brokercli.model.receipt import Receipts, Verdict
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.rabbitmq_redrive import queue, redrive
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import wait_until
from tests.faults.proxy import Proxy

PATIENCE = 60.0
IN_VAIN = 4.0
"""For how long a broker with an alarm is waited for: first a channel is to be open, and the first message written."""
A_START = 150.0
"""A broker that starts while others work may take long."""


@pytest.fixture
def proxy(places: Places) -> Iterator[Proxy]:
    with Proxy((places.broker.host, places.broker.port)) as between:
        yield between


def through(proxy: Proxy, places: Places, **options: str) -> Connection:
    """The connection of the tests, with the proxy in between."""
    return replace(places.connection, hosts=((proxy.address[0], proxy.port),), management=places.broker.management, options=options)


def publish_until(publisher: Publisher, stop: Callable[[Receipts], bool], seconds: float = PATIENCE) -> tuple[int, Receipts]:
    """Publish numbered bodies until `stop` says so; return how many were accepted, and what came of them."""
    receipts, accepted = Receipts(), 0
    deadline = time.monotonic() + seconds
    while not stop(receipts):
        accepted += publisher.send_bodies([b"%d" % number for number in range(accepted, accepted + 200)])
        receipts.add(publisher.collect(0.05))
        assert time.monotonic() < deadline, f"{accepted} accepted, {receipts.confirmed} confirmed, and it goes on"
    receipts.add(publisher.finish(PATIENCE))
    assert len(receipts) == accepted
    return accepted, receipts


def check_against(stored: list[bytes], accepted: int, receipts: Receipts) -> None:
    """Everything confirmed is stored, nothing refused is, nothing is stored that was not sent, and nothing twice."""
    numbers = [int(body) for body in stored]
    doubtful = {problem.index for problem in receipts.problems if problem.verdict is Verdict.UNKNOWN}
    refused = {problem.index for problem in receipts.problems if problem.verdict is Verdict.REFUSED}
    assert len(numbers) == len(set(numbers))
    assert set(range(accepted)) - doubtful - refused <= set(numbers) <= set(range(accepted)) - refused


def repeat(step: Callable[[], object]) -> None:
    """Do it until it raises."""
    while True:
        step()


@pytest.fixture
def own(private_rabbitmq: RabbitMQ) -> Iterator[Places]:
    """Places on a broker that may be killed."""
    made = Places(private_rabbitmq.address, private_rabbitmq.management)
    yield made
    with made.broker.wire._socket:
        pass


def test_a_memory_alarm_is_waited_for_and_said(private_rabbitmq: RabbitMQ, own: Places) -> None:
    queue = own.queue()
    private_rabbitmq.alarm(on=True)
    try:
        with RabbitMQBackend(own.connection) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
            publisher.send_bodies([b"%d" % number for number in range(100)])
            wait_until(lambda: publisher.notes, PATIENCE, "word of the alarm")
            assert "blocked by the broker" in publisher.notes[0]
            assert "memory" in publisher.notes[0]
            assert len(publisher.collect(0)) == 0
            private_rabbitmq.alarm(on=False)
            assert publisher.finish(PATIENCE).confirmed == 100
        assert own.taken(queue) == [b"%d" % number for number in range(100)]
    finally:
        private_rabbitmq.alarm(on=False)


def test_an_alarm_that_outlasts_the_delivery_timeout_leaves_in_doubt_only_what_was_written(private_rabbitmq: RabbitMQ, own: Places) -> None:
    queue = own.queue()
    private_rabbitmq.alarm(on=True)
    try:
        backend = RabbitMQBackend(own.connection)
        publisher = backend.publisher(Address(queue, "queue"), PublishPolicy(delivery_timeout=IN_VAIN))
        publisher.send_bodies([b"%d" % number for number in range(100)])
        receipts = publisher.finish(PATIENCE)
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 99, 1)
        assert all("blocked by the broker" in problem.reason for problem in receipts.problems)
        began = time.monotonic()
        publisher.close()
        backend.close()
        # a broker that reads nothing hears no goodbye either
        assert time.monotonic() - began < PATIENCE
    finally:
        private_rabbitmq.alarm(on=False)
    # the connection was dropped with the first message unread, or read: both are in doubt
    assert own.taken(queue) in ([], [b"0"])


def test_many_publishers_to_a_broker_that_hears_nothing_are_closed_as_soon_as_one(private_rabbitmq: RabbitMQ, own: Places) -> None:
    backend = RabbitMQBackend(own.connection)
    publishers = [backend.publisher(Address(own.queue(), "queue"), PublishPolicy()) for _ in range(8)]
    private_rabbitmq.pause()
    try:
        began = time.monotonic()
        for publisher in publishers:
            publisher.close()
        backend.close()
        # each waits for a second
        assert time.monotonic() - began < 4
    finally:
        private_rabbitmq.resume()


def test_letters_that_a_memory_alarm_keeps_from_going_home_are_explained(private_rabbitmq: RabbitMQ, own: Places) -> None:
    dlq, home = own.queue(), own.queue()
    own.put("", dlq, [b"letter"])
    private_rabbitmq.alarm(on=True)
    try:
        with RabbitMQBackend(own.connection) as backend, backend.repair(queue(dlq), RepairPolicy(delivery_timeout=IN_VAIN)) as repair:
            assert redrive(repair, queue(home)).confirmed == 0
            assert "blocked by the broker" in repair.notes[0]
            assert "memory" in repair.notes[0]
    finally:
        private_rabbitmq.alarm(on=False)
    # one copy may have been read before the alarm was heard of
    assert own.taken(home) in ([], [b"letter"])
    assert own.taken(dlq) == [b"letter"]


def test_an_alarm_that_never_ends_ends_the_run_over_letters_instead_of_every_window_one_by_one(private_rabbitmq: RabbitMQ, own: Places) -> None:
    dlq, home = own.queue(), own.queue()
    own.put("", dlq, [b"%d" % number for number in range(100)])
    private_rabbitmq.alarm(on=True)
    try:
        with (RabbitMQBackend(own.connection) as backend, backend.repair(queue(dlq), RepairPolicy(delivery_timeout=IN_VAIN, batch=4)) as repair,
              pytest.raises(Unreachable, match="blocked by the broker: low on memory")):
            redrive(repair, queue(home))
    finally:
        private_rabbitmq.alarm(on=False)
    assert len(own.taken(home)) <= 1
    assert sorted(own.taken(dlq), key=int) == [b"%d" % number for number in range(100)]


def test_an_alarm_that_never_ends_ends_the_run_instead_of_every_window_one_by_one(private_rabbitmq: RabbitMQ, own: Places) -> None:
    queue = own.queue()
    private_rabbitmq.alarm(on=True)
    try:
        with RabbitMQBackend(own.connection) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy(delivery_timeout=IN_VAIN)) as publisher:
            receipts = Receipts()
            publisher.send_bodies([b"x"] * 10)
            with pytest.raises(Unreachable) as lost:
                repeat(lambda: receipts.add(publisher.collect(PATIENCE)))
            assert "blocked by the broker" in str(lost.value)
            assert publisher.send_bodies([b"y"]) == 0
            receipts.add(publisher.finish(0))
            assert (receipts.confirmed, len(receipts)) == (0, 10)
    finally:
        private_rabbitmq.alarm(on=False)


@pytest.mark.timeout(2 * A_START)
def test_a_broker_that_is_killed_and_comes_back_loses_nothing_that_was_confirmed(private_rabbitmq: RabbitMQ, own: Places) -> None:
    # a classic one: 4.3.6 killed within a second of declaring a quorum queue begins it anew, and what it had confirmed is gone
    queue = own.queue("classic")
    restart = threading.Thread(target=lambda: (private_rabbitmq.kill(), private_rabbitmq.start()))
    goal: list[int] = []

    def stop(receipts: Receipts) -> bool:
        if receipts.confirmed > 3000 and restart.ident is None:
            restart.start()
        if restart.ident is not None and not restart.is_alive() and not goal:
            goal.append(receipts.confirmed + 1000)
        return bool(goal) and receipts.confirmed > goal[0]

    patient = replace(own.connection, options={"give_up_after": f"{A_START:g}"})
    with RabbitMQBackend(patient) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy(delivery_timeout=A_START)) as publisher:
        accepted, receipts = publish_until(publisher, stop, A_START)
    assert receipts.refused == 0
    again = Places(private_rabbitmq.address, private_rabbitmq.management)
    check_against(again.taken(queue), accepted, receipts)
    again.close()


def test_confirms_that_are_lost_leave_messages_in_doubt_and_never_confirmed(places: Places, proxy: Proxy) -> None:
    queue = places.queue()
    with RabbitMQBackend(through(proxy, places)) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy(delivery_timeout=5)) as publisher:
        assert publisher.send_bodies([b"first"]) == 1
        assert publisher.finish(PATIENCE).confirmed == 1
        proxy.lose_answers()
        publisher.send_bodies([b"second"])
        receipts = publisher.finish(PATIENCE)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 0, 1)
    # which is as it should be: it was stored
    assert places.taken(queue) == [b"first", b"second"]


def test_a_connection_that_breaks_is_made_again_and_only_what_was_in_flight_is_in_doubt(places: Places, proxy: Proxy) -> None:
    queue = places.queue()
    with RabbitMQBackend(through(proxy, places)) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        breaks = [500, 2500]

        def stop(receipts: Receipts) -> bool:
            if breaks and receipts.confirmed > breaks[0]:
                breaks.pop(0)
                proxy.reset()
            return not breaks and receipts.confirmed > 5000

        accepted, receipts = publish_until(publisher, stop)
    assert receipts.refused == 0
    assert proxy.accepted >= 3
    check_against(places.taken(queue), accepted, receipts)


def test_a_channel_that_comes_back_under_another_number_goes_on(places: Places, proxy: Proxy) -> None:
    queue = places.queue()
    with RabbitMQBackend(through(proxy, places)) as backend:
        taken = threading.Event()
        # the first number is taken now, and will be free when the connection is made again
        backend._link.post(lambda: backend._link.open_channel(None, (), lambda channel, answers: taken.set(), lambda problem: None))
        assert taken.wait(PATIENCE)
        with backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
            publisher.send_bodies([b"before"])
            assert publisher.finish(PATIENCE).confirmed == 1
            proxy.reset()
            wait_until(lambda: proxy.accepted == 2, PATIENCE, "another connection")
            publisher.send_bodies([b"after", b"after"])
            assert publisher.finish(PATIENCE).confirmed == 2
    assert places.taken(queue) == [b"before", b"after", b"after"]


def test_a_broker_that_stays_away_is_given_up_and_what_never_left_is_refused(places: Places, proxy: Proxy) -> None:
    queue = places.queue()
    with RabbitMQBackend(through(proxy, places, give_up_after="3")) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        assert publisher.send_bodies([b"before"]) == 1
        assert publisher.finish(PATIENCE).confirmed == 1
        proxy.refuse()
        proxy.reset()
        wait_until(lambda: proxy.connections == 0, PATIENCE, "the end of the connection")
        receipts = Receipts()
        publisher.send_bodies([b"1", b"2"])
        with pytest.raises(Unreachable) as lost:
            repeat(lambda: receipts.add(publisher.collect(PATIENCE)))
        receipts.add(publisher.finish(0))
        assert "away" in str(lost.value)
        assert (receipts.confirmed, len(receipts)) == (0, 2)
    assert places.taken(queue) == [b"before"]


def test_a_stream_is_read_on_without_gap_or_repeat_when_the_connection_breaks(places: Places, proxy: Proxy) -> None:
    bodies = [b"%d" % number for number in range(30_000)]
    stream = places.stream(bodies)
    with RabbitMQBackend(through(proxy, places)) as backend, backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
        found: list[bytes] = []
        broken = 0
        while not reader.finished:
            batch = reader.read(1)
            found += batch.bodies() if batch is not None else []
            if len(found) > 5000 * broken and broken < 3:
                broken += 1
                proxy.reset()
    assert found == bodies


def test_a_reader_that_stalls_keeps_its_connection_and_misses_nothing(places: Places, proxy: Proxy) -> None:
    bodies = [b"%d" % number + b"x" * 2000 for number in range(20_000)]
    stream = places.stream(bodies)
    # 40 MB: more than is held for a reader that does not read
    with RabbitMQBackend(through(proxy, places, heartbeat="2")) as backend, backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
        first = reader.read(PATIENCE)
        assert first is not None
        said = proxy.passed("to broker")
        # eight bytes a heartbeat, one a second: RabbitMQ hangs up on a client that is silent for four seconds
        wait_until(lambda: proxy.passed("to broker") >= said + 8 * 12, PATIENCE, "twelve heartbeats")
        assert first.bodies() + bodies_of(reader) == bodies
        assert proxy.accepted == 1


def test_a_publisher_that_is_not_asked_for_long_keeps_its_connection(places: Places, proxy: Proxy) -> None:
    queue = places.queue()
    with RabbitMQBackend(through(proxy, places, heartbeat="2")) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        publisher.send_bodies([b"before"])
        said = proxy.passed("to broker")
        wait_until(lambda: proxy.passed("to broker") >= said + 8 * 8, PATIENCE, "eight heartbeats")
        publisher.send_bodies([b"after"])
        assert publisher.finish(PATIENCE).confirmed == 2
        assert proxy.accepted == 1


def test_a_look_at_a_broker_that_stays_away_ends_with_the_reason(places: Places, proxy: Proxy) -> None:
    stream = places.stream([b"1", b"2"])
    with RabbitMQBackend(through(proxy, places, give_up_after="1")) as backend, backend.look(Address(stream, "stream"), Span(Start(), None)) as reader:
        assert bodies_of(reader, 2) == [b"1", b"2"]
        proxy.refuse()
        proxy.reset()
        with pytest.raises(Unreachable) as lost:
            repeat(lambda: reader.read(PATIENCE))
        assert "away" in str(lost.value)


def test_whoever_asks_after_the_broker_was_given_up_is_told_why(places: Places, proxy: Proxy) -> None:
    link = Link(through(proxy, places, give_up_after="0.1"))
    try:
        proxy.refuse()
        proxy.reset()
        wait_until(lambda: link.failure is not None, PATIENCE, "the end of patience")
        link._thread.join(0.5)  # it must not end
        with pytest.raises(Unreachable, match="has been away"):
            link.ask("asking", lambda channel, answered: channel.queue_declare("any", passive=True, callback=answered), timeout=PATIENCE)
    finally:
        link.close()
    link._thread.join(PATIENCE)
    assert not link._thread.is_alive()
