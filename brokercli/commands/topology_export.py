"""`brokercli topology export`: write down what a broker has."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli topology export broker.toml

brokercli topology export - --name 'orders.*' --name 'binding:orders/*' --context staging

brokercli topology export - -c staging | brokercli topology plan - -c production"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("export", epilog=EXAMPLES)(export)


def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to write it; - is standard output.")] = "-",
    name: Annotated[list[str] | None, typer.Option("--name", metavar="PATTERN",
                                                   help="Only what this names: orders.*, queue:orders.*, binding:orders/*; repeat for several.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    quiet: shared.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Write what there is as a file that plans to no changes on the same broker, with the settings that are not defaults.

    The broker's own internals are left out. Changes nothing.
    """
    from brokercli.backends.registry import check_declarable, settings_of
    from brokercli.commands.files import check_absent
    from brokercli.commands.session import open_broker, streams_of
    from brokercli.local.on_disk import write_new, write_whole
    from brokercli.model.amount import amount
    from brokercli.model.errors import LocalIO
    from brokercli.operations.declaring import is_named
    from brokercli.settings.topology_writing import write_topology
    from brokercli.terminal.escape import visible_toml

    check_absent(None if force or file == "-" else file, "--force writes over it")
    streams = streams_of(context)
    with open_broker(None, context_name, connect_timeout=connect_timeout, check=check_declarable) as broker:
        declarer = broker.backend.declarer()
        found = [one for one in declarer.declared() if not name or is_named(one, name, everything=True)]
        for note in declarer.notes if not quiet else ():
            streams.say(note)
        if not found and not quiet and (not_shown := broker.backend.not_shown()):
            streams.say(f"there may be more: {not_shown}")
        text = visible_toml(write_topology(found, broker.descriptor.name, settings_of(broker.descriptor),
                                           f"{broker.descriptor.title}, context {broker.context.name}"))
    if file == "-":
        streams.write(text.encode())
        return
    try:
        (write_whole if force else write_new)(file, text.encode(), mode=0o666)
    except OSError as problem:
        raise LocalIO(f"{file} cannot be written: {problem.strerror}.") from None
    if not quiet:
        streams.say(f"{amount(len(found), 'thing')} written to {file}")
