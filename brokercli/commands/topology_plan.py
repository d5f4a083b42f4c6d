"""`brokercli topology plan`: what a file would change."""

from __future__ import annotations

from shlex import quote

import typer

from brokercli.commands import options as shared
from brokercli.commands import topology_options as topology

EXAMPLES = """[bold]Examples[/bold]

brokercli topology plan orders.toml

brokercli topology plan orders.toml --prune --context staging -o json | jq -r 'select(.action != "unchanged")'"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("plan", epilog=EXAMPLES)(plan)


def plan(
    context: typer.Context,
    file: topology.FileArgument,
    prune: topology.PruneOption = False,
    prune_name: topology.PruneNameOption = None,
    output: shared.TableOption = "auto",
    quiet: shared.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Compare a file with the broker: + is created, ~ changed, - deleted, = is as it should be, ! cannot be. Changes nothing.

    Exits with 8 where something would change, with 0 where nothing would, and with 1 where something cannot be as declared.
    """
    named = " ".join(("topology apply", *(["--prune"] if prune else []), *(f"--prune-name {quote(name)}" for name in prune_name or ()), "--yes"))
    raise typer.Exit(topology.carry_out(context, file, prune=prune, prune_names=prune_name, yes=False, dry_run=True, output=output, quiet=quiet,
                                        context_name=context_name, connect_timeout=connect_timeout, doer=named))
