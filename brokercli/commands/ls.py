"""`brokercli ls`: what there is on a broker, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import RESOURCES

EXAMPLES = """[bold]Examples[/bold]

brokercli ls

brokercli ls 'orders*'

brokercli ls queue: -o json | jq -r 'select(.messages > 0) | .name'

brokercli ls @staging/topic:"""

PatternArgument = Annotated[str | None, typer.Argument(
    metavar="[ADDRESS]", autocompletion=shared.complete_address, show_default=False,
    help="Only names like this, with * and ?; queue: is everything of one kind; @CONTEXT/ another broker; also a broker's URL.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ls", rich_help_panel=RESOURCES, epilog=EXAMPLES)(ls)


def ls(
    context: typer.Context,
    pattern: PatternArgument = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """List topics, streams, queues and exchanges. Changes nothing."""
    from brokercli.commands.listing import list_names
    from brokercli.commands.session import streams_of
    from brokercli.model.exit_code import ExitCode

    found = list_names(streams_of(context), pattern, context_name, output, connect_timeout)
    if fail_if_empty and not found:
        raise typer.Exit(int(ExitCode.NOTHING_MATCHED))
