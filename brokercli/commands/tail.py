"""`brokercli tail`: new messages as they arrive, or from a place on; the broker is left as it was found."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import MESSAGES

EXAMPLES = """[bold]Examples[/bold]

brokercli tail orders.created

brokercli tail orders.created --from -20 -e

brokercli tail 'orders.>' --where 'value.amount > 100' -o json | jq .body

brokercli tail exchange:orders -n 1 --timeout 30s"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tail", rich_help_panel=MESSAGES, epilog=EXAMPLES)(tail)


def tail(
    context: typer.Context,
    address: shared.AddressArgument,
    from_: Annotated[str | None, typer.Option("--from", metavar="POS", help="Where to begin: start, 1200, -20, 3:1200, @-1h; end without it.")] = None,
    until_end: Annotated[bool, typer.Option("--until-end", "-e", help="Stop at what is the end now; without --from it begins at the start.")] = False,
    limit: shared.LimitOption = None,
    idle_timeout: shared.IdleTimeoutOption = None,
    timeout: shared.TimeoutOption = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    grep: shared.GrepOption = None,
    header: shared.HeaderFilterOption = None,
    where: shared.WhereOption = None,
    output: shared.OutputOption = "auto",
    format_: shared.FormatOption = None,
    quiet: shared.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Print messages as they arrive. Changes nothing on the broker: no group is joined, nothing is acknowledged or taken."""
    from brokercli.commands.printing import Printing, filter_of
    from brokercli.model.position import End, Span, Start, parse_position

    begin = parse_position(from_) if from_ is not None else Start() if until_end else End()
    printing = Printing(context, output, format_, filter_of(grep, header, where), limit=limit, idle_timeout=shared.parse_seconds(idle_timeout),
                        timeout=shared.parse_seconds(timeout), fail_if_empty=fail_if_empty, quiet=quiet)
    raise typer.Exit(printing.run(address, context_name, Span(begin, End() if until_end else None), connect_timeout=connect_timeout))
