"""`brokercli replay`: stored messages from a place to a place, to standard output or to another address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import MESSAGES

if TYPE_CHECKING:
    from brokercli.model.position import Span

EXAMPLES = """[bold]Examples[/bold]

brokercli replay orders.created --from @-1h

brokercli replay orders.created --range 3:1200:3:1300 -o json

brokercli replay orders.created --from -100 --to @staging/orders.created --rate 50/s

brokercli replay orders.created --to orders.fixed --through "jq -cj .fixed=true" --resume orders.journal"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", rich_help_panel=MESSAGES, epilog=EXAMPLES)(replay)


def replay(
    context: typer.Context,
    address: shared.AddressArgument,
    from_: Annotated[str | None, typer.Option("--from", metavar="POS", help="Where to begin: start, 1200, -20, 3:1200, @-1h.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="POS", help="Where to end, not included; without it, what is the end now.")] = None,
    range_: Annotated[str | None, typer.Option("--range", metavar="A:B", help="Both ends at once.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="ADDRESS", autocompletion=shared.complete_address,
                                           help="Publish there instead of printing: this broker, @CONTEXT/ADDRESS or a URL.")] = None,
    limit: shared.LimitOption = None,
    timeout: shared.TimeoutOption = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    grep: shared.GrepOption = None,
    header: shared.HeaderFilterOption = None,
    where: shared.WhereOption = None,
    output: shared.OutputOption = "auto",
    format_: shared.FormatOption = None,
    through: Annotated[str | None, typer.Option("--through", metavar="CMD",
                                                help="With --to: CMD gets each body and prints the new one; a failure leaves the message out.")] = None,
    rate: shared.RateOption = None,
    speed: Annotated[str | None, typer.Option("--speed", metavar="recorded|FACTOR",
                                              help="With --to: in the rhythm the messages were stored in, or FACTOR times as fast.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="JOURNAL", parser=shared.parse_lasting_file,
                                               help="With --to: keep what is confirmed in JOURNAL, and go on from there.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --to: read and count, publish nothing.")] = False,
    keep_time: Annotated[bool, typer.Option("--keep-time", help="With --to: keep the time of each message instead of now.")] = False,
    keep_partition: Annotated[bool, typer.Option("--keep-partition", help="With --to: keep the partition of each message.")] = False,
    keep_control_headers: shared.KeepControlOption = False,
    delivery_timeout: shared.DeliveryTimeoutOption = "30s",
    receipts: shared.ReceiptsOption = False,
    quiet: shared.QuietOption = False,
    report: shared.ReportOption = None,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Read stored messages again, from a place to a place. The end is fixed when it starts, so a busy source ends too."""
    from brokercli.commands.printing import Printing, filter_of
    from brokercli.model.errors import UsageProblem

    span = _span(from_, until, range_)
    narrowing = filter_of(grep, header, where)
    seconds = shared.parse_seconds(timeout)
    if to is None:
        publishing = {"--through": through, "--speed": speed, "--resume": resume, "--dry-run": dry_run, "--rate": rate, "--keep-time": keep_time,
                      "--keep-partition": keep_partition, "--keep-control-headers": keep_control_headers, "--receipts": receipts, "--report": report}
        if given := [name for name, value in publishing.items() if value not in (None, False)]:
            raise UsageProblem(f"{given[0]} goes with --to ADDRESS.")
        printing = Printing(context, output, format_, narrowing, limit=limit, timeout=seconds, fail_if_empty=fail_if_empty, quiet=quiet)
        raise typer.Exit(printing.run(address, context_name, span, connect_timeout=connect_timeout))

    import shlex

    from brokercli.backends.contract import PublishPolicy
    from brokercli.commands.copying import CopyRun
    from brokercli.commands.files import check_report
    from brokercli.operations.copying import Pace
    from brokercli.operations.publishing import Rate
    from brokercli.operations.through import Through
    from brokercli.settings.child_environment import environment_for_children

    check_report(report, "what --receipts prints" if receipts else None, "with --dry-run" if dry_run else None, files=[resume])
    if format_ is not None:
        raise UsageProblem("--format says how records are printed, and --to prints none.", hint="leave one of them out")
    delivery_seconds = shared.parse_delivery_timeout(delivery_timeout)
    narrowed = {"--from": from_ or "", "--until": until or "", "--range": range_ or "", "--grep": shlex.join(grep or ()), "--header": shlex.join(header or ()),
                "--where": where or "", "--through": through or ""}
    run = CopyRun(
        context, address, to, narrowed, context_name, span, narrowing, limit=limit, timeout=seconds,
        policy=PublishPolicy(delivery_timeout=delivery_seconds, positions=receipts, keep_control_headers=keep_control_headers),
        through=None if through is None else Through(through, environment=environment_for_children()),
        pace=None if speed is None else Pace(_factor(speed)), rate=Rate(shared.parse_rate(rate)),
        resume=resume, keep_time=keep_time, keep_partition=keep_partition, quiet=quiet, report=report, receipts=receipts, connect_timeout=connect_timeout)
    raise typer.Exit(run.count(fail_if_empty=fail_if_empty) if dry_run else run.copy(fail_if_empty=fail_if_empty))


def _span(from_: str | None, until: str | None, range_: str | None) -> Span:
    from brokercli.model.errors import UsageProblem
    from brokercli.model.position import End, Span, Start, parse_position, parse_range

    if range_ is not None:
        if from_ is not None or until is not None:
            raise UsageProblem("--range says both ends; --from and --until exclude it.")
        return parse_range(range_)
    return Span(Start() if from_ is None else parse_position(from_), End() if until is None else parse_position(until))


def _factor(speed: str) -> float:
    from brokercli.model.errors import UsageProblem

    if speed == "recorded":
        return 1.0
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UsageProblem(f"--speed {speed!r} is neither recorded nor a factor.", hint="--speed recorded, --speed 2x, --speed 0.5")
    return factor
