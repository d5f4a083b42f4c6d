"""Letters put to another broker: once they cannot be marked here, no other is published there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from brokercli.backends.dead_letters import State
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, Unreachable
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.decisions import Decision, Drop, Redrive
from brokercli.operations.letters import LetterFilter
from brokercli.operations.publishing import Outcome, Rate
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from brokercli.operations.settlers import Dropping, PuttingElsewhere
from brokercli.operations.settling import Settling
from tests.operations.test_publishing import ScriptedPublisher
from tests.operations.test_redriving import HOME, Confirming, Reading


class Elsewhere(Settling):
    """Stores everything."""

    def __init__(self) -> None:
        super().__init__(ScriptedPublisher([], []), 30.0)
        self.stored: list[Message] = []

    def put(self, messages: Sequence[Message]) -> Receipts:
        self.stored += messages
        return Receipts(confirmed=len(messages))


class Slow(Rate):
    """Lets two go at a time."""

    def allow(self, wanted: int) -> int:
        return min(2, wanted)


class Unmarkable(Confirming):
    """Marks the first two letters; of those after them every second one at most."""

    def __init__(self, verdict: Verdict | None, failure: BrokercliError | None = None) -> None:
        super().__init__(12)
        self._verdict = verdict
        self._why = failure

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        if records[0].position == "0:0":
            return Receipts(confirmed=len(records))
        self.failure = self._why
        receipts = Receipts(confirmed=len(records) // 2)
        for index in range(len(records) // 2, len(records)) if self._verdict is not None else ():
            receipts.count(Receipt(index, self._verdict, reason="nobody answers"))
        return receipts


def run(repair: Confirming, elsewhere: Settling) -> Outcome:
    redriving = Redriving(repair, Reading(None), Redrive(HOME, 3, None, None), LetterFilter(), rate=Slow(100), elsewhere=True)  # type: ignore[arg-type]
    return redriving.run(PuttingElsewhere(elsewhere, repair))


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.UNKNOWN])
def test_after_a_letter_that_could_not_be_marked_no_other_is_published(verdict: Verdict) -> None:
    elsewhere = Elsewhere()
    outcome = run(Unmarkable(verdict), elsewhere)
    assert len(elsewhere.stored) == 4
    account = outcome.account
    assert (account.read, account.confirmed, account.unknown, account.refused, account.skipped) == (12, 3, 1, 0, 8)
    assert str(outcome.error) == "Stopped: 1 letter is stored there and could not be marked here."
    assert isinstance(outcome.error, Failed)


def test_what_stopped_the_marks_is_what_stopped_the_run() -> None:
    gone = Unreachable("the broker is gone")
    outcome = run(Unmarkable(Verdict.UNKNOWN, gone), Elsewhere())
    assert outcome.error is gone


def test_where_marks_cannot_go_on_nothing_is_published_although_the_last_ones_went_well() -> None:
    elsewhere, repair = Elsewhere(), Confirming(12)
    repair.failure = Unreachable("the broker is gone")
    outcome = run(repair, elsewhere)
    assert not elsewhere.stored
    assert (outcome.account.unknown, outcome.account.skipped, outcome.error) == (0, 12, repair.failure)


class Closed(ScriptedPublisher):
    """Judges the first ones so, and knows by then that it takes nothing."""

    closed = NotAuthorised("no permission to write there")

    def collect(self, timeout: float) -> Receipts:
        if self.bodies and not self.waiting:
            raise self.closed
        return super().collect(timeout)


@pytest.mark.parametrize(("verdict", "refused", "unknown"), [(Verdict.REFUSED, 2, 0), (Verdict.UNKNOWN, 0, 2)])
def test_where_the_other_broker_takes_nothing_the_letters_behind_the_first_ones_are_left_and_not_in_doubt(verdict: Verdict, refused: int, unknown: int) -> None:
    there = Closed([verdict], [9])
    outcome = run(Confirming(12), Settling(there, 30.0))
    assert len(there.bodies) == 2
    account = outcome.account
    assert (account.confirmed, account.refused, account.unknown, account.skipped, outcome.error) == (0, refused, unknown, 10, Closed.closed)


class Choosy(Settling):
    """Stores what it is not told to treat otherwise."""

    def __init__(self, problems: dict[int, Receipt]) -> None:
        super().__init__(ScriptedPublisher([], []), 30.0)
        self._problems = problems

    def put(self, messages: Sequence[Message]) -> Receipts:
        receipts = Receipts(confirmed=len(messages) - len(self._problems))
        for receipt in self._problems.values():
            receipts.count(receipt)
        return receipts


class Marking(Confirming):
    """Notes what is marked, and has had the last of it marked by somebody else."""

    def __init__(self) -> None:
        super().__init__(6)
        self.marked: list[str] = []

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        assert state is State.REDRIVEN
        self.marked += [record.position for record in records]
        receipts = Receipts(confirmed=len(records) - 1)
        receipts.count(Receipt(len(records) - 1, Verdict.CONFIRMED, duplicate=True, reason="marked already"))
        return receipts


def test_only_what_was_confirmed_there_is_marked_here_and_each_verdict_names_its_letter() -> None:
    repair = Marking()
    records = (repair.read(0) or RecordList([])).records()
    there = Choosy({1: Receipt(1, Verdict.REFUSED, reason="too large"), 2: Receipt(2, Verdict.CONFIRMED, duplicate=True),
                    3: Receipt(3, Verdict.UNKNOWN, reason="no answer")})
    receipts = PuttingElsewhere(there, repair).settle([Decision(DeadLetter(record), HOME, record.message) for record in records])
    assert repair.marked == ["0:0", "0:2", "0:4", "0:5"]
    assert (receipts.confirmed, receipts.refused, receipts.unknown, receipts.duplicates) == (4, 1, 1, 1)
    assert sorted((receipt.index, receipt.verdict, receipt.reason) for receipt in receipts.problems) == [
        (1, Verdict.REFUSED, "too large"), (3, Verdict.UNKNOWN, "no answer"), (5, Verdict.CONFIRMED, "marked already")]


def test_what_is_stored_there_and_not_marked_here_is_in_doubt_and_says_so() -> None:
    repair = Unmarkable(Verdict.REFUSED)
    records = (repair.read(0) or RecordList([])).records()[1:4]
    there = Choosy({0: Receipt(0, Verdict.REFUSED, reason="too large")})
    receipts = PuttingElsewhere(there, repair).settle([Decision(DeadLetter(record), HOME, record.message) for record in records])
    assert [(receipt.index, receipt.verdict, receipt.reason) for receipt in receipts.problems] == [
        (0, Verdict.REFUSED, "too large"), (2, Verdict.UNKNOWN, "stored at its destination, but not marked here: nobody answers")]


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.UNKNOWN])
def test_where_a_verdict_names_no_letter_none_is_marked_that_may_be_meant(verdict: Verdict) -> None:
    repair = Marking()
    records = (repair.read(0) or RecordList([])).records()[:4]
    there = PuttingElsewhere(Choosy({1: Receipt(1, Verdict.REFUSED, reason="too large"), 2: Receipt(-1, verdict, reason="cut off")}), repair)
    receipts = there.settle([Decision(DeadLetter(record), HOME, record.message) for record in records])
    assert repair.marked == []
    assert [(receipt.index, receipt.verdict) for receipt in receipts.problems] == [
        (0, Verdict.UNKNOWN), (1, Verdict.REFUSED), (2, Verdict.UNKNOWN), (3, Verdict.UNKNOWN)]
    assert len(receipts) == 4
    assert isinstance(there.failure, Failed)


def test_what_stopped_the_marks_stops_a_run_that_drops() -> None:
    repair = Confirming(12)
    repair.failure = Unreachable("the broker is gone")
    outcome = Redriving(repair, Reading(None), Drop(unrecognised=True), LetterFilter()).run(Dropping(repair))  # type: ignore[arg-type]
    assert (outcome.error, outcome.account.confirmed, outcome.account.skipped) == (repair.failure, 0, 12)
