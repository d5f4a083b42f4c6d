"""The end of a command about letters that named no destination, where nothing is pending in any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from brokercli.commands.dlq_session import NothingPending
from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Account
from brokercli.terminal.streams import Streams
from brokercli.terminal.summary import report_end, summarise


@contextmanager
def nothing_pending_is_an_end(streams: Streams, fail_if_empty: bool, quiet: bool, verb: str | None = None, report: str | None = None) -> Iterator[None]:
    """End the command as one that found nothing in the destination it named: with 0, or with 9 where nothing is to fail. `verb` is what
    its summary and report begin with, where it has them."""
    try:
        yield
    except NothingPending as nothing:
        if not quiet:
            streams.say(str(nothing))
        code = int(ExitCode.NOTHING_MATCHED if fail_if_empty else ExitCode.DONE)
        if verb is not None:
            summarise(streams, verb, Account(), seconds=0.0, quiet=quiet)
            facts: dict[str, object] = {"left": {}, "destinations": {}, "journal": None}
            code = code if report is None else report_end(streams, report, verb, Account(), code, 0.0, facts)
        raise typer.Exit(code) from None
