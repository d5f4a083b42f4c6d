"""`brokercli topology apply`: make a broker as a file says."""

from __future__ import annotations

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared
from brokercli.commands import topology_options as topology

EXAMPLES = """[bold]Examples[/bold]

brokercli topology apply orders.toml

brokercli topology apply orders.toml --yes --context staging

brokercli topology apply orders.toml --prune --yes"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("apply", epilog=EXAMPLES)(apply)


def apply(
    context: typer.Context,
    file: topology.FileArgument,
    prune: topology.PruneOption = False,
    prune_name: topology.PruneNameOption = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.ApplyOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Make a broker as a file says, step by step in the order things need each other, up to the first that fails.

    Prints the plan and changes nothing without --yes. Where something cannot be as declared, nothing is done at all. What was
    done is left as it is when it is run again.
    """
    raise typer.Exit(topology.carry_out(context, file, prune=prune, prune_names=prune_name, yes=yes, dry_run=dry_run, output=output, quiet=quiet,
                                        context_name=context_name, connect_timeout=connect_timeout))
