"""Redriving for tests; and a program that redrives one topic into another and kills itself on the way:
python -m tests.backends.kafka_redrive ADDRESS DLQ HOME POINT [NTH]

POINT: `before produce`, `after produce`, `before commit`, `after commit`, of the NTH transaction (from 1).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from unittest.mock import Mock

import pytest

from brokercli.backends.dead_letters import Move, Repair, RepairPolicy, State
from brokercli.backends.kafka import open_repair
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.repair import KafkaRepair
from brokercli.backends.kafka.transaction import NoTransactions, Transactions
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Receipts
from tests.backends.kafka_topics import Topics, everything
from tests.native.kafka import stable_offset

EXACTLY_ONCE, AT_LEAST_ONCE = "exactly-once", "at-least-once"
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


def repair(topics: Topics, dlq: Address, guarantee: str = EXACTLY_ONCE, **policy: object) -> KafkaRepair:
    """Open a run over a topic, at least once as where transactions are not permitted, if that is to be the guarantee; closed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        if guarantee != EXACTLY_ONCE:
            patch.setattr(open_repair, "Transactions", Mock(side_effect=NoTransactions("as the test has it")))
        opened = topics.backend().repair(dlq, RepairPolicy(**policy))  # type: ignore[arg-type]
    topics._opened.append(opened)  # type: ignore[arg-type]
    assert isinstance(opened, KafkaRepair)
    return opened


def states(topics: Topics, dlq: Address) -> dict[bytes | None, State]:
    """Look at every letter, once no transaction is open any more in which some were handled: a look waits for that for a moment only."""
    for partition in range(len(topics.admin.list_topics(dlq.name, timeout=10).topics[dlq.name].partitions)):
        committed(topics, dlq, partition)
    with topics.backend().look_letters(dlq) as look:
        return {record.message.body: look.state(record) for record in everything(look)}


def committed(topics: Topics, dlq: Address, partition: int = 0) -> int:
    """Return the floor, as any Kafka tool would show it, once no transaction is open any more in which it moves."""
    return stable_offset(topics.admin, group_of(dlq.name), dlq.name, partition)


def stored(topics: Topics, home: Address) -> list[Record]:
    """Return every committed record, once no transaction is open any more. Waits for a broker that comes back."""
    deadline = monotonic() + 60
    while True:
        topics.wait_closed(home)
        try:
            return topics.read(home)
        except BrokercliError:
            assert monotonic() < deadline, f"{home.name} cannot be read"


def numbered(count: int) -> list[bytes]:
    """Return that many bodies."""
    return [b"%d" % number for number in range(count)]


def by_body(records: list[Record]) -> dict[bytes | None, Record]:
    """Index letters by what is in them."""
    return {record.message.body: record for record in records}


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


def _put_back_until_killed(address: str, dlq: str, home: str, point: str, nth: str = "1") -> None:
    _kill_at(point, int(nth))
    host, _, port = address.rpartition(":")
    with KafkaBackend(Connection("kafka", ((host, int(port)),))) as backend, backend.repair(Address(dlq, "topic"), RepairPolicy(batch=10)) as repair:
        redrive(repair, Address(home, "topic"))


def main() -> None:
    """Do what the arguments say."""
    _put_back_until_killed(*sys.argv[1:])


if __name__ == "__main__":
    main()
