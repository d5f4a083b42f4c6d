"""`brokercli consumers seek`: move a consumer to another position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared
from brokercli.model.amount import amount

if TYPE_CHECKING:
    from brokercli.commands.consumers_session import ConsumerSession
    from brokercli.model.consumption import Seek
    from brokercli.terminal.streams import Streams

EXAMPLES = """[bold]Examples[/bold]

brokercli consumers seek billing @-1h

brokercli consumers seek billing 3:1200 --address topic:orders --yes

brokercli consumers seek ORDERS/billing start

brokercli consumers seek billing -20"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    # -20 is a position and no option
    group.command("seek", epilog=EXAMPLES, context_settings={"ignore_unknown_options": True})(seek)


def seek(
    context: typer.Context,
    name: which.NameArgument,
    position: Annotated[str, typer.Argument(metavar="POS", show_default=False,
                                            help="Where to go on: start, end, 1200, -20, 3:1200, @-1h (brokercli help positions).")],
    address: which.SourceOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only, with exit code 8 where it changes something.")] = False,
    yes: which.YesOption = False,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Move a consumer: what it skips is not read, what lies behind the position is read again.

    Prints the plan and changes nothing without --yes. Refused while members are active. Says how to undo it before it does it.
    """
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.may_change import agreed
    from brokercli.commands.session import streams_of
    from brokercli.model.capability import Capability
    from brokercli.model.exit_code import ExitCode
    from brokercli.model.position import parse_position
    from brokercli.operations.seeking import changes
    from brokercli.terminal.consumers import print_seek
    from brokercli.terminal.tables import check_output

    check_output(output)
    wanted = parse_position(position)
    streams = streams_of(context)
    doing = yes and not dry_run
    changing = "without --yes it shows the plan" if doing else None
    with open_consumers([name], context_name, Capability.SEEK_CONSUMERS, changing=changing, connect_timeout=connect_timeout) as session:
        planned = session.consumers.plan_seek(session.name, wanted, session.resolve(address))
        print_seek(streams, planned, output)
        for remark in planned.remarks:
            streams.say(remark)
        if not changes(planned):
            streams.say(f"nothing to do: {session.name} is there already")
            return
        _refuse_active(session, planned)
        if not agreed(streams, session.context, f"move {session.name}?", yes=yes, otherwise="--yes moves it", dry_run=dry_run):
            raise typer.Exit(int(ExitCode.CHANGES_PENDING))
        _say_undo(streams, session, planned)
        session.consumers.seek(planned)
        streams.say(f"{session.name} was moved")


def _refuse_active(session: ConsumerSession, planned: Seek) -> None:
    from brokercli.model.errors import Failed

    if planned.active:
        raise Failed(f"{session.name} is at work, so it was not moved: {', '.join(planned.active)}.",
                     hint="stop its members, then repeat the command")


def _say_undo(streams: Streams, session: ConsumerSession, planned: Seek) -> None:
    from brokercli.operations.seeking import undo, without_position

    for text, source in undo(planned):
        streams.say_hint(f"to undo: {session.command('seek', session.name, text, options=('--address', source, '--yes'))}")
    if (count := without_position(planned)) > 0:
        streams.say(f"{amount(count, 'partition')} had no position before: no seek leads back to that")
