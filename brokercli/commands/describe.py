"""`brokercli describe`: everything worth knowing about one address."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import RESOURCES

EXAMPLES = """[bold]Examples[/bold]

brokercli describe orders.created

brokercli describe queue:orders -o json

brokercli describe @staging/exchange:orders

brokercli describe queue:orders --graph

brokercli describe queue:orders --graph --graph-format dot | dot -Tsvg > orders.svg"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("describe", rich_help_panel=RESOURCES, epilog=EXAMPLES)(describe)


def describe(
    context: typer.Context,
    address: shared.AddressArgument,
    graph: Annotated[bool, typer.Option("--graph", help="Draw where messages come from and go to: routes, consumers, retries, dead letters. A tree on a "
                                                        "terminal, Mermaid in a pipe.")] = False,
    graph_format: Annotated[Literal["auto", "text", "dot", "mermaid"], typer.Option("--graph-format", help="Draw it so; says --graph too.")] = "auto",
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Explain one topic, subject, stream, queue or exchange. Changes nothing."""
    from brokercli.commands.session import open_address, streams_of
    from brokercli.model.capability import Capability
    from brokercli.model.errors import UsageProblem
    from brokercli.terminal.flow import draw
    from brokercli.terminal.tables import check_output, print_description

    check_output(output)
    if output == "json" and graph_format != "auto":
        raise UsageProblem(f"--graph-format {graph_format} and -o json exclude each other.", hint="leave one of them out")
    drawing = graph or graph_format != "auto"
    with open_address(address, context_name, "describe", connect_timeout=connect_timeout) as session:
        session.require(Capability.FLOW if drawing else Capability.DESCRIBE)
        if drawing:
            draw(streams_of(context), session.backend.flow(session.address), "json" if output == "json" else graph_format)
            return
        description = session.backend.describe(session.address)
    print_description(streams_of(context), description, output)
