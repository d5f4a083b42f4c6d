"""`brokercli consumers rm`: forget a consumer."""

from __future__ import annotations

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("rm")(rm)


def rm(
    context: typer.Context,
    name: which.NameArgument,
    yes: which.YesOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Delete one consumer, by its full name, with what it remembers. Says what that is, and changes nothing without --yes."""
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.may_change import agreed
    from brokercli.commands.session import streams_of
    from brokercli.model.amount import amount
    from brokercli.model.errors import NotFound, UsageProblem
    from brokercli.model.exit_code import ExitCode
    from brokercli.operations.seeking import positions

    streams = streams_of(context)
    changing = "without --yes it says what would be forgotten" if yes else None
    with open_consumers([name], context_name, changing=changing, connect_timeout=connect_timeout) as session:
        try:
            lags = session.consumers.lag(session.name)
            consequences = session.consumers.goes_with(session.name)
        except NotFound:
            if "*" in session.name or "?" in session.name:
                raise UsageProblem(f"{session.name} is a pattern; rm takes the full name of one consumer.", hint="brokercli consumers ls PATTERN") from None
            raise
        for position, source in positions(lags):
            streams.say(f"forgets {source} at {position}")
        waiting = sum(lag.lag or 0 for lag in lags)
        if waiting:
            streams.say(f"it has not finished {amount(waiting, 'message')}")
        for consequence in consequences:
            streams.say(consequence)
        if not agreed(streams, session.context, f"delete {session.name}?", yes=yes, otherwise="--yes deletes it"):
            raise typer.Exit(int(ExitCode.CHANGES_PENDING))
        session.consumers.remove(session.name)
        streams.say(f"{session.name} was deleted")
