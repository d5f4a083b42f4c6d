"""The account of a run that is stopped at the worst moment: nothing that was sent is called skipped, nothing is counted twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Move, Repair, State
from brokercli.model.address import Address
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import Failed
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Account, Receipts
from brokercli.operations.decisions import Drop, Park, Redrive, Rules
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.publishing import Outcome
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from brokercli.operations.settlers import Dropping
from brokercli.operations.through import Transformed
from brokercli.terminal.interrupt import StopNow
from tests.operations.test_sorting import DLQ

HOME = Address("home", "topic")


def letter_at(offset: int, message: Message) -> Record:
    return Record("kafka", {"topic": DLQ.name, "partition": 0}, f"0:{offset}", None, message)


class Confirming(Repair):
    """Hands out letters and confirms whatever it is given: the moment of the signal is what is tried, not a broker."""

    guarantee = "none"

    def __init__(self, count: int) -> None:
        self._left = [letter_at(number, Message(b"body %d" % number)) for number in range(count)]

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left, []
        return RecordList(read) if read else None

    @property
    def finished(self) -> bool:
        return not self._left

    def settle(self, moves: Sequence[Move]) -> Receipts:
        return Receipts(confirmed=len(moves))

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        return Receipts(confirmed=len(records))

    def arrived(self) -> int | None:
        return None

    def close(self) -> None:
        pass


class Stopped(Account):
    """An account at which the second signal comes before, or after, verdicts are entered."""

    def __init__(self, entered: bool) -> None:
        super().__init__()
        self.entered = entered

    def take(self, receipts: Receipts) -> None:
        if self.entered:
            super().take(receipts)
        raise StopNow(130)


class Reading(Recogniser):
    """Takes each record for a letter."""

    def read(self, batch: Batch) -> list[DeadLetter]:
        return [DeadLetter(record, "convention") for record in batch.records()]


@pytest.mark.parametrize("entered", [False, True])
def test_a_signal_between_a_verdict_and_the_account_of_it_leaves_nothing_untrue(entered: bool) -> None:
    run = Redriving(Confirming(5), Reading(None), Park(Address("parked", "topic"), unrecognised=True), LetterFilter(), limit=3,  # type: ignore[arg-type]
                    outcome=Outcome(account=Stopped(entered)))
    with pytest.raises(StopNow):
        run.run()
    account = run.abandon().account
    assert account.read == 3
    assert (account.confirmed, account.unknown) == ((3, 0) if entered else (0, 3))
    assert (account.refused, account.skipped) == (0, 0)


class Failing(Confirming):
    """Confirms the first call; the next raises."""

    def settle(self, moves: Sequence[Move]) -> Receipts:
        if self.settled:
            raise Failed("nothing more can be settled")
        self.settled = True
        return super().settle(moves)

    settled = False


@pytest.mark.parametrize(("atomic", "elsewhere", "refused"), [(True, False, 1), (False, False, 0), (True, True, 0)])
def test_letters_of_a_call_that_raises_are_in_doubt_unless_it_does_all_or_nothing_and_they_went_nowhere_else(
        atomic: bool, elsewhere: bool, refused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.redriving.WAIT_SECONDS", 0.0)
    repair = Failing(3)
    repair.atomic = atomic
    run = Redriving(repair, Reading(None), Redrive(HOME, 3, None, None), LetterFilter(),  # type: ignore[arg-type]
                    through=Counting(), elsewhere=elsewhere)
    run.through.run = run  # type: ignore[union-attr]
    account = run.run().account
    assert (account.confirmed, account.refused, account.unknown) == (1, refused, 1 - refused)
    assert account.read == account.confirmed + account.refused + account.unknown + account.skipped


class Counting:
    """A program for which it is noted how many letters had moved when it ran."""

    def __init__(self) -> None:
        self.run: Redriving | None = None
        self.moved: list[int] = []

    def transform(self, message: Message) -> Transformed:
        assert self.run is not None
        self.moved.append(self.run.outcome.account.confirmed)
        return Transformed(message)


def test_letters_move_while_programs_still_run_over_those_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.redriving.WAIT_SECONDS", 0.0)
    through = Counting()
    run = through.run = Redriving(Confirming(4), Reading(None), Redrive(HOME, 3, None, None), LetterFilter(),  # type: ignore[arg-type]
                                  through=through)
    assert run.run().account.confirmed == 4
    assert through.moved == [0, 1, 2, 3]


class Choosy:
    """A program that fails for the bodies it is made with, and is not for those that nobody `meant`."""

    def __init__(self, *failing: bytes, meant: bool = True) -> None:
        self._failing, self._meant = failing, meant
        self.ran: list[bytes | None] = []

    def transform(self, message: Message) -> Transformed:
        self.ran.append(message.body)
        return Transformed(None, "it failed", meant=self._meant) if message.body in self._failing else Transformed(message)


@pytest.mark.parametrize(("meant", "ran", "account"), [(True, 2, (1, 1)), (False, 3, (2, 0))], ids=["failed", "not the one that was edited"])
@pytest.mark.parametrize("wait", [0.0, 1000.0], ids=["letters go one by one", "letters go together"])
def test_a_letter_that_a_program_failed_for_counts_towards_the_limit_and_one_it_was_not_for_does_not(
        wait: float, meant: bool, ran: int, account: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.redriving.WAIT_SECONDS", wait)
    through = Choosy(b"body 0", meant=meant)
    run = Redriving(Confirming(9), Reading(None), Redrive(HOME, 3, None, None), LetterFilter(), through=through, limit=2)  # type: ignore[arg-type]
    outcome = run.run()
    assert len(through.ran) == ran
    assert (outcome.account.confirmed, outcome.account.refused) == account


class Flooded(Confirming):
    """As many letters as there are come in pairs, while thousands of new ones arrive."""

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left[:30], self._left[30:]
        return RecordList(read) if read else None

    def arrived(self) -> int | None:
        return 5000


@pytest.mark.parametrize(("rules", "elsewhere", "count", "stopped"), [
    (Redrive(HOME, 3, None, None), False, 90, True), (Redrive(HOME, 3, None, None), False, 30, False),
    (Redrive(HOME, 3, None, None), True, 90, False), (Park(Address("parked", "topic"), unrecognised=True), False, 90, False),
    (Drop(unrecognised=True), False, 90, False)], ids=["home", "home, and all done", "to another broker", "parked", "dropped"])
def test_letters_that_come_meanwhile_stop_only_what_could_have_made_them(rules: Rules, elsewhere: bool, count: int, stopped: bool) -> None:
    run = Redriving(Flooded(count), Reading(None), rules, LetterFilter(), elsewhere=elsewhere)  # type: ignore[arg-type]
    outcome = run.run(Dropping(run.repair) if isinstance(rules, Drop) or elsewhere else None)
    assert (outcome.error is not None) is stopped
    assert outcome.account.confirmed == (30 if stopped else count)
