"""From a plan to what becomes of it: shown, asked about, done step by step, one exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.declaring import Declarer
from brokercli.backends.registry import settings_of
from brokercli.commands.may_change import check_may_change
from brokercli.commands.session import Broker
from brokercli.model.declaration import Action, Change
from brokercli.model.exit_code import ExitCode
from brokercli.operations.declaring import Plan, State, Step, apply, refusal
from brokercli.terminal.changes import as_json, print_changes
from brokercli.terminal.confirm import confirm
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import print_json

SUMMARY = {Action.CREATE: "to create", Action.CHANGE: "to change", Action.DELETE: "to delete", Action.CANNOT: "that cannot be as declared",
           Action.UNCHANGED: "unchanged"}
DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


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
        what = f"{count:,} change{'s' if count > 1 else ''}" + (f", {deleted:,} of them deleting" if deleted else "")
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
        steps: list[Step] = []
        with Interrupt(self.streams) as interrupt:
            try:
                for step in apply(self.declarer, plan.pending, lambda: interrupt.requested):
                    steps.append(step)
                    self._report(step)
            except StopNow:
                self.streams.say(f"stopped: it is not known whether this was done: {', '.join(str(one.declaration) for one in plan.pending[len(steps):][:1])}",
                                 "bold yellow")
                return int(ExitCode.IN_DOUBT)
        left = [step.change.declaration for step in steps if step.state is State.LEFT]
        done = sum(step.state is State.DONE for step in steps)
        if left:
            self.streams.say(f"{done:,} of {len(steps):,} done; not done: {', '.join(map(str, left))}")
            self.streams.say_hint("run it again: what is done is left as it is")
        if broken := next((step for step in steps if step.state in (State.FAILED, State.UNKNOWN)), None):
            if broken.state is State.UNKNOWN:
                return int(ExitCode.IN_DOUBT)
            assert broken.error is not None
            return int(ExitCode.PARTLY if done else broken.error.exit_code)
        if interrupt.requested and left:
            return interrupt.exit_code
        self._say_worker(plan)
        return int(ExitCode.DONE)

    def _report(self, step: Step) -> None:
        declaration = step.change.declaration
        if self.output == "json":
            print_json(self.streams, [as_json(step.change, str(step.state), step.error)])
        if step.state is State.DONE and not self.quiet and self.output != "json":
            self.streams.say(f"{DONE[step.change.action]}: {declaration}")
        elif step.error is not None:
            told = f"it is not known whether {declaration} was {DONE[step.change.action]}: " if step.state is State.UNKNOWN else f"{declaration}: "
            self.streams.say(f"brokercli: {told}{step.error}", "bold red:")
            if step.error.hint:
                self.streams.say_hint(step.error.hint)

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
