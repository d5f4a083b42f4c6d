"""What settles letters in place of their repair: they are dropped, or put to another broker and marked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from brokercli.backends.dead_letters import Repair, State
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, Failed
from brokercli.model.message import Record
from brokercli.model.receipt import NAMELESS, Receipt, Receipts, Verdict
from brokercli.operations.decisions import Decision
from brokercli.operations.settling import Settling


class Settler(Protocol):
    """Settles letters; its verdicts are those of `Repair.settle`."""

    @property
    def failure(self) -> BrokercliError | None:
        """Why no more letters are to be given to it, beside what the repair's own `check` says."""

    def settle(self, decisions: list[Decision], /) -> Receipts:
        """Settle them, and wait for every verdict."""


@dataclass(slots=True)
class Dropping:
    """Marks letters as dropped."""

    repair: Repair
    failure: None = None

    def settle(self, decisions: list[Decision], /) -> Receipts:
        """Mark them."""
        return self.repair.mark([decision.letter.record for decision in decisions], State.DROPPED)


@dataclass(slots=True)
class PuttingElsewhere:
    """Publishes letters on another broker, and marks here what that has confirmed. Once a letter could not be marked, no more are
    published: the next run publishes that one a second time, and would publish those as well."""

    settling: Settling
    repair: Repair
    _unmarked: BrokercliError | None = None

    @property
    def failure(self) -> BrokercliError | None:
        """As promised."""
        return self._unmarked or self.settling.failure

    def settle(self, decisions: list[Decision], /) -> Receipts:
        """Publish each message there and mark here what was confirmed; confirmed means both."""
        going = [(decision.letter.record, decision.message) for decision in decisions if decision.message is not None]
        receipts = self.settling.put([message for _, message in going])
        return self._mark([record for record, _ in going], receipts)

    def _mark(self, records: Sequence[Record], receipts: Receipts) -> Receipts:
        problems = {receipt.index: receipt for receipt in receipts.problems if receipt.verdict is not Verdict.CONFIRMED}
        confirmed = [index for index in range(len(records)) if index not in problems]
        if not receipts.tell_apart(len(records)):
            return self._in_doubt(len(records), problems)
        marked = self.repair.mark([records[index] for index in confirmed], State.REDRIVEN)
        whole = Receipts()
        whole.confirmed += marked.confirmed - marked.duplicates
        for receipt in problems.values():
            whole.count(receipt)
        for receipt in marked.problems:
            if receipt.verdict is Verdict.CONFIRMED:
                whole.count(replace(receipt, index=confirmed[receipt.index]))
            else:
                whole.count(Receipt(confirmed[receipt.index], Verdict.UNKNOWN, reason=f"stored at its destination, but not marked here: {receipt.reason}"))
        if unmarked := marked.refused + marked.unknown:
            self._unmarked = Failed(f"Stopped: {amount(unmarked, 'letter is', 'letters are')} stored there and could not be marked here.",
                                     hint="as long as they are pending, the same command puts them there a second time")
        return whole

    def _in_doubt(self, count: int, problems: Mapping[int, Receipt]) -> Receipts:
        """Mark nothing of so many letters, whose verdicts cannot be told apart."""
        self._unmarked = Failed("Stopped: what was stored there cannot be told from what was not, so it is not marked here.",
                                hint="as long as they are pending, the same command puts those that are stored there a second time")
        whole = Receipts()
        for index in range(count):
            whole.count(problems.get(index) or Receipt(index, Verdict.UNKNOWN, reason=NAMELESS))
        return whole
