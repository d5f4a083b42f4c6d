"""Every option that more than one command has, said once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Output = Literal["auto", "json", "raw", "bodies"]
Table = Literal["auto", "table", "json"]


def complete_address(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return addresses that begin so, on the broker that is chosen."""
    from brokercli.commands.completing_names import addresses

    return addresses(incomplete, context.params.get("context_name"))


def complete_context(incomplete: str) -> list[tuple[str, str]]:
    """Return names of contexts that begin so."""
    from brokercli.commands.completing_names import contexts

    return contexts(incomplete)


def complete_consumer(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return names of consumers that begin so, on the broker that is chosen."""
    from brokercli.commands.completing_names import consumers

    return consumers(incomplete, context.params.get("context_name"))


def parse_seconds(text: str | None) -> float | None:
    """Read a duration into seconds; a plain number is seconds."""
    from brokercli.model.position import NANOSECONDS, parse_duration

    if text is None:
        return None
    return parse_duration(text if not text.replace(".", "", 1).isdecimal() else f"{text}s") / NANOSECONDS


def parse_connect_timeout(text: str) -> float:
    """Read how long connecting may take, in seconds."""
    from brokercli.model.errors import UsageProblem

    try:
        seconds = parse_seconds(text)
    except UsageProblem as problem:
        # it is in no command line, perhaps
        raise UsageProblem(f"--connect-timeout, or BROKERCLI_CONNECT_TIMEOUT: {problem}", hint=problem.hint) from None
    if seconds is None or seconds < 0.1:
        raise UsageProblem(f"--connect-timeout, or BROKERCLI_CONNECT_TIMEOUT: {text} is too short a duration to connect in.",
                           hint="at least 100ms; 5s without it")
    return seconds


AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", autocompletion=complete_address, show_default=False,
                                                help="orders.created, or with its kind: topic: subject: stream: queue: exchange:NAME/KEY "
                                                     "(a / in NAME is %2F); @CONTEXT/ADDRESS; a URL.")]
ContextOption = Annotated[str | None, typer.Option("--context", "-c", metavar="NAME", autocompletion=complete_context,
                                                   help="The broker to use, by its context's name.", rich_help_panel="Broker")]
ConnectTimeoutOption = Annotated[float | None, typer.Option("--connect-timeout", metavar="DURATION", parser=parse_connect_timeout, rich_help_panel="Broker",
                                                            envvar="BROKERCLI_CONNECT_TIMEOUT", help="Give up connecting after this long (5s).")]

LimitOption = Annotated[int | None, typer.Option("--limit", "-n", "--count", min=0, metavar="N", help="Stop after N records.")]
IdleTimeoutOption = Annotated[str | None, typer.Option("--idle-timeout", metavar="DURATION", help="Stop when nothing came for this long (5s, 2m).")]
TimeoutOption = Annotated[str | None, typer.Option("--timeout", metavar="DURATION", help="Once connected, stop after this long in all, with exit code 124.")]
FailIfEmptyOption = Annotated[bool, typer.Option("--fail-if-empty", help="Exit with 9 when nothing matched.")]

GrepOption = Annotated[list[str] | None, typer.Option("--grep", metavar="TEXT", rich_help_panel="Which records",
                                                      help="Only bodies that hold TEXT, or match /REGEX/; repeat for all of several.")]
HeaderFilterOption = Annotated[list[str] | None, typer.Option("--header", metavar="NAME[=VALUE]", rich_help_panel="Which records",
                                                              help="Only records with this header.")]
WhereOption = Annotated[str | None, typer.Option("--where", metavar="CEL", rich_help_panel="Which records",
                                                 help="Only records for which a CEL expression over the envelope is true: \"value.amount > 100\".")]

OutputOption = Annotated[Output, typer.Option("--output", "-o", rich_help_panel="Output",
                                              help="auto: readable on a terminal, bodies in a pipe; bodies: one a line; "
                                                   "json: one envelope a line; raw: exact bytes, nothing added.")]
FormatOption = Annotated[str | None, typer.Option("--format", "-f", metavar="FORMAT", rich_help_panel="Output",
                                                  help="Print each record so: '%t %p %o %k %v\\n' (brokercli help output).")]
TableOption = Annotated[Table, typer.Option("--output", "-o", rich_help_panel="Output", help="table, or json: one object a line.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No summary and no notes on standard error; errors remain.", rich_help_panel="Output")]
ReportOption = Annotated[str | None, typer.Option("--report", metavar="FILE", rich_help_panel="Output",
                                                   help="Write the summary to FILE as JSON; - is standard output.")]

RateOption = Annotated[str | None, typer.Option("--rate", metavar="N[/s]", help="At most so many messages a second (100, 50/s, 600/m).")]
DeliveryTimeoutOption = Annotated[str, typer.Option("--delivery-timeout", metavar="DURATION",
                                                    help="How long to wait for the broker's verdict before a message counts as unknown.")]
KeepControlOption = Annotated[bool, typer.Option("--keep-control-headers",
                                                 help="Pass on headers that steer the broker (Nats-Rollup, Nats-Msg-Id, CC) instead of withholding them.")]
ReceiptsOption = Annotated[bool, typer.Option("--receipts", help="Print the broker's verdict on each message to standard output, one JSON object a line.")]


def parse_lasting_file(text: str) -> str:
    """Read the name of a file that is read again later: standard input and output are none."""
    from brokercli.commands.files import check_named
    from brokercli.model.errors import UsageProblem

    check_named(text)
    if text == "-":
        raise UsageProblem("What is read again later is a file, and - is none.", hint="./- is a file of that name")
    return text


def parse_rate(text: str | None) -> float | None:
    """Read `100`, `50/s` or `600/m` into messages a second."""
    from brokercli.model.errors import UsageProblem

    if text is None:
        return None
    number, _, unit = text.partition("/")
    seconds = {"": 1, "s": 1, "m": 60, "h": 3600}.get(unit)
    try:
        per_second = float(number) / seconds if seconds else 0
    except ValueError:
        per_second = 0
    # beyond these nothing would go in a lifetime, and no broker takes as many
    if not 1e-9 <= per_second <= 1e12:
        raise UsageProblem(f"--rate {text!r} is no rate.", hint="rates: 100, 50/s, 600/m")
    return per_second


def parse_delivery_timeout(text: str) -> float:
    """Read how long to wait for a verdict, in seconds; no time at all is none, as it would leave the verdict to chance."""
    from brokercli.model.errors import UsageProblem

    seconds = parse_seconds(text)
    if not seconds:
        raise UsageProblem(f"--delivery-timeout {text} leaves the broker no time to answer.", hint="durations: 500ms, 30s, 2m")
    return seconds
