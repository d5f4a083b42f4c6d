"""Looking leaves the broker as it was found, however it ends: read to the end, given up half way, never read at all.

As it was found means what the broker's own client sees: what is stored, and whether it was ever delivered; groups,
consumers, bindings and queues. And in this process: no thread and no open file remains of a closed connection.
"""

from __future__ import annotations

import pytest

from brokercli.model.capability import Capability
from brokercli.model.position import End, Span, Start
from tests.brokers.server import wait_until
from tests.conformance.driving import PATIENCE, read
from tests.conformance.left_behind import check_nothing_is_left
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs


@needs(Capability.LOOK_STORED)
@pytest.mark.parametrize("how", ["to its end", "half", "not at all", "following"])
def test_a_look_at_what_is_stored_changes_nothing(broker: Broker, resource: Resource, how: str) -> None:
    resource.put([b"%d" % number for number in range(50)])
    before = resource.state()
    with broker.open() as backend:
        reader = backend.look(resource.address, Span(Start(), None if how == "following" else End()))
        if how == "to its end":
            assert len(read(reader)) == 50
        elif how != "not at all":
            assert reader.read(PATIENCE)
        reader.close()
        reader.close()
    wait_until(lambda: resource.state() == before, PATIENCE, f"the state from before, {before}")
    stored = resource.stored(50)
    assert [(one.body, one.redelivered) for one in stored] == [(b"%d" % number, False) for number in range(50)]


@needs(Capability.LOOK_NEW)
@pytest.mark.parametrize("reads", [True, False])
def test_a_live_look_changes_nothing(broker: Broker, resource: Resource, reads: bool) -> None:
    before = resource.state()
    with broker.open() as backend:
        reader = backend.look(resource.address, Span(End(), None))
        if reads:
            assert reader.read(0.05) is None
        reader.close()
        reader.close()
    wait_until(lambda: resource.state() == before, PATIENCE, f"the state from before, {before}")


@needs(Capability.LOOK_NEW)
def test_messages_seen_live_are_still_there_for_those_they_were_meant_for(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.look(resource.address, Span(End(), None)) as reader:
        resource.put([b"a", b"b"])
        assert len(read(reader, at_least=2)) == 2
    assert [(one.body, one.redelivered) for one in resource.stored(2)] == [(b"a", False), (b"b", False)]


@needs(Capability.LOOK_NEW)
def test_a_connection_closed_under_a_look_takes_the_look_with_it(broker: Broker, resource: Resource) -> None:
    before = resource.state()
    backend = broker.open()
    reader = backend.look(resource.address, Span(End(), None))
    backend.close()
    reader.close()
    backend.close()
    wait_until(lambda: resource.state() == before, PATIENCE, f"the state from before, {before}")


def test_nothing_of_a_closed_connection_remains_in_this_process(broker: Broker) -> None:
    row = next(row for row, answers in broker.descriptor.support.items() if answers[Capability.PUBLISH] and answers[Capability.LOOK_NEW])
    resource = broker.make(row)
    check_nothing_is_left(broker.connection, (resource.destination, resource.address))
