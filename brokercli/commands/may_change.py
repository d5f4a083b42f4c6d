"""What a context allows: read-only ones are looked at, protected ones are changed only by who names them."""

from __future__ import annotations

from brokercli.model.errors import UsageProblem
from brokercli.settings.resolve import ResolvedContext
from brokercli.terminal.confirm import confirm
from brokercli.terminal.streams import Streams


def check_may_change(context: ResolvedContext, hint: str = "without --yes it shows the plan") -> None:
    """Raise UsageProblem where nothing may be changed in this context, or not without naming it; call it before the first change.

    `hint` says how to look at a read-only one.
    """
    if context.readonly:
        raise UsageProblem(f"The context {context.name} is read-only: nothing is changed there.", hint=hint)
    if context.protected and not context.said:
        raise UsageProblem(f"The context {context.name} is protected: name it to change anything there.", hint=f"--context {context.name}")


def agreed(streams: Streams, context: ResolvedContext, question: str, *, yes: bool, otherwise: str, dry_run: bool = False) -> bool:
    """Return whether to do what was shown: because `yes` says so, or whoever was asked. Where not, it is said that nothing was changed, and
    where nobody could be asked `otherwise`, how it is done."""
    if dry_run or (not yes and (context.readonly or not streams.can_ask())):
        streams.say(f"nothing was changed; {'this context is read-only' if context.readonly else otherwise}")
        return False
    check_may_change(context)
    if not confirm(streams, question, yes):
        streams.say("nothing was changed")
        return False
    return True
