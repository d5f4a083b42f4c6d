"""What a broker cannot do is refused with the reason in its support table, before anything has happened.

An ability of a whole look or publisher raises Unsupported when it is opened. What one message asks for refuses that message
alone. This is the other half of the table: the rest of this folder shows that what is declared works.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokercli.backends.contract import Backend, PublishPolicy
from brokercli.backends.registry import descriptors
from brokercli.model.capability import Capability
from brokercli.model.errors import Unsupported
from brokercli.model.message import Message
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Span, Start
from tests.conformance.driving import publish, says
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs

ATTEMPTS: dict[Capability, Callable[[Backend, Resource], object]] = {
    Capability.PUBLISH: lambda backend, resource: backend.publisher(resource.destination, PublishPolicy()),
    Capability.FIRE_AND_FORGET: lambda backend, resource: backend.publisher(resource.destination, PublishPolicy(fire_and_forget=True)),
    Capability.LOOK_NEW: lambda backend, resource: backend.look(resource.address, Span(End(), None)),
    Capability.LOOK_STORED: lambda backend, resource: backend.look(resource.address, Span(Start(), End())),
    Capability.SEEK_NUMBER: lambda backend, resource: backend.look(resource.address, Span(Number(0), End())),
    Capability.SEEK_TIME: lambda backend, resource: backend.look(resource.address, Span(Moment(0), End())),
    Capability.SEEK_LAST: lambda backend, resource: backend.look(resource.address, Span(Last(5), End())),
    Capability.LIST: lambda backend, resource: list(backend.list()),
    Capability.DESCRIBE: lambda backend, resource: backend.describe(resource.address),
    Capability.FLOW: lambda backend, resource: backend.flow(resource.address),
    Capability.LOOK_LETTERS: lambda backend, resource: backend.look_letters(resource.address),
}
"""What asks for an ability as a whole."""

ASKED_BY_A_MESSAGE: dict[Capability, Message] = {
    Capability.TOMBSTONE: Message(None),
    Capability.KEY: Message(b"", key=b"k"),
    Capability.PARTITION: Message(b"", partition=0),
    Capability.MESSAGE_TIME: Message(b"", time=1_700_000_000_000_000_000),
}
"""What asks for an ability in one message."""

SHOWN_ELSEWHERE = {
    Capability.DEDUPLICATE: "test_without_duplicate_detection_both_are_stored_and_neither_is_called_a_duplicate",
    Capability.DECLARE: "test_every_kind_is_declarable_or_declined_with_a_reason",
    Capability.CONSUMERS: "consumers are asked for by their names, and what has none has no names",
    Capability.SEEK_CONSUMERS: "test_what_consumers_cannot_have_done_to_them_is_refused_with_the_reason",
    Capability.PAUSE_CONSUMERS: "test_what_consumers_cannot_have_done_to_them_is_refused_with_the_reason",
    Capability.REDRIVE: "redriving starts with looking at letters, whose refusal is tested here",
}


def _declines(capability: Capability) -> bool:
    return any(not answers[capability] for descriptor in descriptors() for answers in descriptor.support.values())


def test_every_ability_that_some_broker_declines_has_its_refusal_tested() -> None:
    tested = {*ATTEMPTS, *ASKED_BY_A_MESSAGE, *SHOWN_ELSEWHERE}
    assert {capability for capability in Capability if _declines(capability)} <= tested


@pytest.mark.parametrize("capability", [capability for capability in ATTEMPTS if _declines(capability)])
def test_an_ability_that_is_declined_is_refused_with_its_reason_and_nothing_has_happened(broker: Broker, capability: Capability) -> None:
    for row in [row for row, answers in broker.descriptor.support.items() if not answers[capability]]:
        resource = broker.make(row)
        resource.put([b"one"])
        before = resource.state()
        with broker.open() as backend:
            with pytest.raises(Unsupported) as refusal:
                ATTEMPTS[capability](backend, resource)
            # a look that asks for a seek is refused for the seek or, where nothing is stored at all, for that
            supports = [broker.support(row, capability), broker.support(row, Capability.LOOK_STORED)]
            assert any(not support and says(str(refusal.value), support) for support in supports), f"{row}: {refusal.value}"
        assert resource.state() == before
        assert [stored.body for stored in resource.stored(1)] == [b"one"]


@pytest.mark.parametrize("capability", [capability for capability in ASKED_BY_A_MESSAGE if _declines(capability)])
def test_a_message_that_asks_for_what_is_declined_is_refused_alone_with_the_reason(broker: Broker, capability: Capability) -> None:
    for row, answers in broker.descriptor.support.items():
        if answers[capability] or not answers[Capability.PUBLISH]:
            continue
        resource = broker.make(row)
        with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
            receipts = publish(publisher, [Message(b"before"), ASKED_BY_A_MESSAGE[capability], Message(b"after")])
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (2, 1, 0), f"{row}: {receipts}"
        assert [problem.index for problem in receipts.problems] == [1]
        assert says(receipts.problems[0].reason, answers[capability]), f"{row}: {receipts.problems[0].reason}"
        assert [stored.body for stored in resource.stored(2)] == [b"before", b"after"]


@needs(Capability.LOOK_STORED, without=(Capability.PARTITION,))
def test_a_look_by_partitions_is_refused_where_there_are_none(broker: Broker, resource: Resource, row: str) -> None:
    with broker.open() as backend, pytest.raises(Unsupported) as refusal:
        backend.look(resource.address, Span(PerPartition(((0, 0),)), End()))
    assert says(str(refusal.value), broker.support(row, Capability.PARTITION))


@needs(Capability.PUBLISH, without=(Capability.DEDUPLICATE,))
def test_without_duplicate_detection_both_are_stored_and_neither_is_called_a_duplicate(broker: Broker, resource: Resource) -> None:
    with broker.open() as backend, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        receipts = publish(publisher, [Message(b"one", id="same"), Message(b"two", id="same")])
    assert (receipts.confirmed, receipts.duplicates, receipts.problems) == (2, 0, [])
    assert [stored.body for stored in resource.stored(2)] == [b"one", b"two"]
