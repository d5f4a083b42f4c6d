"""A verdict that did not come is *unknown*, and nothing else: neither confirmed nor refused.

The network loses the broker's answers, holds them back, or cuts the connection; whatever was sent then may be stored. What
is called confirmed is stored, every message has exactly one verdict, and when the network is whole again publishing goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.model.capability import Capability
from brokercli.model.declaration import Action
from brokercli.model.errors import BrokercliError, Unreachable
from brokercli.model.receipt import Receipts, Verdict
from tests.conformance.declarables import DECLARABLES
from tests.conformance.driving import PATIENCE
from tests.faults.proxy import Proxy
from tests.native.harness import Broker, Resource

DELIVERY = 5.0
"""Seconds; what is published before the fault has to be confirmed within them, however busy the machine is."""


@pytest.fixture(scope="session")
def proxies(request: pytest.FixtureRequest) -> Iterator[Callable[[Broker], tuple[Broker, Proxy]]]:
    """Put a proxy in front of a broker, once for all these tests: Kafka needs a server of its own for it."""
    made: dict[str, tuple[Broker, Proxy]] = {}
    with ExitStack() as opened:

        def reach(broker: Broker) -> tuple[Broker, Proxy]:
            if broker.name not in made:
                proxy = opened.enter_context(Proxy((broker.host, broker.port)))
                made[broker.name] = broker.behind(proxy, request.getfixturevalue), proxy
            return made[broker.name]

        yield reach


@pytest.fixture
def reached(broker: Broker, proxies: Callable[[Broker], tuple[Broker, Proxy]]) -> Iterator[Broker]:
    """The broker, reached through the proxy."""
    through, way = proxies(broker)
    yield through
    way.heal()
    through.clean()


@pytest.fixture
def proxy(broker: Broker, proxies: Callable[[Broker], tuple[Broker, Proxy]]) -> Proxy:
    """The proxy in front of it, without faults when a test starts."""
    return proxies(broker)[1]


@pytest.fixture
def target(reached: Broker, broker: Broker) -> Resource:
    """Somewhere to publish to."""
    row = next(row for row, answers in broker.descriptor.support.items() if answers[Capability.PUBLISH])
    return reached.make(row)


def cut_and_heal(proxy: Proxy) -> None:
    """Reset every connection and let new ones pass."""
    proxy.reset()
    proxy.heal()


def send(publisher: Publisher, bodies: list[bytes]) -> Receipts:
    """Publish with the window of the publisher; return the verdicts that came meanwhile."""
    receipts = Receipts()
    deadline = time.monotonic() + PATIENCE
    while bodies:
        bodies = bodies[publisher.send_bodies(bodies):]
        receipts.add(publisher.collect(0.05 if bodies else 0))
        assert time.monotonic() < deadline
    return receipts


def settle(publisher: Publisher, receipts: Receipts, seconds: float) -> None:
    """Wait for the verdicts as `operations` do: collect, and finish whatever collect raises."""
    deadline = time.monotonic() + seconds
    try:
        while publisher.in_flight and time.monotonic() < deadline:
            receipts.add(publisher.collect(0.1))
    except BrokercliError:
        pass
    receipts.add(publisher.finish(0))


def test_messages_whose_confirmation_is_lost_are_unknown(reached: Broker, target: Resource, proxy: Proxy) -> None:
    with reached.open() as backend, backend.publisher(target.destination, PublishPolicy(delivery_timeout=DELIVERY, bodies_only=True)) as publisher:
        receipts = send(publisher, [b"before %d" % number for number in range(10)])
        receipts.add(publisher.finish(PATIENCE))
        assert (receipts.confirmed, len(receipts)) == (10, 10)
        proxy.lose_answers()
        doubtful = send(publisher, [b"doubtful %d" % number for number in range(10)])
        settle(publisher, doubtful, DELIVERY + 2)
    assert (doubtful.confirmed, len(doubtful)) == (0, 10)
    assert doubtful.unknown > 0
    assert sorted(problem.index for problem in doubtful.problems) == list(range(10, 20))
    assert all(problem.reason for problem in doubtful.problems)
    # where one request waits for the answer to the one before, some may have been kept back behind those whose answer was lost
    kept_back = {b"doubtful %d" % (problem.index - 10) for problem in doubtful.problems if problem.verdict is Verdict.REFUSED}
    if kept_back:
        proxy.heal()
        assert not kept_back & {one.body for one in target.stored(10)}


def test_a_silent_network_makes_what_was_sent_unknown_and_never_confirmed(reached: Broker, target: Resource, proxy: Proxy) -> None:
    with reached.open() as backend, backend.publisher(target.destination, PublishPolicy(delivery_timeout=DELIVERY, bodies_only=True)) as publisher:
        receipts = send(publisher, [b"before"])
        receipts.add(publisher.finish(PATIENCE))
        proxy.hold()
        silent = send(publisher, [b"silent %d" % number for number in range(5)])
        settle(publisher, silent, DELIVERY + 2)
    assert silent.confirmed == 0
    assert len(silent) == silent.unknown + silent.refused == 5


def test_a_connection_that_is_cut_loses_nothing_that_was_confirmed(reached: Broker, target: Resource, proxy: Proxy) -> None:
    bodies = [b"%d" % number for number in range(2000)]
    receipts = Receipts()
    with reached.open() as backend, backend.publisher(target.destination, PublishPolicy(maximum_in_flight=100, bodies_only=True)) as publisher:
        left = bodies
        deadline = time.monotonic() + PATIENCE
        cut = False
        try:
            while left:
                left = left[publisher.send_bodies(left):]
                receipts.add(publisher.collect(0.05))
                if not cut and receipts.confirmed >= 500:
                    proxy.reset()
                    cut = True
                assert time.monotonic() < deadline
        except BrokercliError:
            bodies = bodies[:len(bodies) - len(left)]
        settle(publisher, receipts, PATIENCE)
    assert cut
    assert len(receipts) == receipts.confirmed + receipts.refused + receipts.unknown == len(bodies)
    doubtful = {problem.index for problem in receipts.problems if not problem.duplicate}
    stored = [one.body for one in target.stored(receipts.confirmed)]
    assert {body for number, body in enumerate(bodies) if number not in doubtful} <= set(stored)
    assert set(stored) <= set(bodies)
    # what is there twice was in doubt, or the broker said so
    twice = {body for body in set(stored) if stored.count(body) > 1}
    assert twice <= {body for number, body in enumerate(bodies) if number in doubtful}


def test_a_connection_that_is_cut_in_the_middle_of_a_message_goes_on_with_whole_messages(reached: Broker, target: Resource, proxy: Proxy) -> None:
    bodies = [b"%d " % number + b"x" * 300_000 for number in range(40)]
    with reached.open() as backend, backend.publisher(target.destination, PublishPolicy(delivery_timeout=PATIENCE, bodies_only=True)) as publisher:
        receipts = send(publisher, [b"before"])
        receipts.add(publisher.finish(PATIENCE))
        proxy.hold()
        # the buffers on the way are full by then, and the rest of some message is still to be written
        cut = threading.Timer(1.0, cut_and_heal, [proxy])
        cut.start()
        sent = 0
        deadline = time.monotonic() + PATIENCE
        try:
            while sent < len(bodies) and time.monotonic() < deadline:
                sent += publisher.send_bodies(bodies[sent:])
                receipts.add(publisher.collect(0.05))
            cut.join()
            settle(publisher, receipts, PATIENCE)
        except BrokercliError:
            cut.join()
            settle(publisher, receipts, PATIENCE)
    assert len(receipts) == receipts.confirmed + receipts.refused + receipts.unknown == 1 + sent
    doubtful = {problem.index for problem in receipts.problems if not problem.duplicate}
    stored = [one.body for one in target.stored(receipts.confirmed)]
    assert {body for number, body in enumerate([b"before", *bodies[:sent]]) if number not in doubtful} <= set(stored)
    assert set(stored) <= {b"before", *bodies}


@pytest.mark.parametrize("fault", ["before the broker hears it", "before its answer is heard"])
def test_a_declaration_whose_verdict_did_not_come_is_unknown_and_neither_made_nor_refused(reached: Broker, proxy: Proxy, unique: Callable[[str], str],
                                                                                         fault: str) -> None:
    example = next(example for (name, _), example in DECLARABLES.items() if name == reached.name)
    wanted = example.made(unique("doubt"))
    with reached.open() as backend:
        declarer = backend.declarer()
        (change,) = declarer.plan([wanted])
        assert change.action is Action.CREATE
        proxy.cut_after(1, "to broker" if fault.startswith("before the broker") else "to client")
        try:
            declarer.apply(change)
        except Unreachable:
            known = None
        else:
            known = Action.UNCHANGED
    proxy.heal()
    with reached.open() as backend:
        declarer = backend.declarer()
        (now,) = declarer.plan([wanted])
        assert now.action in ({known} if known else {Action.CREATE, Action.UNCHANGED})
        for removal in declarer.plan_removal([wanted]):
            declarer.apply(removal)


def test_whoever_got_no_answer_about_a_destination_is_told_whether_the_broker_gives_one(reached: Broker, proxy: Proxy) -> None:
    with reached.open() as backend:
        backend.require_answer()
        proxy.lose_answers()
        with pytest.raises(Unreachable):
            backend.require_answer()
