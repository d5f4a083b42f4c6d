"""Letters that cannot be settled any more, because the broker has taken them back: no time is spent on them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from brokercli.backends.dead_letters import Move
from brokercli.model.errors import Failed
from brokercli.model.receipt import Account, Receipts
from brokercli.operations.decisions import Redrive
from brokercli.operations.letters import LetterFilter
from brokercli.operations.redriving import Redriving
from tests.operations.test_redriving import HOME, AtOnce, Confirming, Counting, Reading


class TakenBack(Confirming):
    """Can settle nothing any more once it has settled so many."""

    def __init__(self, count: int, after: int) -> None:
        super().__init__(count)
        self._settled, self._after = 0, after

    def settle(self, moves: Sequence[Move]) -> Receipts:
        self._settled += len(moves)
        if self._settled >= self._after:
            self.failure = Failed("the broker took them back")
        return super().settle(moves)


def test_no_program_runs_over_letters_that_cannot_be_settled_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.redriving.WAIT_SECONDS", 0.0)
    through = Counting()
    run = through.run = Redriving(TakenBack(9, 2), Reading(None), Redrive(HOME), LetterFilter(), through=through)  # type: ignore[arg-type]
    outcome = run.run()
    assert (str(outcome.error), outcome.account) == ("the broker took them back", Account(read=2, confirmed=2))
    assert len(through.moved) == 2


def test_no_letter_waits_for_its_turn_that_cannot_be_settled_any_more() -> None:
    run = Redriving(TakenBack(9, 4), Reading(None), Redrive(HOME), LetterFilter(), rate=AtOnce(2))  # type: ignore[arg-type]
    outcome = run.run()
    assert (str(outcome.error), outcome.account) == ("the broker took them back", Account(read=9, confirmed=4, skipped=5))
