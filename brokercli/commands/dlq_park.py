"""`brokercli dlq park`: move dead letters out of the way."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("park")(park)


def park(
    context: typer.Context,
    dlq: letters.SourceArgument = None,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", autocompletion=shared.complete_address, show_default=False,
                                    help="Where to put them, on the same broker.")] = "",
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
    delivery_timeout: shared.DeliveryTimeoutOption = "30s",
    output: shared.TableOption = "auto",
    quiet: shared.QuietOption = False,
    report: shared.ReportOption = None,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Move dead letters to another address with what they carry, headers of their death too.

    What would steer the broker there is left off, and said. Prints the plan and changes nothing without --yes.
    """
    from brokercli.commands.dlq_repair import RepairRun
    from brokercli.commands.dlq_session import letter_filter_of
    from brokercli.commands.session import streams_of
    from brokercli.model.errors import UsageProblem

    letters.check_report(context, report, ids, journal, plans=not yes, yes=yes, dry_run=dry_run)
    if not to:
        raise UsageProblem("dlq park needs --to ADDRESS.", hint="for example: brokercli dlq park orders.dlq --to orders.parked --reason '*Schema*'")
    chosen = letter_filter_of(streams_of(context), reason, origin, since, until, ids, grep, header, where)
    run = RepairRun(context, "park", dlq, context_name, chosen, to=to, limit=limit,
                    journal=journal, delivery_timeout=shared.parse_delivery_timeout(delivery_timeout), output=output, quiet=quiet, report=report,
                    connect_timeout=connect_timeout, fail_if_empty=fail_if_empty, lift_limit=lift_limit, unrecognised=unrecognised)
    raise typer.Exit(run.run(yes=yes, dry_run=dry_run))
