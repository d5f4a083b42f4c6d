"""`brokercli dlq show`: everything about one dead letter."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("show")(show)


def show(
    context: typer.Context,
    position: Annotated[str, typer.Argument(metavar="POSITION", help="Which one: its position (3:1200, 87), its message id, or #N, the Nth pending one.")],
    dlq: letters.SourceArgument = None,
    output: shared.TableOption = "auto",
    lift_limit: letters.LiftOption = False,
    quiet: shared.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Show one dead letter whole: why it died, where it came from, its way, its headers, its body, its stack trace."""
    from brokercli.commands.dlq_looking import look_at_letters
    from brokercli.commands.dlq_session import open_letters, recogniser_of
    from brokercli.commands.session import streams_of
    from brokercli.operations.inspecting import find_letter
    from brokercli.terminal.interrupt import Interrupt
    from brokercli.terminal.letter import print_letter

    streams = streams_of(context)
    with (Interrupt(streams, connecting=True, only_prints=True) as interrupt,
          open_letters(streams, dlq, context_name, "show POSITION", quiet=quiet, connect_timeout=connect_timeout) as session):
        interrupt.connected()
        with look_at_letters(streams, session, lift_limit) as look:
            found = find_letter(look.reader, recogniser_of(session), position, stopping=lambda: interrupt.requested)
        if found is not None:
            letter, state = found
            print_letter(streams, letter, str(state), output)
        elif not quiet:
            streams.say(f"stopped before it was found: {position}")
        if not quiet:
            streams.say(f"side effects: {look.side_effects}")
    if found is None:
        raise typer.Exit(interrupt.exit_code)
