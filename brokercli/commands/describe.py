"""`brokercli describe`: everything worth knowing about one address."""

from __future__ import annotations

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import RESOURCES

EXAMPLES = """[bold]Examples[/bold]

brokercli describe orders.created

brokercli describe queue:orders -o json

brokercli describe @staging/exchange:orders"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("describe", rich_help_panel=RESOURCES, epilog=EXAMPLES)(describe)


def describe(
    context: typer.Context,
    address: shared.AddressArgument,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Explain one topic, subject, stream, queue or exchange. Changes nothing."""
    from brokercli.commands.session import open_address, streams_of
    from brokercli.model.capability import Capability
    from brokercli.terminal.tables import check_output, print_description

    check_output(output)
    with open_address(address, context_name, "describe", connect_timeout=connect_timeout) as session:
        session.require(Capability.DESCRIBE)
        description = session.backend.describe(session.address)
    print_description(streams_of(context), description, output)
