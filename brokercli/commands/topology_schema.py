"""`brokercli topology schema`: the JSON Schema of topology files, for editors."""

from __future__ import annotations

import typer

from brokercli.commands.topology_options import schema_page

EXAMPLES = """[bold]Examples[/bold]

brokercli topology schema > topology.schema.json"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("schema", epilog=EXAMPLES)(schema)


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of topology files, with the settings of every broker there is. Connects nowhere.

    A file names it in its first line: #:schema ./topology.schema.json
    """
    from brokercli.backends.registry import descriptors
    from brokercli.commands.session import streams_of

    streams_of(context).write(schema_page(list(descriptors())).encode())
