"""Which letters are meant: the options that every command about dead letters has."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands.options import complete_address, parse_lasting_file

SourceArgument = Annotated[str | None, typer.Argument(
    metavar="[DLQ]", autocompletion=complete_address, show_default=False,
    help="Where the letters lie: an address, as everywhere. Without it the context's dlq, or the only one there is.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", rich_help_panel="Which letters",
                                                  help="Only letters that died of this: a reason or an exception's class, with * and ?.")]
OriginOption = Annotated[str | None, typer.Option("--origin", metavar="NAME", rich_help_panel="Which letters",
                                                  help="Only letters that came from this topic, subject or queue, with * and ?.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", rich_help_panel="Which letters",
                                                 help="Only letters that died since: 2h, @2026-11-23T10:00Z.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", rich_help_panel="Which letters", help="Only letters that died before.")]
IdsOption = Annotated[str | None, typer.Option("--ids", metavar="FILE", rich_help_panel="Which letters",
                                               help="Only the letters named in FILE (- is standard input), one a line: positions, or else message ids.")]
LiftOption = Annotated[bool, typer.Option("--lift-limit", show_default=False, rich_help_panel="RabbitMQ", help=(
    "RabbitMQ: have a quorum queue without its delivery limit meanwhile, by a policy that is taken away again."))]
RepairLiftOption = Annotated[bool | None, typer.Option("--lift-limit/--no-lift-limit", show_default=False, rich_help_panel="RabbitMQ", help=(
    "RabbitMQ: have a quorum queue without its delivery limit meanwhile, by a policy that is taken away again. --yes does so where it is needed."))]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it. Without this the plan is printed; on a terminal it is asked.")]
JournalOption = Annotated[str | None, typer.Option("--journal", metavar="FILE", parser=parse_lasting_file,
                                                   help="Keep the letters in FILE before they are touched; without it a file in the state directory.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan only, with exit code 8 where there is something to do.")]
UnrecognisedOption = Annotated[bool, typer.Option("--unrecognised", rich_help_panel="Which letters",
                                                  help="Also records in which nothing says that they are dead letters.")]


def check_report(context: typer.Context, report: str | None, *files: str | None, plans: bool, yes: bool, dry_run: bool) -> None:
    """Raise UsageProblem for a report where a plan is all there will be, for one to standard output where a plan goes there first, and for one
    over `files`."""
    from brokercli.commands import files as written
    from brokercli.commands.session import streams_of

    unrun = "with --dry-run" if dry_run else None if yes or streams_of(context).can_ask() else "without --yes where nobody can be asked"
    written.check_report(report, "the plan" if plans else None, unrun, files, "; -o json prints the plan as JSON")
