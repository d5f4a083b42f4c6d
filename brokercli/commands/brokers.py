"""`brokercli brokers`: what each broker can do, how far, and why not further."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import SETUP

EXAMPLES = """[bold]Examples[/bold]

brokercli brokers

brokercli brokers rabbitmq

brokercli brokers rabbitmq -o json | jq '.support["quorum queue"].replay'"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("brokers", rich_help_panel=SETUP, epilog=EXAMPLES)(brokers)


def _names(incomplete: str) -> list[str]:
    from brokercli.backends.registry import BUILT_IN

    return [name for name in BUILT_IN if name.startswith(incomplete)]


def brokers(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[BROKER]", autocompletion=_names, help="kafka, nats, rabbitmq, a plugin's; without it all.")] = None,
    output: shared.TableOption = "auto",
) -> None:
    """Say what each broker can do and why it cannot do the rest, plugins included. Loads no client and connects nowhere."""
    from brokercli.commands.broker_support import as_json, as_tables, chosen
    from brokercli.commands.session import streams_of
    from brokercli.terminal.tables import print_description, print_json

    streams = streams_of(context)
    found = chosen(name)
    if output == "json":
        print_json(streams, [as_json(descriptor) for descriptor in found])
        return
    for number, descriptor in enumerate(found):
        if number:
            streams.write(b"\n")
        print_description(streams, as_tables(descriptor), output)
