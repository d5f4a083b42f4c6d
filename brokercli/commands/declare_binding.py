"""`brokercli declare binding`."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare binding orders/created queue:billing

brokercli declare binding orders/# exchange:audit

brokercli declare binding alerts queue:errors --set 'arguments={"x-match": "any", "level": "error"}'  # alerts is a headers exchange"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("binding", epilog=EXAMPLES)(binding)


def binding(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="EXCHANGE/KEY", show_default=False,
                                          help="Where messages come from, and for which routing key; with its context @CONTEXT/EXCHANGE/KEY, or a URL.")],
    destination: Annotated[str | None, typer.Argument(metavar="QUEUE", show_default=False, help="Where they go: queue:NAME or exchange:NAME.")] = None,
    assignments: declaring.SetOption = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.YesOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Have an exchange's messages for a routing key go to a queue or another exchange.

    A binding is there or it is not: another key, or other arguments, make another binding.
    """
    raise typer.Exit(declaring.declare(context, "binding", source, assignments, {}, yes=yes, dry_run=dry_run, output=output, quiet=quiet,
                                       context_name=context_name, connect_timeout=connect_timeout, destination=destination))
