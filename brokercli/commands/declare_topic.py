"""`brokercli declare topic`."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare topic orders.created --partitions 6 --replication-factor 3 --set retention.ms=7d

brokercli declare topic orders.created --set retention.ms=14d --dry-run"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("topic", epilog=EXAMPLES)(topic)


def topic(
    context: typer.Context,
    name: Annotated[str, declaring.name_argument("NAME", "The topic")],
    partitions: Annotated[str | None, declaring.setting_option("--partitions", "N", "How many partitions.")] = None,
    replication_factor: Annotated[str | None, declaring.setting_option("--replication-factor", "N", "On how many brokers each partition is kept.")] = None,
    assignments: declaring.SetOption = None,
    unset: declaring.UnsetOption = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.YesOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Make a topic as it ought to be, or say what differs.

    What is missing is made. What exists otherwise is shown, setting by setting, and changed only with --yes; what cannot be
    changed is refused, and nothing with it.
    """
    options = {"--partitions": partitions, "--replication-factor": replication_factor}
    raise typer.Exit(declaring.declare(context, "topic", name, assignments, options, yes=yes, dry_run=dry_run, output=output, quiet=quiet,
                                       context_name=context_name, connect_timeout=connect_timeout, unset=unset))
