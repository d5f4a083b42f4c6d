"""`brokercli dlq redrive`: put dead letters back where they came from."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import dlq_options as letters
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli dlq redrive  # the plan: how many go where, what is left out and why

brokercli dlq redrive orders.created.dlq --yes

brokercli dlq redrive --reason '*Timeout*' --rate 50/s --yes

brokercli dlq redrive --through "jq -cj '.amount |= tonumber'" --yes

brokercli dlq redrive --grep c-1200 --edit  # one letter, mended by hand

brokercli dlq redrive --from-file letters.ndjson --yes"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("redrive", epilog=EXAMPLES)(redrive)


def redrive(
    context: typer.Context,
    dlq: letters.SourceArgument = None,
    to: Annotated[str | None, typer.Option("--to", metavar="ADDRESS", autocompletion=shared.complete_address,
                                           help="Put them there, on this broker or another, instead of where each came from.")] = None,
    reason: letters.ReasonOption = None,
    origin: letters.OriginOption = None,
    since: letters.SinceOption = None,
    until: letters.UntilOption = None,
    ids: letters.IdsOption = None,
    grep: shared.GrepOption = None,
    header: shared.HeaderFilterOption = None,
    where: shared.WhereOption = None,
    limit: shared.LimitOption = None,
    rate: shared.RateOption = None,
    through: Annotated[str | None, typer.Option("--through", metavar="CMD",
                                                help="CMD gets each body and prints the new one; what it fails for is refused and stays.")] = None,
    strip: Annotated[list[str] | None, typer.Option("--strip", metavar="NAME", help=(
        "Take this header off as well, like a count of tries that would make the next failure the last; with * and ?."))] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Edit the body in $EDITOR before it goes; for one letter.")] = False,
    from_file: Annotated[str | None, typer.Option("--from-file", metavar="FILE", parser=shared.parse_lasting_file,
                                                  help="Put back the letters in FILE: an export, or the journal of a drop, park or redrive.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="JOURNAL", parser=shared.parse_lasting_file,
                                               help="With --from-file: remember in JOURNAL what was put back; without it in the state directory.")] = None,
    max_redrives: Annotated[int, typer.Option("--max-redrives", min=1, metavar="N",
                                              help="Refuse letters that were put back this often already; they stay.")] = 3,
    park: Annotated[str | None, typer.Option("--park", metavar="ADDRESS", autocompletion=shared.complete_address, help="Put those there instead.")] = None,
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
    """Put dead letters back: each goes home by its own account, is confirmed there, and only then counts as handled.

    Prints the plan and changes nothing without --yes. What fails stays where it is; the same command goes on with it.
    """
    from brokercli.commands.dlq_repair import RepairRun
    from brokercli.commands.dlq_session import letter_filter_of
    from brokercli.commands.session import streams_of
    from brokercli.model.errors import UsageProblem
    from brokercli.operations.publishing import Rate
    from brokercli.operations.through import Through
    from brokercli.settings.child_environment import environment_for_children

    letters.check_report(context, report, ids, journal, from_file, resume, plans=edit or not yes, yes=yes, dry_run=dry_run)
    if edit and through is not None:
        raise UsageProblem("--edit and --through both make a new body.", hint="leave one of them out")
    chosen = letter_filter_of(streams_of(context), reason, origin, since, until, ids, grep, header, where)
    run = RepairRun(
        context, "redrive", dlq, context_name, chosen, to=to, park=park,
        max_redrives=max_redrives, limit=limit, rate=Rate(shared.parse_rate(rate)), journal=journal,
        through=None if through is None else Through(through, environment=environment_for_children()),
        delivery_timeout=shared.parse_delivery_timeout(delivery_timeout), output=output, quiet=quiet, report=report, connect_timeout=connect_timeout,
        fail_if_empty=fail_if_empty, lift_limit=lift_limit, from_file=from_file, resume=resume, edit=edit, strip=tuple(strip or ()))
    raise typer.Exit(run.run(yes=yes, dry_run=dry_run))
