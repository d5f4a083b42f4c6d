"""Drive the contract the plain way: publish everything, read everything."""

from __future__ import annotations

import time
from collections.abc import Sequence

from brokercli.backends.contract import Batch, Publisher, Reader
from brokercli.model.capability import Support
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Receipts

PATIENCE = 30.0


def publish(publisher: Publisher, messages: Sequence[Message]) -> Receipts:
    """Publish all of them and return every verdict."""
    receipts = Receipts()
    deadline = time.monotonic() + PATIENCE
    sent = 0
    while sent < len(messages):
        sent += publisher.send(messages[sent:])
        receipts.add(publisher.collect(0.05 if sent < len(messages) else 0))
        assert time.monotonic() < deadline, f"only {sent} of {len(messages)} messages were accepted"
    receipts.add(publisher.finish(PATIENCE))
    return receipts


def read_batches(reader: Reader, at_least: int | None = None) -> list[Batch]:
    """Read until the end, or until `at_least` records are there."""
    batches: list[Batch] = []
    deadline = time.monotonic() + PATIENCE
    while not (sum(map(len, batches)) >= at_least if at_least is not None else reader.finished):
        batch = reader.read(0.2)
        if batch is not None:
            assert len(batch), "a batch without records"
            batches.append(batch)
        assert time.monotonic() < deadline, f"{sum(map(len, batches))} records came, and then neither more nor the end"
    return batches


def read(reader: Reader, at_least: int | None = None) -> list[Record]:
    """The same, as records."""
    return [record for batch in read_batches(reader, at_least) for record in batch.records()]


def bodies(records: Sequence[Record]) -> list[bytes | None]:
    """Return the bodies."""
    return [record.message.body for record in records]


def says(reason: str, support: Support) -> bool:
    """Whether a reason is that of the support table: the first clause of its note is in it."""
    clause = support.note
    for mark in (". ", "; ", ": "):
        clause = clause.partition(mark)[0]
    return clause.rstrip(".").lower() in reason.lower()
