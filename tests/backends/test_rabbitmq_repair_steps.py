"""A run over letters, step by step: what is acknowledged, and what is said of each, whatever becomes of the copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brokercli.backends.dead_letters import Goal, Move, RepairPolicy, State
from brokercli.backends.rabbitmq import repair as module
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.counting import Count
from brokercli.backends.rabbitmq.existing import Queue
from brokercli.backends.rabbitmq.repair import HeldBatch, RabbitMQRepair
from brokercli.backends.rabbitmq.survivable import Conditions, nothing_lifted
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable
from brokercli.model.receipt import Receipt, Receipts, Verdict

DLQ = "orders.dlq"
HOME, ITSELF, NAMESAKE = Address("orders", "queue"), Address(DLQ, "queue"), Address(DLQ, "exchange")


class Held:
    """What is held: hands it out, and notes what is acknowledged."""

    finished, short, unseen, back = True, 0, 0, True
    cut_off = gone = False
    missing: BrokercliError | None = None
    taken_back: BrokercliError | None = None

    def __init__(self) -> None:
        self.waiting = [Delivery(tag, False, b"", DLQ.encode(), b"\0\0", b"%d" % tag) for tag in (1, 2, 3)]
        self.taken = 3
        self.handled: list[int] = []
        self.hears = True

    def take(self, timeout: float) -> list[Delivery]:
        taken, self.waiting = self.waiting, []
        return taken

    def acknowledge(self, tags: list[int]) -> bool:
        self.handled += tags
        return self.hears

    def give_back(self) -> bool:
        return self.hears


class Moving:
    """Puts copies where they go, but for those it is told to refuse or to be unsure of."""

    failure: BrokercliError | None = None
    denial: BrokercliError | None = None

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.went: list[Any] = []
        self.problems: dict[int, Receipt] = {}

    def begin(self, items: Sequence[Any]) -> None:
        self.went += items

    def forward(self, items: Sequence[Any], message_of: object) -> None:
        self.went += items

    def finish(self, window: object) -> dict[int, Receipt]:
        problems, self.problems = self.problems, {}
        return problems

    def close(self) -> None:
        pass


class Run:
    """A run that has read three letters."""

    def __init__(self, patch: pytest.MonkeyPatch, count: Count | None = None) -> None:
        self.held, self.moving = Held(), Moving()
        patch.setattr(module, "Holding", lambda *arguments, **named: self.held)
        link = SimpleNamespace(live=None, failure=None, losses=0, ask=lambda *question, **named: [count])
        conditions = Conditions(Queue(DLQ, "classic", 5, 0, False), (4, 3, 6), "/", auto_delete=False)
        self.repair = RabbitMQRepair(cast("Any", link), cast("Any", self.moving), conditions, RepairPolicy(), lambda: None, nothing_lifted)
        batch = self.repair.read(0)
        assert isinstance(batch, HeldBatch)
        self.batch = batch

    def settle(self, *places: int, to: Address = HOME) -> Receipts:
        """Settle letters one by one."""
        records = [self.batch.records()[place] for place in places]
        return self.repair.settle([Move(record, record.message, to) for record in records])

    def forward(self, *places: int, to: Address = HOME) -> Receipts:
        """Settle letters of a batch together."""
        return self.repair.forward(self.batch.select(places), [Goal(to)] * len(places), [()] * len(places))()


Way = Callable[..., Receipts]
WAYS = pytest.mark.parametrize("way", [Run.settle, Run.forward], ids=["one by one", "together"])


def said(receipts: Receipts) -> list[tuple[int, Verdict, str]]:
    return [(problem.index, problem.verdict, problem.reason) for problem in receipts.problems]


@WAYS
def test_what_is_confirmed_is_taken_out_and_what_is_not_stays_and_can_be_settled_once_more(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    run = Run(monkeypatch)
    run.moving.problems = {0: Receipt(0, Verdict.REFUSED, reason="full"), 2: Receipt(2, Verdict.UNKNOWN, reason="no confirm")}
    receipts = way(run, 0, 1, 2)
    assert (receipts.confirmed, said(receipts)) == (1, [(0, Verdict.REFUSED, "full"), (2, Verdict.UNKNOWN, "no confirm")])
    assert run.held.handled == [2]
    receipts = way(run, 2, 1, 0)
    assert (receipts.confirmed, said(receipts)) == (2, [(1, Verdict.REFUSED, "it is settled already")])
    assert run.held.handled == [2, 1, 3]


@WAYS
def test_a_letter_is_not_put_where_it_lies_but_through_an_exchange_of_that_name_and_elsewhere(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    run = Run(monkeypatch)
    assert said(way(run, 0, to=ITSELF)) == [(0, Verdict.REFUSED, "its destination is where it lies")]
    assert (run.held.handled, run.moving.went) == ([], [])
    assert way(run, 1, to=NAMESAKE).confirmed == 1
    assert way(run, 0).confirmed == 1
    assert run.held.handled == [2, 1]


@WAYS
def test_what_is_stored_and_may_be_pending_still_is_in_doubt(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    run = Run(monkeypatch)
    run.held.hears = False
    assert said(way(run, 0)) == [(0, Verdict.UNKNOWN, f"stored at its destination, but the broker did not answer before it was taken out of {DLQ}: it may lie"
                                  " there still")]
    run.held.cut_off = True
    assert "but the connection that held it broke before" in said(way(run, 1))[0][2]


@WAYS
def test_once_nothing_can_be_published_letters_are_refused_and_none_is_given_to_be_sent(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    run = Run(monkeypatch)
    run.moving.problems = {0: Receipt(0, Verdict.REFUSED, reason="no permission")}
    run.moving.failure = NotAuthorised("No permission.")
    way(run, 0)
    with pytest.raises(NotAuthorised):
        run.repair.check()
    went = len(run.moving.went)
    assert said(way(run, 1, 2)) == [(number, Verdict.REFUSED, "not sent: No permission.") for number in (0, 1)]
    assert (len(run.moving.went), run.held.handled) == (went, [])


@WAYS
@pytest.mark.parametrize(("missing", "why"), [
    (None, f"the broker puts back in {DLQ} what it has stored"), (Unreachable("nobody answers"), f"whether {DLQ} is there is not known")])
def test_what_the_broker_has_taken_back_is_not_published(monkeypatch: pytest.MonkeyPatch, way: Way, missing: BrokercliError | None, why: str) -> None:
    run = Run(monkeypatch)
    run.held.cut_off, run.held.missing, run.held.taken_back = True, missing, Failed("it took them back")
    (problem,) = said(way(run, 0))
    assert problem[1] is Verdict.REFUSED
    assert why in problem[2]
    assert not run.moving.went
    with pytest.raises(Failed, match="took them back"):
        run.repair.read(0)


def test_a_record_of_another_queue_is_no_letter_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    other = HeldBatch(run.batch.deliveries(), "another", numbered=False).records()
    for receipts in (run.repair.settle([Move(other[0], other[0].message, HOME)]), run.repair.mark(other[:1], State.DROPPED)):
        assert said(receipts) == [(0, Verdict.REFUSED, f"it is no letter that was read from {DLQ} in this run")]
    assert (run.held.handled, run.moving.went) == ([], [])


@pytest.mark.parametrize(("count", "cut_off", "arrived"), [
    (Count(4, 0), False, 2), (Count(1, 0), False, 0), (Count(4, 0, certain=False), False, None), (Count(4, 0), True, None)])
def test_letters_that_came_are_those_beyond_what_is_left_to_be_taken(monkeypatch: pytest.MonkeyPatch, count: Count, cut_off: bool, arrived: int | None) -> None:
    run = Run(monkeypatch, count)
    run.held.cut_off = cut_off
    assert run.repair.arrived() == arrived


def test_a_queue_that_is_deleted_ends_the_reading_and_no_letter_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)

    def deleted(timeout: float) -> list[Delivery]:
        raise NotFound("The queue was deleted.")

    monkeypatch.setattr(run.held, "take", deleted)
    run.held.gone = True
    with pytest.raises(NotFound, match="those that this run had in hand go their way"):
        run.repair.read(0)
    assert run.settle(0, 1, 2).confirmed == 3
