"""Bodies, envelopes, outlines and records of a batch are views of the same messages, and `select` is the same batch with fewer.

The fast paths build no object for a message; this is what says that they build the same thing.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokercli.backends.contract import Backend, Batch, Reader
from brokercli.backends.envelope import encode_record
from brokercli.backends.kafka import straight
from brokercli.dialects.reading import lies_in
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.position import End, Span, Start
from tests.conformance.driving import read_batches
from tests.native.harness import Broker, Resource, Stored

needs = pytest.mark.needs
EXAMPLES = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def agree(batch: Batch) -> None:
    """Check that the views of one batch say the same."""
    records = batch.records()
    assert len(batch) == len(records)
    assert batch.bodies() == [record.message.body or b"" for record in records]
    assert batch.lines() == b"".join([body + b"\n" for body in batch.bodies()])
    assert batch.positions() == [record.position for record in records]
    outlines = batch.outlines()
    if outlines is not None:
        assert [(tuple(headers), *rest) for headers, *rest in outlines] == [
            (record.message.headers, record.message.key, record.message.body, record.time, lies_in(record)) for record in records]
    for envelope, record in zip(batch.envelopes(), records, strict=True):
        assert b"\n" not in envelope
        assert orjson.loads(envelope) == orjson.loads(encode_record(record))


def check_stored(broker: Broker, row: str, look: Callable[[Backend, Address], Reader], check: Callable[[Batch, list[int]], None]) -> None:
    """Store messages of any kind, check each batch in which they come back and which of its records to select, and that the bodies are theirs."""
    @EXAMPLES
    @given(st.data())
    def drawn(data: st.DataObject) -> None:
        resource = broker.make(row)
        messages = data.draw(st.lists(broker.messages(row), min_size=1, max_size=30))
        resource.put_messages(messages)
        with broker.open() as backend, look(backend, resource.address) as reader:
            batches = read_batches(reader)
            for batch in batches:
                check(batch, data.draw(st.sets(st.integers(0, len(batch) - 1)).map(sorted)))
        assert [body for batch in batches for body in batch.bodies()] == [message.body or b"" for message in messages]
        broker.clean()

    drawn()


@needs(Capability.LOOK_STORED)
def test_the_three_views_of_stored_records_agree(broker: Broker, row: str) -> None:
    def check(batch: Batch, chosen: list[int]) -> None:
        agree(batch)
        part = batch.select(chosen)
        agree(part)
        assert part.records() == [batch.records()[index] for index in chosen]

    check_stored(broker, row, lambda backend, address: backend.look(address, Span(Start(), End())), check)


@needs(Capability.LOOK_STORED)
def test_whoever_asks_for_bodies_only_gets_the_same_bodies(broker: Broker, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(batch: Batch, chosen: list[int]) -> None:
        bodies = batch.bodies()
        assert (len(batch), batch.lines()) == (len(bodies), b"".join([body + b"\n" for body in bodies]))
        assert batch.select(chosen).bodies() == [bodies[index] for index in chosen]

    # as if there were many, where few are read as for whoever asks for more
    monkeypatch.setattr(straight, "MANY", 1)
    check_stored(broker, row, lambda backend, address: backend.look_bodies(address, Span(Start(), End())), check)


@needs(Capability.LOOK_NEW)
def test_the_three_views_of_live_records_agree(broker: Broker, resource: Resource, row: str) -> None:
    with broker.open() as backend, backend.look(resource.address, Span(End(), None)) as reader:
        resource.put_messages([Stored(b"one"), Stored(b""), Stored(b"\xff\x00")])
        for batch in read_batches(reader, at_least=3):
            agree(batch)
            agree(batch.select([len(batch) - 1]))
            assert len(batch.select([])) == 0
