"""Put dead letters back, batch by batch: each is confirmed before it is marked, and the account says what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Move, Repair
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import BrokercliError
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.coming_back import ComingBack
from brokercli.operations.decisions import Decision, Redrive, Rules
from brokercli.operations.letter_file import LetterFile
from brokercli.operations.letters import LetterFilter, Recogniser, identity, read_matching
from brokercli.operations.planning import Plan
from brokercli.operations.publishing import Outcome, Rate
from brokercli.operations.reading import SLICE
from brokercli.operations.settlers import Settler
from brokercli.operations.sorting import Sorted, Sorter
from brokercli.operations.through import Transforming

WAIT_SECONDS = 1.0
"""So long letters wait for the programs that run over those behind them."""


@dataclass(slots=True)
class Redriving:
    """One run. Letters that pass the filter count as read; each is settled, marked or left, and the account says which."""

    repair: Repair
    recogniser: Recogniser
    rules: Rules
    letter_filter: LetterFilter
    journal: LetterFile | None = None
    """Where letters are written before anything is done to them."""
    through: Transforming | None = None
    rate: Rate = field(default_factory=lambda: Rate(None))
    limit: int | None = None
    stopping: Callable[[], bool] = lambda: False
    elsewhere: bool = False
    """Whether letters are published on another broker before they are marked here."""
    on_begin: Callable[[], None] = lambda: None
    """Called once, before anything is done to the first letter."""
    on_receipts: Callable[[Receipts], None] = lambda receipts: None
    outcome: Outcome = field(default_factory=Outcome)
    plan: Plan = field(default_factory=Plan)
    _sorter: Sorter | None = None
    """Where whole batches can be decided on at once."""
    _coming_back: ComingBack | None = None
    """Where letters go that may die again."""
    _moved: int = 0
    _tried: int = 0
    """Letters that count towards the limit: those that go, and those that a program failed for."""
    _more: bool = False
    """Whether letters of the batch at hand are still to be decided on or put back."""
    _begun: Callable[[], Receipts] | None = None
    """What finishes settling the letters before."""

    def run(self, settler: Settler | None = None) -> Outcome:
        """Move every letter that passes, until the end there was, the limit, a signal, or something that stops it.

        `settler` takes the place of the repair, where letters are dropped or go to another broker.
        """
        if settler is None and self.letter_filter.everything and self.through is None and self.limit is None and self.rate.unlimited:
            self._sorter = Sorter(self.recogniser, self.rules)
        # what is dropped, parked or goes elsewhere cannot come back
        if isinstance(self.rules, Redrive) and not self.elsewhere:
            self._coming_back = ComingBack(self.repair, self.recogniser)
        try:
            while not self._enough():
                batch = self.repair.read(SLICE)
                if batch is not None and len(batch):
                    self._move(batch, settler)
                elif self.repair.finished:
                    break
        except BrokercliError as error:
            self.outcome.error = error
        try:
            self._finish()
        except BrokercliError as error:
            self.outcome.error = self.outcome.error or error
        self.outcome.stopped = self.stopping()
        if self.outcome.error is None and self.repair.failure is None and not self._enough():
            self.outcome.error = self.repair.left_out
        return self._close_account()

    def abandon(self) -> Outcome:
        """Stop now, for the second Ctrl-C. What is being settled is unknown from here on, except for what the repair knows, which is closed
        by then."""
        self.outcome.stopped = True
        self.outcome.account.confirmed += min(self.repair.confirmed_at_stop(), self._in_hand)
        return self._close_account()

    @property
    def _in_hand(self) -> int:
        """How many letters are being settled. The account tells: where a signal comes in the midst of entering verdicts, those that are
        entered are known."""
        account = self.outcome.account
        return self._moved - (account.confirmed + account.refused - self.plan.refused + account.unknown)

    def _close_account(self) -> Outcome:
        account = self.outcome.account
        if self.repair.atomic and not self.elsewhere and self.outcome.error is not None:
            account.refused += self._in_hand
        else:
            account.unknown += self._in_hand
        account.skipped += account.open
        return self.outcome

    def _now(self) -> int:
        return time.time_ns() if self._coming_back is None else self._coming_back.now()

    def _enough(self) -> bool:
        return self.stopping() or (self.limit is not None and self._tried >= self.limit)

    def _move(self, batch: Batch, settler: Settler | None) -> None:
        found = None if self._sorter is None else self._sorter.sort(batch, self._now())
        if found is not None:
            self._forward(batch, found)
            return
        for decisions, decided in self._decide(batch):
            self._settle(decisions, decided, settler)

    def _settle(self, decisions: list[Decision], decided: bool, settler: Settler | None) -> None:
        """Put back letters that go, as fast as they may; they are the last of their part where all of it is `decided` on."""
        start = 0
        self._more = not decided or bool(decisions)
        while start < len(decisions) and not self.stopping():
            self.repair.check()
            if settler is not None and settler.failure is not None:
                raise settler.failure
            allowed = self.rate.allow(len(decisions) - start)
            if not allowed:
                self._finish()
                time.sleep(SLICE / 10)
                continue
            chosen = decisions[start:start + allowed]
            start += allowed
            self._more = not decided or start < len(decisions)
            if not self._moved:
                self.on_begin()
            if self.journal is not None:
                self.journal.write([decision.letter for decision in chosen])
            if self._coming_back is not None:
                self._coming_back.note(decision.message.body or b"" for decision in chosen if decision.message is not None)
            self._moved += len(chosen)
            if settler is None and self.through is None and self.repair.overlapping:
                self._overlap(self.repair.begin(_moves(chosen)))
            else:
                self._take(self.repair.settle(_moves(chosen)) if settler is None else settler.settle(chosen))

    def _forward(self, batch: Batch, found: Sorted) -> None:
        """Put back the letters of a batch that go, all of them together."""
        account, count = self.outcome.account, len(found.indices)
        account.read += len(batch)
        for decision, times in found.decisions:
            self.plan.take(decision, times)
            account.refused += times if decision.refused else 0
        if count and not self.stopping():
            if not self._moved:
                self.on_begin()
            chosen = batch if count == len(batch) else batch.select(found.indices)
            if self.journal is not None:
                self.journal.write_lines(chosen.envelopes())
            if self._coming_back is not None:
                self._coming_back.note(chosen.bodies())
            self._moved += count
            finish = self.repair.forward(chosen, found.goals, found.headers)
            if self.repair.overlapping:
                self._overlap(finish)
            else:
                self._take(finish())

    def _overlap(self, finish: Callable[[], Receipts]) -> None:
        """Wait for the letters before, while those that were just begun are on their way; all of them are known to be in hand."""
        before, self._begun = self._begun, finish
        if before is not None:
            self._take(before())

    def _finish(self) -> None:
        """Wait for the verdicts on the letters before, where they are still out."""
        begun, self._begun = self._begun, None
        if begun is not None:
            self._take(begun())

    def _take(self, receipts: Receipts) -> None:
        self.outcome.account.take(receipts)
        self.on_receipts(receipts)
        # once all is done there is nothing to stop
        if self._coming_back is not None and (self._more or not self.repair.finished or self._begun is not None):
            self._coming_back.check(self.outcome.account.confirmed)

    def _decide(self, batch: Batch) -> Iterator[tuple[list[Decision], bool]]:
        """Yield the decisions on letters that go, and whether they are the last of what is in memory together: all at once, or, where they point
        at their messages, as many as there is memory for, and where a program runs over each letter, once a second. Letters that pass the filter
        and are left are entered, as refused or skipped."""
        at = self._now()
        for letters in read_matching(self.recogniser, self.letter_filter, batch):
            yield from self._decide_on(letters, at)
            # before more originals are fetched
            if self._enough():
                return

    def _decide_on(self, letters: Sequence[DeadLetter], at: int) -> Iterator[tuple[list[Decision], bool]]:
        made: list[Decision] = []
        failed = Receipts()
        began = time.monotonic()
        try:
            for letter in letters:
                if self._enough():
                    break
                if self.through is not None:
                    self.repair.check()
                decision = self.rules.decide(letter, at)
                made.append(self._transformed(decision, failed))
                self._tried += not decision.left and (made[-1].refused or not made[-1].left)
                if self.through is not None and time.monotonic() - began >= WAIT_SECONDS:
                    some, told, made, failed = made, failed, [], Receipts()
                    yield self._enter(some, told), False
                    began = time.monotonic()
        finally:
            some = self._enter(made, failed)
        yield some, True

    def _enter(self, made: list[Decision], failed: Receipts) -> list[Decision]:
        """Count letters that were decided on, and return the decisions on those that go."""
        self.outcome.account.read += len(made)
        # in this order: somebody who stops between the two leaves nothing that was sent for skipped
        self.plan.take_all(made)
        self.outcome.account.refused += sum(decision.refused for decision in made)
        if failed:
            self.on_receipts(failed)
        return [decision for decision in made if not decision.left]

    def _transformed(self, decision: Decision, failed: Receipts) -> Decision:
        letter = decision.letter
        # what is parked goes as it is
        if self.through is None or decision.message is None or decision.message is letter.record.message:
            return decision
        transformed = self.through.transform(decision.message)
        if transformed.message is None:
            if transformed.meant:
                failed.count(Receipt(-1, Verdict.REFUSED, reason=f"{identity(letter) or 'a letter'}: {transformed.reason}"))
            return Decision(letter, left=transformed.reason, refused=transformed.meant)
        return replace(decision, message=transformed.message)


def _moves(decisions: Sequence[Decision]) -> list[Move]:
    return [Move(decision.letter.record, decision.message, decision.destination, decision.original) for decision in decisions
            if decision.message is not None and decision.destination is not None]
