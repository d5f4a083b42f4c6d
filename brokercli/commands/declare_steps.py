"""Doing what a plan says, step by step: each is said as it is done, and at the end what was not."""

from __future__ import annotations

from dataclasses import dataclass

from brokercli.backends.declaring import Declarer
from brokercli.model.declaration import Action
from brokercli.model.exit_code import ExitCode
from brokercli.operations.declaring import Plan, State, Step, apply
from brokercli.terminal.changes import as_json
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import print_json

DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


@dataclass(frozen=True, slots=True)
class Steps:
    """How they are done and told."""

    streams: Streams
    declarer: Declarer
    output: str
    quiet: bool

    def do(self, plan: Plan, interrupt: Interrupt) -> int | None:
        """Do all that is pending, until one fails or a signal stops it; return the exit code, None where all is done. From then on no
        signal cuts short what is said."""
        steps: list[Step] = []
        try:
            for step in apply(self.declarer, plan.pending, lambda: interrupt.requested):
                steps.append(step)
                self._report(step)
            interrupt.last_words()
        except StopNow:
            interrupt.last_words()
            if unknown := plan.pending[len(steps):]:
                self.streams.say(f"stopped: it is not known whether this was done: {unknown[0].declaration}", "bold yellow")
                return int(ExitCode.IN_DOUBT)
        left = [step.change.declaration for step in steps if step.state is State.LEFT]
        done = sum(step.state is State.DONE for step in steps)
        if left:
            self.streams.say(f"{done:,} of {len(steps):,} done; not done: {', '.join(map(str, left))}")
            refused = any(step.state is State.FAILED for step in steps)
            self.streams.say_hint(f"run it again{' once that is mended' if refused else ''}: what is done is left as it is")
        if broken := next((step for step in steps if step.state in (State.FAILED, State.UNKNOWN)), None):
            if broken.state is State.UNKNOWN:
                return int(ExitCode.IN_DOUBT)
            assert broken.error is not None
            return int(ExitCode.PARTLY if done else broken.error.exit_code)
        return interrupt.exit_code if interrupt.requested and left else None

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
