"""What a context allows: read-only ones are looked at, protected ones are changed only by who names them."""

from __future__ import annotations

from brokercli.model.errors import UsageProblem
from brokercli.settings.resolve import ResolvedContext


def check_may_change(context: ResolvedContext, hint: str = "without --yes it shows the plan") -> None:
    """Raise UsageProblem where nothing may be changed in this context, or not without naming it; call it before the first change.

    `hint` says how to look at a read-only one.
    """
    if context.readonly:
        raise UsageProblem(f"The context {context.name} is read-only: nothing is changed there.", hint=hint)
    if context.protected and not context.said:
        raise UsageProblem(f"The context {context.name} is protected: name it to change anything there.", hint=f"--context {context.name}")
