"""`brokercli dlq export`: dead letters into a file."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("export")(export)


def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; it must not exist yet. - is standard output.")],
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
    lift_limit: letters.LiftOption = False,
    quiet: shared.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Write the pending dead letters to a file as envelopes, which publish --input json reads back. Changes nothing on the broker."""
    from contextlib import nullcontext

    from brokercli.commands.dlq_looking import look_at_letters
    from brokercli.commands.dlq_nothing import nothing_pending_is_an_end
    from brokercli.commands.dlq_session import letter_filter_of, open_letters, recogniser_of
    from brokercli.commands.files import check_absent
    from brokercli.commands.session import streams_of
    from brokercli.model.amount import amount
    from brokercli.model.exit_code import ExitCode
    from brokercli.operations.bulk import prepare_for_bulk
    from brokercli.operations.inspecting import pending_envelopes
    from brokercli.operations.letter_file import LetterFile
    from brokercli.terminal.interrupt import Interrupt
    from brokercli.terminal.notes import Notes
    from brokercli.terminal.progress import Progress
    from brokercli.terminal.tables import print_json_lines

    streams = streams_of(context)
    check_absent(None if file == "-" else file)
    letter_filter = letter_filter_of(streams, reason, origin, since, until, ids, grep, header, where)
    with nothing_pending_is_an_end(streams, fail_if_empty, quiet), Interrupt(streams, connecting=True, only_prints=True) as interrupt:
        with (open_letters(streams, dlq, context_name, "export FILE", quiet=quiet, connect_timeout=connect_timeout) as session, interrupt.connected(),
              look_at_letters(streams, session, lift_limit) as look, nullcontext() if file == "-" else LetterFile(file) as kept,
              Progress(streams, "exported", look.reader.expected) as progress):
            prepare_for_bulk()
            count, handled = 0, list[int]()
            for found in pending_envelopes(look.reader, recogniser_of(session), letter_filter,
                                           on_handled=handled.append, stopping=lambda: interrupt.requested):
                if kept is None:
                    print_json_lines(streams, found)
                else:
                    kept.write_lines(found)
                count += len(found)
                progress.advance(len(found))
        interrupt.last_words()
        Notes(look.reader, streams.say, quiet=quiet).say_new()
        if not quiet:
            for note in letter_filter.take_notes():
                streams.say(note)
            if any(handled):
                streams.say(f"{amount(sum(handled), 'letter that was handled already is', 'letters that were handled already are')} left out; "
                            f"brokercli replay {session.address} has those, too")
            where = " to standard output" if kept is None else f" to {file}" if count else f", and {file} was not made"
            streams.say(f"exported: {amount(count, 'letter')} of {session.address}{where}; side effects: {look.side_effects}")
    if interrupt.requested:
        raise typer.Exit(interrupt.exit_code)
    if look.reader.left_out is not None:
        raise look.reader.left_out
    if fail_if_empty and not count:
        raise typer.Exit(int(ExitCode.NOTHING_MATCHED))
