"""A program that runs over the letters of a redrive: what becomes of those that it refuses, passes over, or never sees."""

from __future__ import annotations

import pytest

from brokercli.model.address import Address
from brokercli.model.message import Message
from brokercli.model.receipt import Account, Receipts, Verdict
from brokercli.operations.decisions import Park, Redrive
from brokercli.operations.letters import LetterFilter
from brokercli.operations.redriving import Redriving
from brokercli.operations.through import Transformed
from tests.operations.test_redriving import HOME, Confirming, Counting, Reading, Recording, letter_at


class Refusing(Counting):
    """A program that fails on every second letter and passes over every third."""

    def transform(self, message: Message) -> Transformed:
        number = int((message.body or b"").split()[-1])
        if number % 2:
            return Transformed(None, "it ended with 1")
        return Transformed(Message(b"changed")) if number % 3 else Transformed(None, "not for this program", meant=False)


def test_what_a_program_refused_is_refused_and_told_and_what_it_passed_over_is_skipped() -> None:
    repair, told = Recording([letter_at(number, Message(b"body %d" % number)) for number in range(12)]), Receipts()
    run = Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), through=Refusing(), on_receipts=told.add)  # type: ignore[arg-type]
    assert run.run().account == Account(read=12, confirmed=4, refused=6, skipped=2)
    assert [move.message.body for move in repair.moves] == [b"changed"] * 4
    refused = [receipt.reason for receipt in told.problems if receipt.verdict is Verdict.REFUSED]
    assert refused == [f"0:{number}: it ended with 1" for number in (1, 3, 5, 7, 9, 11)]
    assert (run.plan.letters, run.plan.left) == (12, {"it ended with 1": 6, "not for this program": 2})


def test_a_program_sees_nothing_of_what_is_parked() -> None:
    repair = Recording([letter_at(number, Message(b"body %d" % number)) for number in range(4)])
    rules = Park(Address("parked", "topic"), unrecognised=True)
    assert Redriving(repair, Reading(None), rules, LetterFilter(), through=Refusing()).run().account == Account(read=4, confirmed=4)  # type: ignore[arg-type]
    assert [move.message.body for move in repair.moves] == [b"body %d" % number for number in range(4)]


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
