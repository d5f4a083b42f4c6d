"""A quorum queue whose leader is gone: RabbitMQ counts nothing in it, at once and whatever there is, and nobody may take that for empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.model.address import Address
from brokercli.model.declaration import Action, Declaration
from brokercli.model.errors import Failed
from tests.backends.rabbitmq_declared import actions, only
from tests.backends.rabbitmq_places import SECONDS, Places
from tests.backends.rabbitmq_redrive import numbered
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import wait_until


@pytest.fixture
def own(private_rabbitmq: RabbitMQ) -> Iterator[Places]:
    made = Places(private_rabbitmq.address, private_rabbitmq.management)
    yield made
    made.close()


@pytest.fixture
def gone(private_rabbitmq: RabbitMQ) -> Iterator[Callable[[str], None]]:
    """Have the leader of a queue be gone, as it is with its node, until the test is over."""
    names: list[str] = []

    def stop(name: str) -> None:
        private_rabbitmq.evaluate(f"ra:stop_server(quorum_queues, {{'%2F_{name}', node()}}).")
        names.append(name)

    yield stop
    for name in names:
        private_rabbitmq.evaluate(f"ra:restart_server(quorum_queues, {{'%2F_{name}', node()}}).")


def test_what_would_be_lost_with_it_is_not_known_and_it_is_not_deleted(own: Places, gone: Callable[[str], None]) -> None:
    name = own.queue("quorum", name="gone")
    declarer = own.open().declarer()
    empty = only(declarer.plan_removal([Declaration("queue", name)]))
    own.put("", name, numbered(3))
    gone(name)
    assert own.wire.declare_queue(name, passive=True) == (0, 0)
    for change in (empty, only(declarer.plan_removal([Declaration("queue", name)]))):
        with pytest.raises(Failed, match="does not answer, so whether anything is in it is not known"):
            declarer.apply(change)
    assert change.remarks == ("its leader does not answer: what would be lost with it is not known",)


def test_it_is_among_the_dead_letters_and_how_many_is_not_known(own: Places, gone: Callable[[str], None]) -> None:
    dlq = own.queue("quorum", name="gone.dlq")
    own.put("", dlq, numbered(3))
    gone(dlq)
    (source,) = [source for source in own.open().dead_letter_sources() if source.address.name == dlq]
    assert (source.pending, source.remarks) == (None, ("the node that answers for it is away: how many there are is not known",))


def test_it_is_exported_and_plans_to_no_changes(own: Places, gone: Callable[[str], None]) -> None:
    name = own.queue("quorum", name="gone.work")
    gone(name)
    declarer = own.open().declarer()
    found = [one for one in declarer.declared(["queue"]) if one.name == name]
    assert found == [Declaration("queue", name, {"type": "quorum"})]
    assert actions(declarer.plan(found)) == [(f"queue {name}", Action.UNCHANGED)]


def test_its_letters_are_neither_looked_at_nor_taken_as_if_there_were_none(own: Places, gone: Callable[[str], None]) -> None:
    dlq = own.queue("quorum", name="gone.letters", x_delivery_limit=("l", -1))
    own.put("", dlq, numbered(3))
    gone(dlq)
    address = Address(dlq, "queue")
    backend = own.open()
    with pytest.raises(Failed, match=r"The node that answers for gone\.letters is away"):
        backend.look_letters(address)
    with pytest.raises(Failed, match=r"The node that answers for gone\.letters is away"):
        backend.repair(address, RepairPolicy())
    lift = backend.lift_limit(address)
    assert lift.before == ""
    lift.close()
    assert own.api("policies/%2F") == []


def test_how_far_its_consumers_are_behind_is_not_known(own: Places, gone: Callable[[str], None]) -> None:
    name = own.queue("quorum", name="gone.behind")
    own.put("", name, numbered(3))
    consumers = own.open().consumers()
    wait_until(lambda: [lag.lag for lag in consumers.lag(name)] == [3], SECONDS, "what lies in it counted")
    gone(name)
    assert [lag.lag for lag in consumers.lag(name)] == [None]
    assert consumers.describe(name).facts["messages ready"] is None
