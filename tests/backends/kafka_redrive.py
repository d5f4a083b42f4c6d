"""Redrives one topic into another and kills itself on the way: python -m tests.backends.kafka_redrive ADDRESS DLQ HOME POINT [NTH]

POINT: `before produce`, `after produce`, `before commit`, `after commit`, of the NTH transaction (from 1).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from brokercli.backends.dead_letters import Move, Repair, RepairPolicy
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.transaction import Transactions
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Receipts

POINTS = ("before produce", "after produce", "before commit", "after commit")


def letters(repair: Repair, patience: float = 20) -> list[Record]:
    """Read every pending letter."""
    records: list[Record] = []
    while not repair.finished:
        batch = repair.read(patience)
        assert batch is not None or repair.finished, f"nothing came for {patience:g} s"
        records += batch.records() if batch is not None else []
    return records


def to(home: Address, records: Sequence[Record]) -> list[Move]:
    """Put each letter home as it is."""
    return [Move(record, Message(record.message.body, record.message.key, record.message.headers, partition=0), home) for record in records]


def redrive(repair: Repair, home: Address) -> Receipts:
    """Put back everything, as the operations do."""
    total = Receipts()
    while not repair.finished:
        batch = repair.read(20)
        if batch is not None:
            total.add(repair.settle(to(home, batch.records())))
    return total


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_at(point: str, nth: int) -> None:
    count = 0
    produce, until = Transactions._produce, Transactions._until

    def produced(self: Transactions, copies: Sequence[object], deadline: float) -> None:
        nonlocal count
        count += 1
        if count == nth and point == "before produce":
            _die()
        produce(self, copies, deadline)  # type: ignore[arg-type]
        if count == nth and point == "after produce":
            _die()

    def called(self: Transactions, deadline: float, call: Callable[[float], object]) -> None:
        commits = call.__name__ == "commit_transaction" and count == nth
        if commits and point == "before commit":
            _die()
        until(self, deadline, call)
        if commits and point == "after commit":
            _die()

    Transactions._produce, Transactions._until = produced, called  # type: ignore[method-assign]


def _main(address: str, dlq: str, home: str, point: str, nth: str = "1") -> None:
    _kill_at(point, int(nth))
    host, _, port = address.rpartition(":")
    with KafkaBackend(Connection("kafka", ((host, int(port)),))) as backend, backend.repair(Address(dlq, "topic"), RepairPolicy(batch=10)) as repair:
        redrive(repair, Address(home, "topic"))


if __name__ == "__main__":
    _main(*sys.argv[1:])
