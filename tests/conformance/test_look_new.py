"""A live look sees what arrives from now on, all of it, in order, and nothing from before.

Now is when `look` returns: whoever publishes after that is seen.
"""

from __future__ import annotations

import pytest

from brokercli.model.capability import Capability
from brokercli.model.position import End, Span
from tests.conformance.driving import bodies, read
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs
FROM_NOW = Span(End(), None)


@needs(Capability.LOOK_NEW)
def test_what_arrives_after_the_look_was_opened_is_seen_and_what_was_there_is_not(broker: Broker, resource: Resource) -> None:
    resource.put([b"before 1", b"before 2"])
    with broker.open() as backend, backend.look(resource.address, FROM_NOW) as reader:
        resource.put([b"new 1", b"new 2", b"new 3"])
        assert bodies(read(reader, at_least=3)) == [b"new 1", b"new 2", b"new 3"]
        assert reader.read(0.05) is None
        assert not reader.finished


@needs(Capability.LOOK_NEW)
def test_a_quiet_source_returns_nothing_and_the_look_goes_on(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.look(resource.address, FROM_NOW) as reader:
        assert reader.read(0.05) is None
        assert reader.read(0) is None
        resource.put([b"at last"])
        assert bodies(read(reader, at_least=1)) == [b"at last"]


@needs(Capability.LOOK_NEW)
def test_many_messages_arrive_complete_and_in_order(broker: Broker, resource: Resource) -> None:
    sent = [b"%d" % number for number in range(3000)]
    with broker.open() as backend, backend.look(resource.address, FROM_NOW) as reader:
        resource.put(sent)
        assert bodies(read(reader, at_least=3000)) == sent


@needs(Capability.LOOK_NEW)
def test_two_live_looks_each_see_everything(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.look(resource.address, FROM_NOW) as one, backend.look(resource.address, FROM_NOW) as two:
        resource.put([b"a", b"b"])
        assert bodies(read(one, at_least=2)) == bodies(read(two, at_least=2)) == [b"a", b"b"]
