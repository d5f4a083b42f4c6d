"""What a repair says of letters that did not move, and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Receipts
from brokercli.operations.publishing import Outcome
from brokercli.operations.redriving import Plan
from brokercli.terminal.failure import present
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams
from brokercli.terminal.summary import report_end, summarise

# problems said one by one in one batch; the rest are counted
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

    def say(self, quiet: bool, report: str | None) -> int:
        """Say what stopped it, what was left and why, where the letters are kept, the account, and what to type next.

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
                streams.say(f"left: {count:,} {reason}")
            if self.journal is not None:
                streams.say(f"the letters as they were are kept in {self.journal}")
        summarise(streams, self.verb, outcome.account, seconds=self.seconds, quiet=quiet)
        if self.code in (ExitCode.PARTLY, ExitCode.IN_DOUBT) and not quiet:
            streams.say(f"what is left is still in {self.source}; the same command goes on with it")
        facts = {"left": dict(self.plan.left), "destinations": dict(self.plan.destinations), "journal": self.journal}
        return self.code if report is None else report_end(streams, report, self.verb, outcome.account, self.code, self.seconds, facts)


def say_problems(progress: Progress, receipts: Receipts) -> None:
    """Say what did not move, as it happens."""
    progress.advance(len(receipts))
    for receipt in receipts.problems[:SAID]:
        progress.note(f"{receipt.verdict}: {receipt.reason}")
    if len(receipts.problems) > SAID:
        progress.note(f"and {len(receipts.problems) - SAID:,} more")
