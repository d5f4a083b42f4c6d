"""`brokercli dlq drop`: take dead letters out of the pending ones for good."""

from __future__ import annotations

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("drop")(drop)


def drop(
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
    limit: shared.LimitOption = None,
    unrecognised: letters.UnrecognisedOption = False,
    dry_run: letters.DryRunOption = False,
    yes: letters.YesOption = False,
    lift_limit: letters.RepairLiftOption = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    journal: letters.JournalOption = None,
    output: shared.TableOption = "auto",
    quiet: shared.QuietOption = False,
    report: shared.ReportOption = None,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Drop dead letters. They are written to a journal first, from which they can be published again.

    Prints the plan and changes nothing without --yes.
    """
    from brokercli.commands.dlq_repair import RepairRun
    from brokercli.commands.dlq_session import letter_filter_of
    from brokercli.commands.session import streams_of

    letters.check_report(context, report, ids, journal, plans=not yes, yes=yes, dry_run=dry_run)
    chosen = letter_filter_of(streams_of(context), reason, origin, since, until, ids, grep, header, where)
    run = RepairRun(context, "drop", dlq, context_name, chosen, limit=limit, journal=journal,
                    output=output, quiet=quiet, report=report, connect_timeout=connect_timeout, fail_if_empty=fail_if_empty, lift_limit=lift_limit,
                    unrecognised=unrecognised)
    raise typer.Exit(run.run(yes=yes, dry_run=dry_run))
