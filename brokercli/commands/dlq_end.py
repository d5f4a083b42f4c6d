"""What a repair says of letters that did not move, and at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.model.amount import amount
from brokercli.model.errors import NotFound
from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Receipts, Verdict
from brokercli.operations.planning import Plan
from brokercli.operations.publishing import Outcome
from brokercli.terminal.failure import present
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams
from brokercli.terminal.summary import report_end, summarise

DONE = {"redrive": "redriven", "drop": "dropped", "park": "parked"}
"""What was done to letters, by the word for doing it."""

# reasons that are said as they come up; what comes after them is counted
SAID = 20


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended."""

    streams: Streams
    verb: str
    source: str
    plan: Plan
    outcome: Outcome
    code: int
    seconds: float
    notes: Sequence[str]
    """What is known only now; empty ones are passed over."""
    journal: str | None

    def say(self, quiet: bool, report: str | None, begun: str | None) -> int:
        """Say what stopped it, what was left and why, where the letters are kept, the account, and what to type next.

        `begun` is the journal that was asked for by its name: no run takes it twice.

        Returns the exit code: the run's own, or that of a report that cannot be written where all else went well.
        """
        streams, outcome = self.streams, self.outcome
        if outcome.error is not None:
            present(outcome.error, streams)
        for note in filter(None, self.notes) if not quiet else ():
            streams.say(note)
        if not quiet and not self.plan.letters and outcome.error is None and not outcome.stopped:
            streams.say(f"no pending letter in {self.source} matches: nothing was changed")
        if not quiet:
            for reason, count in self.plan.left.most_common(10):
                streams.say(f"left: {amount(count, 'letter')}: {reason}")
            if self.journal is not None:
                streams.say(f"the letters as they were are kept in {self.journal}")
        summarise(streams, self.verb, outcome.account, seconds=self.seconds, quiet=quiet, doubt=self._doubt(outcome.account.unknown))
        # of what was deleted meanwhile nothing is left there
        if (outcome.stopped or self.code in (ExitCode.PARTLY, ExitCode.IN_DOUBT)) and not isinstance(outcome.error, NotFound) and not quiet:
            command = "the same command" if begun is None or self.journal is None else "the same command, with another --journal,"
            streams.say(f"{command} goes on with what is left in {self.source}")
        facts = {"left": dict(self.plan.left), "destinations": dict(self.plan.destinations), "journal": self.journal}
        return self.code if report is None else report_end(streams, report, self.verb, outcome.account, self.code, self.seconds, facts)

    def _doubt(self, unknown: int) -> str:
        letters = amount(unknown, "letter")
        if self.verb == "dropped":
            return f"{letters} may be gone from {self.source}, or not: the answer never came."
        return f"{letters} may be stored where {'it was' if unknown == 1 else 'they were'} to go, be pending in {self.source}, or both."


class Problems:
    """What did not move, said as it happens: each reason once, with how many letters it is about so far. `rest` counts those after."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._said: dict[tuple[Verdict, str], int] = {}
        """Verdict and reason → how many letters came after it was said."""
        self._others: Counter[Verdict] = Counter()

    def take(self, receipts: Receipts) -> None:
        """Take the verdicts on letters, in the order they came."""
        self._progress.advance(len(receipts))
        for (verdict, reason), count in Counter((receipt.verdict, receipt.reason) for receipt in receipts.problems).items():
            if (verdict, reason) in self._said:
                self._said[verdict, reason] += count
            elif len(self._said) < SAID:
                self._said[verdict, reason] = 0
                several = f" ({amount(count, 'letter')})" if count > 1 else ""
                self._progress.note(f"{verdict}: {reason}{several}")
            else:
                self._others[verdict] += count

    def rest(self) -> list[str]:
        """Return what is still to be said at the end: of how many more each reason was the reason."""
        more = [f"{verdict}: {count:,} more: {reason}" for (verdict, reason), count in self._said.items() if count]
        return more + [f"{verdict}: {count:,} more" for verdict, count in self._others.items()]
