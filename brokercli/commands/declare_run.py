"""From a plan to what becomes of it: shown, asked about, done step by step, one exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.declaring import Declarer
from brokercli.backends.registry import settings_of
from brokercli.commands.declare_steps import Steps
from brokercli.commands.may_change import check_may_change
from brokercli.commands.session import Broker
from brokercli.model.amount import amount
from brokercli.model.declaration import Action, Change
from brokercli.model.exit_code import ExitCode
from brokercli.operations.declaring import Plan, refusal
from brokercli.terminal.changes import print_changes
from brokercli.terminal.confirm import confirm
from brokercli.terminal.interrupt import Interrupt
from brokercli.terminal.streams import Streams

SUMMARY = {Action.CREATE: "to create", Action.CHANGE: "to change", Action.DELETE: "to delete", Action.CANNOT: "that cannot be as declared",
           Action.UNCHANGED: "unchanged"}


@dataclass(frozen=True, slots=True)
class DeclareRun:
    """How a plan is to be carried out."""

    streams: Streams
    broker: Broker
    declarer: Declarer
    output: str = "auto"
    yes: bool = False
    dry_run: bool = False
    quiet: bool = False
    """Print problems, what is asked about, and JSON where that was asked for; nothing else."""
    creates_unasked: bool = False
    """Whether what only makes new things needs no `--yes`."""
    doer: str = ""
    """The command that would do it, where this one never does."""

    def run(self, plan: Plan) -> int:
        """Show the plan, and do it where that was asked for; return the exit code. Raises Failed, with nothing changed, where
        something cannot be as declared."""
        for note in plan.notes if not self.quiet else ():
            self.streams.say(note)
        pending = plan.pending
        acting = not self.dry_run and bool(pending) and not plan.impossible and (self.yes or (self.creates_unasked and plan.only_creates))
        if acting:
            check_may_change(self.broker.context, "--dry-run shows the plan")
        self._print(self._shown(plan, acting))
        self._summarise(plan)
        if plan.impossible:
            raise refusal(plan)
        if not pending:
            self._say_worker(plan)
            return int(ExitCode.DONE)
        if not acting and not self._agreed(plan):
            return int(ExitCode.CHANGES_PENDING)
        if acting and self.output == "json":
            self._print([change for change in plan.changes if change.action is Action.UNCHANGED])
        return self._apply(plan)

    @property
    def _asks(self) -> bool:
        return not (self.dry_run or self.broker.context.readonly) and self.streams.can_ask()

    def _shown(self, plan: Plan, acting: bool) -> Sequence[Change]:
        if self.output == "json":
            return () if acting else plan.changes
        if not self.quiet:
            return plan.changes
        return plan.impossible or (plan.pending if self._asks and not acting else ())  # nobody agrees to what he has not seen

    def _agreed(self, plan: Plan) -> bool:
        if not self._asks:
            if not self.quiet:
                self.streams.say(f"nothing was changed; {self._what_does_it(plan)}")
            self._say_worker(plan)
            return False
        check_may_change(self.broker.context)
        count, deleted = len(plan.pending), sum(change.action is Action.DELETE for change in plan.pending)
        what = f"{amount(count, 'change')}" + (f", {deleted:,} of them deleting" if deleted else "")
        if not confirm(self.streams, f"{what}: do {'them' if count > 1 else 'it'}?", yes=False):
            self.streams.say("nothing was changed")
            return False
        return True

    def _what_does_it(self, plan: Plan) -> str:
        if self.broker.context.readonly:
            return "this context is read-only"
        if self.doer or not self.dry_run:
            return f"{self.doer or '--yes'} does it"
        return "without --dry-run it is done" if self.creates_unasked and plan.only_creates else "--yes in place of --dry-run does it"

    def _apply(self, plan: Plan) -> int:
        with Interrupt(self.streams) as interrupt:
            steps = Steps(self.streams, self.declarer, self.output, self.quiet)
            code = steps.do(plan, interrupt)
            if code is None:
                self._say_worker(plan)
        return int(ExitCode.DONE) if code is None else code

    def _say_worker(self, plan: Plan) -> None:
        # a topology that is as it should be, but for what is pruned, has nothing new to tell
        if plan.worker and not self.quiet and (self.creates_unasked or any(change.action is not Action.DELETE for change in plan.pending)):
            self.streams.say("what a worker has to do:")
            for sentence in plan.worker:
                self.streams.say(f"- {sentence}")

    def _summarise(self, plan: Plan) -> None:
        counts = Counter(change.action for change in plan.changes)
        told = ", ".join(f"{counts[action]:,} {words}" for action, words in SUMMARY.items() if counts[action])
        if len(plan.changes) > 1 and not self.quiet and self.output != "json":
            self.streams.say(told)

    def _print(self, changes: Sequence[Change]) -> None:
        print_changes(self.streams, changes, settings_of(self.broker.descriptor), self.output)
