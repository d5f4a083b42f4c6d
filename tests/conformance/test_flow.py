"""The graph of where messages go: what is asked for is in it, what it says exists, and drawing it changes nothing."""

from __future__ import annotations

import pytest

from brokercli.model.address import parse_address
from brokercli.model.capability import Capability
from tests.brokers.server import wait_until
from tests.conformance.driving import PATIENCE
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs


@needs(Capability.FLOW)
def test_the_graph_holds_what_was_asked_for_and_every_end_of_every_edge(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend:
        address = backend.resolve(resource.address, "describe")
        flow = backend.flow(address)
        assert flow.start in flow.nodes
        assert parse_address(flow.start).name == resource.address.name
        for id, node in flow.nodes.items():
            assert node.id == id
            assert node.kind
            if not id.startswith("consumer "):
                parse_address(id)
        for edge in flow.edges:
            assert {edge.source, edge.target} <= set(flow.nodes)
        assert len(flow.edges) == len(set(flow.edges))


@needs(Capability.FLOW, Capability.CONSUMERS)
def test_who_consumes_it_is_in_the_graph(broker: Broker, resource: Resource) -> None:
    resource.put([b"one"])
    resource.finish(1)
    with resource.attend(), broker.open() as backend:
        address = backend.resolve(resource.address, "describe")

        def drawn() -> bool:
            flow = backend.flow(address)
            takers = {edge.target for edge in flow.edges} & {id for id in flow.nodes if id.startswith("consumer ")}
            return bool(takers)

        wait_until(drawn, PATIENCE, "the consumer in the graph")


@needs(Capability.FLOW)
def test_drawing_it_changes_nothing(broker: Broker, resource: Resource) -> None:
    before = resource.state()
    with broker.open() as backend:
        backend.flow(backend.resolve(resource.address, "describe"))
    assert resource.state() == before
