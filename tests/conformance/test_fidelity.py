"""record → envelope → publish → record is bit-exact: to every other client of the broker, the copy is the message.

Keys, null and empty bodies, header bytes, their order and repeats, every AMQP field type with its width and its bits. What
a broker itself changes (RabbitMQ sorts header names) it has changed in the original, too.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.envelope import decode_envelope
from brokercli.model.capability import Capability
from brokercli.model.message import Message
from brokercli.model.position import End, Span, Start
from tests.conformance.driving import publish, read_batches
from tests.native.harness import Broker, Stored

needs = pytest.mark.needs
EXAMPLES = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def copies(broker: Broker, row: str, messages: list[Stored], *, through_envelopes: bool) -> tuple[list[Stored], list[Stored]]:
    """Store messages natively, copy them with brokercli, and return what is stored at the source and at the copy."""
    source, target = broker.make(row), broker.make(row)
    live = not broker.support(row, Capability.LOOK_STORED)
    span = Span(End(), None) if live else Span(Start(), End())
    with broker.open() as backend:
        if not live:
            source.put_messages(messages)
        with backend.look(source.address, span) as reader:
            if live:
                source.put_messages(messages)
            batches = read_batches(reader, at_least=len(messages) if live else None)
        taken: list[Message] = []
        for batch in batches:
            taken += [decode_envelope(line, 1) for line in batch.envelopes()] if through_envelopes else [record.message for record in batch.records()]
        for message in taken:
            # the copy goes to the target's own subject or key, not to the source's
            message.route = None
        with backend.publisher(target.destination, PublishPolicy()) as publisher:
            receipts = publish(publisher, taken)
    assert (receipts.confirmed, receipts.problems) == (len(messages), [])
    stored = [one.content() for one in source.stored(len(messages))], [one.content() for one in target.stored(len(messages))]
    broker.clean()
    return stored


@needs(Capability.LOOK_STORED, Capability.PUBLISH)
def test_a_copy_through_envelopes_is_bit_exact(broker: Broker, row: str) -> None:
    @EXAMPLES
    @given(st.lists(broker.messages(row), min_size=1, max_size=60))
    def check(messages: list[Stored]) -> None:
        original, copy = copies(broker, row, messages, through_envelopes=True)
        assert original == [message.content() for message in messages]
        assert copy == original

    check()


@needs(Capability.LOOK_STORED, Capability.PUBLISH)
def test_a_copy_through_records_is_bit_exact(broker: Broker, row: str) -> None:
    @EXAMPLES
    @given(st.lists(broker.messages(row), min_size=1, max_size=60))
    def check(messages: list[Stored]) -> None:
        original, copy = copies(broker, row, messages, through_envelopes=False)
        assert copy == original

    check()


@needs(Capability.LOOK_NEW, Capability.PUBLISH, without=(Capability.LOOK_STORED,))
def test_a_copy_of_what_is_seen_live_is_bit_exact(broker: Broker, row: str) -> None:
    @EXAMPLES
    @given(st.lists(broker.messages(row), min_size=1, max_size=40))
    def check(messages: list[Stored]) -> None:
        original, copy = copies(broker, row, messages, through_envelopes=True)
        assert copy == original

    check()
