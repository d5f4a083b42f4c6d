"""`brokercli declare stream`."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare stream ORDERS --subjects 'orders.>' --set max_age=7d

brokercli declare stream orders --max-age 7d --dry-run"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("stream", epilog=EXAMPLES)(stream)


def stream(
    context: typer.Context,
    name: Annotated[str, declaring.name_argument("NAME", "The stream")],
    subjects: Annotated[str | None, declaring.setting_option("--subjects", "A,B", "JetStream: the subjects it captures.")] = None,
    max_age: Annotated[str | None, declaring.setting_option("--max-age", "DURATION", "How long messages are kept.")] = None,
    storage: Annotated[str | None, declaring.setting_option("--storage", "TEXT", "JetStream: file or memory.")] = None,
    assignments: declaring.SetOption = None,
    unset: declaring.UnsetOption = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.YesOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Make a stream as it ought to be, or say what differs.

    What is missing is made. What exists otherwise is shown, setting by setting, and changed only with --yes; what cannot be
    changed is refused, and nothing with it.
    """
    options = {"--subjects": subjects, "--max-age": max_age, "--storage": storage}
    raise typer.Exit(declaring.declare(context, "stream", name, assignments, options, yes=yes, dry_run=dry_run, output=output, quiet=quiet,
                                       context_name=context_name, connect_timeout=connect_timeout, unset=unset))
