"""`list` names what there is, each thing with its kind and its row of the table; `describe` explains one of them."""

from __future__ import annotations

import pytest

from brokercli.model.capability import Capability
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs


@needs(Capability.LIST, where=lambda broker, row: row != "subject")
def test_a_resource_is_listed_once_with_its_kind_and_its_row(broker: Broker, resource: Resource, row: str) -> None:
    with broker.open() as backend:
        found = [listing for listing in backend.list() if listing.name == resource.address.name]
    assert [(listing.kind, listing.resource) for listing in found] == [(resource.address.kind, row)]


@needs(Capability.LIST, where=lambda broker, row: row != "subject")
def test_a_list_of_some_kinds_leaves_the_others_out(broker: Broker, resource: Resource) -> None:
    kind = resource.address.kind or ""
    others = [other for other in broker.descriptor.kinds if other != kind]
    with broker.open() as backend:
        assert resource.address.name in [listing.name for listing in backend.list([kind])]
        assert {listing.kind for listing in backend.list([kind])} == {kind}
        if others:
            assert resource.address.name not in [listing.name for listing in backend.list(others)]


@needs(Capability.DESCRIBE)
def test_a_description_says_what_it_is_of_and_something_worth_knowing(broker: Broker, resource: Resource, row: str) -> None:
    with broker.open() as backend:
        description = backend.describe(resource.address)
    assert (description.kind, description.resource) == (resource.address.kind, row)
    assert description.name == resource.address.name
    assert description.facts


@needs(Capability.DESCRIBE)
def test_describing_and_listing_change_nothing(broker: Broker, resource: Resource) -> None:
    resource.put([b"one", b"two"])
    before = resource.state()
    with broker.open() as backend:
        backend.describe(resource.address)
        list(backend.list())
    assert resource.state() == before
