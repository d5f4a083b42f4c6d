"""`brokercli consumers resume`: deliver again before a pause is over."""

from __future__ import annotations

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("resume")(resume)


def resume(
    context: typer.Context,
    name: which.NameArgument,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Deliver to a paused consumer again. One that is not paused stays as it is."""
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.session import streams_of
    from brokercli.model.capability import Capability

    with open_consumers([name], context_name, Capability.PAUSE_CONSUMERS, changing="consumers describe shows it",
                        connect_timeout=connect_timeout) as session:
        session.consumers.resume(session.name)
        streams_of(context).say(f"{session.name} is not paused")
