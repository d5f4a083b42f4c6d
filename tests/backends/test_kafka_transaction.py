"""How a transaction ended, by what the client says of each of its steps: aborted only where nothing of it can ever be seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from brokercli.backends.kafka import transaction
from brokercli.backends.kafka.convert import to_kafka
from brokercli.backends.kafka.transaction import Copy, Transactions
from brokercli.model.connection import Connection
from brokercli.model.errors import Failed
from brokercli.model.message import Message
from tests.backends.kafka_topics import Topics

DOUBT = KafkaError(KafkaError._TIMED_OUT)
MUST_ABORT = KafkaError(KafkaError.INVALID_TXN_STATE, txn_requires_abort=True)
TOO_LARGE, PURGED, GONE = (KafkaError(code) for code in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._PURGE_QUEUE, KafkaError._FATAL))
FATAL = KafkaError(KafkaError._FENCED, fatal=True)


class Client:
    """A producer that takes every message, reports on some of them, and fails at some steps."""

    def __init__(self, reports: Sequence[KafkaError | None] = (None, None), stuck: int = 0, **failing: KafkaError) -> None:
        self._reports = [*reports]
        self.stuck = stuck
        self._failing = failing
        self._waiting: list[Callable[..., None]] = []

    def _step(self, name: str) -> None:
        if name in self._failing:
            raise KafkaException(self._failing[name])

    def produce(self, topic: str, value: bytes, key: None, partition: int, report: Callable[..., None], *others: object) -> None:
        self._waiting.append(report)

    def flush(self, seconds: float) -> None:
        for report, error in zip(self._waiting, self._reports, strict=True):
            if error is not None:
                report(error, None)
        self._waiting = self._waiting[:self.stuck]
        self._reports = self._reports[:self.stuck]

    def __len__(self) -> int:
        return len(self._waiting)

    def poll(self, seconds: float) -> None:
        """Reports come when it is flushed."""

    def purge(self) -> None:
        """Nothing is open."""

    def init_transactions(self, seconds: float) -> None:
        """Nobody was here before."""

    def begin_transaction(self) -> None:
        self._step("begin")

    def send_offsets_to_transaction(self, offsets: object, group: object, seconds: float) -> None:
        self._step("offsets")

    def commit_transaction(self, seconds: float) -> None:
        self._step("commit")

    def abort_transaction(self, seconds: float) -> None:
        self._step("abort")


@pytest.mark.parametrize(("client", "outcome", "usable", "culprits"), [
    (Client(), "committed", True, set()),
    (Client(commit=DOUBT), "in doubt", False, set()),
    (Client(commit=MUST_ABORT), "aborted", True, set()),
    # whether the commit was done before is not known then
    (Client(commit=MUST_ABORT, abort=DOUBT), "in doubt", False, set()),
    (Client(offsets=DOUBT), "aborted", True, set()),
    (Client(offsets=DOUBT, abort=DOUBT), "aborted", False, set()),
    (Client(begin=FATAL), "aborted", False, set()),
    (Client([TOO_LARGE, PURGED]), "aborted", True, {0}),
    (Client([PURGED, TOO_LARGE], offsets=MUST_ABORT), "aborted", True, {1}),
    # who was only given up with the transaction hides nothing: it is not committed
    (Client([PURGED, None]), "aborted", True, set()),
    (Client([FATAL, None]), "aborted", False, set()),
    (Client(stuck=1), "aborted", False, set())])
def test_a_transaction_is_over_only_where_the_client_knows_it(monkeypatch: pytest.MonkeyPatch, client: Client, outcome: str, usable: bool,
                                                               culprits: set[int]) -> None:
    def opened(*others: Any) -> Client:
        return client

    monkeypatch.setattr(transaction, "open_handle", opened)
    monkeypatch.setattr(transaction, "_SCAN_SECONDS", 0.0)
    run = Transactions(Connection("kafka", (("127.0.0.1", 1),)), "orders.dlq", 0.05 if client.stuck else 60.0, 1_000_000, lambda what: None)
    ending = run.run([Copy("orders", to_kafka(Message(b"%d" % number))) for number in range(2)], [], None)
    assert (ending.outcome, run.usable, set(ending.culprits)) == (outcome, usable, culprits)
    run.close()


def test_who_lets_go_before_a_step_has_begun_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class TooLate(Thread):
        """Begins when a second Ctrl-C has closed everything."""

        def run(self) -> None:
            run.close()
            super().run()

    client, given, raised = Client(), list[object](), list[object]()
    monkeypatch.setattr(transaction, "open_handle", lambda *others: client)
    monkeypatch.setattr(client, "send_offsets_to_transaction", lambda offsets, *others: given.append(offsets))
    monkeypatch.setattr(threading, "excepthook", lambda said: raised.append(said.exc_value))
    run = Transactions(Connection("kafka", (("127.0.0.1", 1),)), "orders.dlq", 60.0, 1_000_000, lambda what: None)
    monkeypatch.setattr(transaction, "Thread", TooLate)
    # what comes next has no producer any more: whoever was told twice does not come there
    with suppress(AttributeError):
        run.run([], [], None)
    assert (raised, given) == ([], [[]])


@pytest.mark.parametrize(("longest", "delivery", "whole"), [(900.0, 30_000, 45_000), (20.0, 10_000, 20_000), (4.0, 2_000, 4_000)])
def test_a_transaction_lasts_no_longer_than_the_brokers_let_one(monkeypatch: pytest.MonkeyPatch, longest: float, delivery: int, whole: int) -> None:
    opened: dict[str, Any] = {}

    def opening(kind: object, connection: object, settings: dict[str, Any], *others: object) -> Client:
        opened.update(settings)
        return Client()

    monkeypatch.setattr(transaction, "open_handle", opening)
    Transactions(Connection("kafka", (("127.0.0.1", 1),)), "orders.dlq", 30.0, 1_000_000, lambda what: None, longest).close()
    assert (opened["message.timeout.ms"], opened["transaction.timeout.ms"]) == (delivery, whole)


def test_brokers_that_let_none_last_so_long_and_may_not_be_asked_are_understood(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "LONGEST_TIMEOUT", 2000.0)
    with pytest.raises(Failed, match=r"let no transaction last for the 1215 s .* transaction\.max\.timeout\.ms") as refused:
        Transactions(topics.connection, topics.name(), 1200.0, 1_000_000, lambda what: None, 2000.0)
    assert str(refused.value.hint).startswith("a --delivery-timeout of less than 1200 s")


def test_who_is_waited_for_longer_than_usual_is_said_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    told = Event()

    class Slow(Client):
        def commit_transaction(self, seconds: float) -> None:
            assert told.wait(60), "nothing was said"

    def tell(what: str) -> None:
        said.append(what)
        told.set()

    opened: dict[str, Any] = {}
    monkeypatch.setattr(transaction, "open_handle", lambda kind, connection, settings, *others: opened.update(settings) or Slow())
    run = Transactions(Connection("kafka", (("127.0.0.1", 1),)), "orders.dlq", 60.0, 1_000_000, tell)
    monkeypatch.setattr(transaction, "_USUAL_SECONDS", 0.0)
    assert run.run([Copy("orders", to_kafka(Message(b"%d" % number))) for number in range(2)], [], None).outcome == "committed"
    assert said[-1] == "waiting for the broker that coordinates the transactions of orders.dlq, 60 s at most"
    # where a quota is why, that is said
    told.clear()
    opened["throttle_cb"](SimpleNamespace(broker_id=3, throttle_time=40.0))
    assert run.run([], [], None).outcome == "committed"
    assert said[-1] == "broker 3 makes this client wait, because it is over its quota"
    run.close()
