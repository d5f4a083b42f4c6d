"""`brokercli consumers describe`: everything about one consumer."""

from __future__ import annotations

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("describe")(describe)


def describe(
    context: typer.Context,
    name: which.NameArgument,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Explain one consumer: members and where they run, settings, how far it is. Changes nothing."""
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.session import streams_of
    from brokercli.terminal.tables import check_output, print_description

    check_output(output)
    with open_consumers([name], context_name, connect_timeout=connect_timeout) as session:
        description = session.consumers.describe(session.name)
    print_description(streams_of(context), description, output)
