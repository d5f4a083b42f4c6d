"""What a backend implements has the signatures of the contract: the same names, the same order, the same defaults."""

from __future__ import annotations

import inspect

import pytest

from brokercli.backends.contract import Backend, Batch, Publisher, PublishPolicy, Reader
from brokercli.model.capability import Capability
from brokercli.model.position import End, Span, Start
from tests.conformance.driving import read_batches
from tests.native.harness import Broker, Resource


def differences(contract: type, implementation: type) -> list[str]:
    """Say what is not as in the contract."""
    found = []
    for name, promised in inspect.getmembers(contract, inspect.isfunction):
        given = getattr(implementation, name)
        if (name.startswith("_") and name != "__init__") or (name == "__init__" and contract is not Backend):
            continue
        want = [(one.name, one.kind, one.default) for one in inspect.signature(promised).parameters.values()]
        have = [(one.name, one.kind, one.default) for one in inspect.signature(given).parameters.values()]
        if want != have[:len(want)] or any(one[2] is inspect.Parameter.empty for one in have[len(want):]):
            found.append(f"{implementation.__name__}.{name}{inspect.signature(given)} where the contract has {inspect.signature(promised)}")
    return found


@pytest.mark.needs(Capability.PUBLISH, Capability.LOOK_STORED)
def test_a_backend_its_publisher_reader_and_batch_have_the_signatures_of_the_contract(broker: Broker, resource: Resource) -> None:
    resource.put([b"one"])
    everything = Span(Start(), End())
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher, backend.look(resource.address, everything) as reader:
        batch = read_batches(reader)[0]
    pairs: list[tuple[type, object]] = [(Backend, backend), (Publisher, publisher), (Reader, reader), (Batch, batch), (Batch, batch.select([0]))]
    assert all(isinstance(given, contract) for contract, given in pairs)
    assert [line for contract, given in pairs for line in differences(contract, type(given))] == []
