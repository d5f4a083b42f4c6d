"""Ask before something that cannot be taken back."""

from __future__ import annotations

from contextlib import nullcontext

from brokercli.model.errors import UsageProblem
from brokercli.terminal.interrupt import Interrupt
from brokercli.terminal.streams import Streams


def confirm(streams: Streams, question: str, yes: bool, interrupt: Interrupt | None = None) -> bool:
    """Return whether to go on: at once with `yes`, otherwise after asking. `interrupt` is the one that is open meanwhile.

    Raises UsageProblem where nobody can be asked: standard input or standard error is no terminal, or BROKERCLI_NO_INPUT
    is set. A script never hangs and never does by default what it was not told to.
    """
    if yes:
        return True
    if not streams.can_ask():
        raise UsageProblem("This needs --yes when nobody can be asked. Nothing was changed.", hint="look at the plan, then repeat the command with --yes")
    with interrupt.asking() if interrupt is not None else nullcontext():
        return streams.ask(question)
