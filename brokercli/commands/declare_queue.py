"""`brokercli declare queue`."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare queue orders --type quorum"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("queue", epilog=EXAMPLES)(queue)


def queue(
    context: typer.Context,
    name: Annotated[str, declaring.name_argument("NAME", "The queue")],
    type_: Annotated[str | None, declaring.setting_option("--type", "TEXT", "classic or quorum.")] = None,
    assignments: declaring.SetOption = None,
    unset: declaring.UnsetOption = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.YesOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Make a queue as it ought to be, or say what differs.

    What is missing is made. What exists otherwise is shown, setting by setting, and changed only with --yes; what cannot be
    changed is refused, and nothing with it.
    """
    options = {"--type": type_}
    raise typer.Exit(declaring.declare(context, "queue", name, assignments, options, yes=yes, dry_run=dry_run, output=output, quiet=quiet,
                                       context_name=context_name, connect_timeout=connect_timeout, unset=unset))
