"""`brokercli dlq ls`: every destination of dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("ls")(ls)


def ls(
    context: typer.Context,
    where: Annotated[str | None, typer.Argument(metavar="[BROKER]", help="Another broker than the context's: @CONTEXT/ or a URL.")] = None,
    pattern: Annotated[list[str] | None, typer.Option("--pattern", metavar="NAME", help="Take these names for dead letters too, with * and ?.")] = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """List the destinations of dead letters with how many are pending, since when, and what feeds them. Changes nothing."""
    from brokercli.commands.dlq_session import print_sources
    from brokercli.commands.listing import parse_broker
    from brokercli.commands.session import open_broker, streams_of
    from brokercli.model.errors import UsageProblem
    from brokercli.model.exit_code import ExitCode
    from brokercli.settings.dead_letters import dead_letter_patterns

    streams = streams_of(context)
    unseen: list[str] = []
    elsewhere = parse_broker(where)
    if where is not None and elsewhere is None:
        raise UsageProblem(f"{where or 'An empty name'} is no broker: dlq ls lists all destinations of one.",
                           hint="brokercli dlq inspect NAME looks into one; another broker is named @CONTEXT/ or by its URL")
    with open_broker(elsewhere, context_name, connect_timeout=connect_timeout) as broker:
        found = list(broker.backend.dead_letter_sources((*dead_letter_patterns(), *(pattern or ())), unseen))
    print_sources(streams, found, output)
    for reason in unseen:
        streams.say(f"there may be more: {reason}")
    if not found:
        where_looked = "where it could be looked: " if unseen else ""
        streams.say(f"no dead letters on {broker.context.name}: {where_looked}nothing is named like them, and nothing sends its dead letters anywhere")
        raise typer.Exit(int(ExitCode.NOTHING_MATCHED) if fail_if_empty else 0)
