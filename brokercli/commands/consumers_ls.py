"""`brokercli consumers ls`: every group and consumer, with how far behind it is."""

from __future__ import annotations

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli consumers ls

brokercli consumers ls 'billing*' -o json | jq -r 'select(.lag > 1000) | .name'"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("ls", epilog=EXAMPLES)(ls)


def ls(
    context: typer.Context,
    patterns: which.PatternsArgument = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """List consumers: kind, state, members, lag, what is in hand, what they read. Changes nothing, joins no group."""
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.session import streams_of
    from brokercli.model.exit_code import ExitCode
    from brokercli.terminal.consumers import print_consumers
    from brokercli.terminal.tables import check_output

    check_output(output)
    streams = streams_of(context)
    with open_consumers(patterns or (), context_name, connect_timeout=connect_timeout) as session:
        found = list(session.consumers.find(session.names))
        notes = list(session.consumers.notes)
        not_shown = "" if found else session.consumers.not_shown()
    print_consumers(streams, found, output)
    for note in notes:
        streams.say(note)
    if not found:
        if output != "json":
            streams.say(f"no consumer {'of this name ' if session.names else ''}on {session.context.name}")
        if not_shown:
            streams.say(f"there may be more: {not_shown}")
        raise typer.Exit(int(ExitCode.NOTHING_MATCHED) if fail_if_empty else 0)
