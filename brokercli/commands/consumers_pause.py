"""`brokercli consumers pause`: stop deliveries for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli consumers pause ORDERS/billing --for 10m

brokercli consumers pause ORDERS/billing --until 2026-11-23T10:00Z"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("pause", epilog=EXAMPLES)(pause)


def pause(
    context: typer.Context,
    name: which.NameArgument,
    for_: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="How long: 10m, 2h.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until when: 2026-11-23T10:00Z.")] = None,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Stop deliveries to a consumer until a moment. What it has in hand already can still be acknowledged."""
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.session import streams_of
    from brokercli.model.capability import Capability
    from brokercli.model.errors import UsageProblem
    from brokercli.model.position import Moment, format_time, parse_duration, parse_position

    if (for_ is None) == (until is None):
        raise UsageProblem("A pause has an end: --for DURATION or --until TIME.", hint="for example: --for 10m")
    lasting = None if for_ is None else parse_duration(for_)
    moment = None if until is None else parse_position(f"@{until.removeprefix('@')}")
    with open_consumers([name], context_name, Capability.PAUSE_CONSUMERS, changing="consumers describe shows it",
                        connect_timeout=connect_timeout) as session:
        # by the server's clock, which ends it: where ours is an hour slow, ten minutes from now are over there
        now = session.consumers.now(session.name)
        end = moment.nanoseconds if isinstance(moment, Moment) else now + (lasting or 0)
        if end <= now:
            raise UsageProblem(f"{format_time(end)} is over already.")
        session.consumers.pause(session.name, end)
        streams = streams_of(context)
        streams.say(f"{session.name} is paused until {format_time(end)}")
        streams.say_hint(f"before that: {session.command('resume', session.name)}")
