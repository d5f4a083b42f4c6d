"""The type of a queue that is declared as RabbitMQ has it, among its arguments."""

from __future__ import annotations

import pytest

from brokercli.backends.rabbitmq.policies import our_name
from brokercli.model.connection import Connection
from brokercli.model.declaration import Action, Declaration, RetrySpecification, Topology
from brokercli.model.errors import UsageProblem
from brokercli.operations.declaring import plan_topology
from tests.backends.rabbitmq_declared import Declared, only
from tests.backends.rabbitmq_places import Places
from tests.backends.test_rabbitmq_declaring import differences, queue


@pytest.fixture(params=["management", "AMQP alone"])
def connection(request: pytest.FixtureRequest, places: Places) -> Connection:
    return places.connection if request.param == "management" else places.without_management


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_a_type_among_the_arguments_is_the_type_it_is_made_with_and_its_settings_hold(declared: Declared, connection: Connection, kind: str) -> None:
    wanted = queue(declared.name("q"), arguments={"x-queue-type": kind}, max_length_bytes=1_000_000)
    made = only(declared.apply(wanted, connection=connection))
    assert "default of this virtual host" not in " ".join(made.remarks)
    (found,) = [one for one in declared.declarer().declared() if one.name == wanted.name]
    assert (found.settings.get("type", found.kind), found.settings["max-length-bytes"]) == (kind, 1_000_000)
    assert only(declared.declarer(connection).plan([wanted])).action is Action.UNCHANGED
    other = queue(wanted.name, arguments={"x-queue-type": "quorum" if kind == "classic" else "classic"})
    assert list(differences(only(declared.declarer(connection).plan([other])))) == ["type"]


def test_a_policy_for_it_applies_to_that_type(declared: Declared) -> None:
    name = declared.name("q")
    declared.apply(queue(name, arguments={"x-queue-type": "quorum"}, dead_letter_exchange="amq.fanout"))
    assert declared.policies()[our_name("queue", name)]["apply-to"] == "quorum_queues"


@pytest.mark.parametrize("declaration", [queue("q", type="classic", arguments={"x-queue-type": "quorum"}),
                                         Declaration("stream", "q", {"arguments": {"x-queue-type": "quorum"}})])
def test_two_types_are_refused(declared: Declared, declaration: Declaration) -> None:
    with pytest.raises(UsageProblem, match="x-queue-type"):
        declared.declarer().plan([declaration])


def test_retries_of_a_queue_that_is_declared_so_are_those_of_its_type(declared: Declared) -> None:
    source = declared.name("q")
    topology = Topology((queue(source, arguments={"x-queue-type": "quorum"}),), (RetrySpecification(source, (5_000_000_000,), 2),))
    plan = plan_topology(declared.declarer(), topology)
    (work,) = [change for change in plan.changes if change.declaration.name == source]
    assert work.declaration.settings["dead-letter-strategy"] == "at-least-once"
    assert not [sentence for sentence in plan.worker if "classic" in sentence]
