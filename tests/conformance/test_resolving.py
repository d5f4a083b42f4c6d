"""A name is resolved to what it is, or refused: nothing is guessed, and asking creates nothing."""

from __future__ import annotations

import pytest

from brokercli.model.address import KINDS, Address
from brokercli.model.capability import Capability
from brokercli.model.errors import NotFound, UsageProblem
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs


@needs()
def test_a_resource_resolves_to_itself_and_to_its_row_of_the_table(broker: Broker, resource: Resource, row: str) -> None:
    with broker.open() as backend:
        resolved = backend.resolve(resource.address, "describe")
        assert resolved == resource.address
        assert backend.resource(resolved) == row


@needs(where=lambda broker, row: row != "exchange")
def test_a_bare_name_that_can_be_one_thing_only_needs_no_kind(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend:
        assert backend.resolve(Address(resource.address.name), "describe").kind == resource.address.kind


def test_a_kind_that_this_broker_does_not_have_is_a_mistake(broker: Broker) -> None:
    with broker.open() as backend:
        for kind in set(KINDS) - set(broker.descriptor.kinds):
            with pytest.raises(UsageProblem) as refusal:
                backend.resolve(Address("orders", kind), "look")
            assert kind in str(refusal.value)


@needs(Capability.DESCRIBE, where=lambda broker, row: row != "subject")
def test_what_does_not_exist_is_not_found_and_not_created_by_asking(broker: Broker, row: str) -> None:
    missing = broker.missing(row)
    with broker.open() as backend:
        for purpose in ("look", "describe"):
            with pytest.raises(NotFound) as refusal:
                backend.resolve(missing, purpose)
            assert missing.name in str(refusal.value)
        assert missing.name not in [listing.name for listing in backend.list()]
