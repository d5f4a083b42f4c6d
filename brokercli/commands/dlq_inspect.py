"""`brokercli dlq inspect`: why letters died, counted and drawn."""

from __future__ import annotations

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli dlq inspect orders.created.dlq

brokercli dlq inspect --reason '*Timeout*' --since 2h -o json | jq .count"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("inspect", epilog=EXAMPLES)(inspect)


def inspect(
    context: typer.Context,
    dlq: letters.SourceArgument = None,
    reason: letters.ReasonOption = None,
    origin: letters.OriginOption = None,
    since: letters.SinceOption = None,
    until: letters.UntilOption = None,
    ids: letters.IdsOption = None,
    grep: shared.GrepOption = None,
    header: shared.HeaderFilterOption = None,
    where: shared.WhereOption = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    output: shared.TableOption = "auto",
    lift_limit: letters.LiftOption = False,
    quiet: shared.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Group dead letters by reason, exception, origin and consumer: how many, since when, how often tried, one sample each.

    Changes nothing, or says what looking costs and refuses where it could cost a letter.
    """
    from brokercli.commands.dlq_looking import look_at_letters
    from brokercli.commands.dlq_nothing import nothing_pending_is_an_end
    from brokercli.commands.dlq_session import letter_filter_of, open_letters, recogniser_of
    from brokercli.commands.session import streams_of
    from brokercli.model.exit_code import ExitCode
    from brokercli.operations.bulk import prepare_for_bulk
    from brokercli.operations.inspecting import inspect as look_into
    from brokercli.terminal.inspection import print_inspection
    from brokercli.terminal.interrupt import Interrupt
    from brokercli.terminal.notes import Notes
    from brokercli.terminal.progress import Progress

    streams = streams_of(context)
    letter_filter = letter_filter_of(streams, reason, origin, since, until, ids, grep, header, where)
    with (nothing_pending_is_an_end(streams, fail_if_empty, quiet), Interrupt(streams, connecting=True, only_prints=True) as interrupt,
          open_letters(streams, dlq, context_name, quiet=quiet, connect_timeout=connect_timeout) as session):
        interrupt.connected()
        prepare_for_bulk()
        with look_at_letters(streams, session, lift_limit) as look, Progress(streams, "read", look.reader.expected) as progress:
            notes = Notes(look.reader, progress.note, quiet=quiet)
            notes.say_new()
            inspection = look_into(look.reader, recogniser_of(session), letter_filter, stopping=lambda: interrupt.requested, on_progress=progress.advance)
        print_inspection(streams, str(session.address), inspection, output, quiet=quiet)
        notes.say_new()
        if not quiet:
            for note in letter_filter.take_notes():
                streams.say(note)
            streams.say(f"side effects: {look.side_effects}")
    if interrupt.requested:
        raise typer.Exit(interrupt.exit_code)
    if look.reader.left_out is not None:
        raise look.reader.left_out
    if fail_if_empty and not inspection.matched:
        raise typer.Exit(int(ExitCode.NOTHING_MATCHED))
