"""`brokercli dlq capture`: have JetStream's dead letters recorded from now on."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("capture")(capture)


def capture(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(metavar="STREAM", autocompletion=shared.complete_address, help="The stream whose dead letters are to be recorded.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the stream that records them; STREAM_DLQ without it.")] = None,
    yes: letters.YesOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Declare a stream that records what JetStream says of messages that were tried too often or given up.

    JetStream says it once, to whoever listens; without such a stream only work-queue and interest streams show their dead
    letters afterwards. Prints the plan and changes nothing without --yes; an equal stream that exists is left as it is.
    """
    from brokercli.commands.may_change import agreed
    from brokercli.commands.session import open_address, streams_of
    from brokercli.model.exit_code import ExitCode

    streams = streams_of(context)
    with open_address(stream, context_name, "letters", connect_timeout=connect_timeout) as session:
        planned = session.backend.plan_capture(session.address, name)
        streams.say(planned.words)
        if not planned.changes:
            return
        if not agreed(streams, session.context, "declare it?", yes=yes, otherwise="--yes declares it"):
            raise typer.Exit(int(ExitCode.CHANGES_PENDING))
        session.backend.capture(planned)
        streams.say(f"declared: {planned.name}")
