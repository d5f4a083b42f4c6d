"""`brokercli declare consumer`."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare consumer ORDERS/worker --max-deliver 5 --set ack_wait=30s"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("consumer", epilog=EXAMPLES)(consumer)


def consumer(
    context: typer.Context,
    name: Annotated[str, declaring.name_argument("STREAM/NAME", "The stream and the consumer's name")],
    max_deliver: Annotated[str | None, declaring.setting_option("--max-deliver", "N", "How often a message is delivered at most; -1: for ever.")] = None,
    ack_wait: Annotated[str | None, declaring.setting_option("--ack-wait", "DURATION", "How long an acknowledgement is waited for.")] = None,
    filter_subject: Annotated[str | None, declaring.setting_option("--filter-subject", "SUBJECT", "Only messages of this subject.")] = None,
    assignments: declaring.SetOption = None,
    unset: declaring.UnsetOption = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.YesOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Make a durable consumer as it ought to be, or say what differs.

    What is missing is made. What exists otherwise is shown, setting by setting, and changed only with --yes; what cannot be
    changed is refused, and nothing with it.
    """
    options = {"--max-deliver": max_deliver, "--ack-wait": ack_wait, "--filter-subject": filter_subject}
    raise typer.Exit(declaring.declare(context, "consumer", name, assignments, options, yes=yes, dry_run=dry_run, output=output, quiet=quiet,
                                       context_name=context_name, connect_timeout=connect_timeout, unset=unset))
