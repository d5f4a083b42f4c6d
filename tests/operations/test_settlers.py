"""Letters put to another broker: once they cannot be marked here, no other is published there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from brokercli.backends.dead_letters import State
from brokercli.model.errors import BrokercliError, Failed, Unreachable
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.decisions import Redrive
from brokercli.operations.letters import LetterFilter
from brokercli.operations.publishing import Outcome, Rate
from brokercli.operations.redriving import Redriving
from brokercli.operations.settlers import PuttingElsewhere
from brokercli.operations.settling import Settling
from tests.operations.test_redriving import HOME, Confirming, Reading


class Elsewhere(Settling):
    """Stores everything."""

    def __init__(self) -> None:
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


def run(repair: Confirming, elsewhere: Elsewhere) -> Outcome:
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
