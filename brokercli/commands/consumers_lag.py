"""`brokercli consumers lag`: how far behind, once or watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared

if TYPE_CHECKING:
    from brokercli.operations.lagging import Tick
    from brokercli.terminal.streams import Streams

EXAMPLES = """[bold]Examples[/bold]

brokercli consumers lag billing

brokercli consumers lag 'billing*' --watch

brokercli consumers lag ORDERS/billing --watch --every 10s -o json | jq '.lag'

brokercli consumers lag billing --fail-above 1000 && deploy"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("lag", epilog=EXAMPLES)(lag)


def lag(
    context: typer.Context,
    names: which.NamesArgument,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Measure again and again: a live table on a terminal, one JSON object for each "
                                                              "consumer and time in a pipe.")] = False,
    every: Annotated[str | None, typer.Option("--every", metavar="DURATION", help="How often to measure with --watch (2s).")] = None,
    fail_above: Annotated[int | None, typer.Option("--fail-above", min=0, metavar="N", help="Exit with 11 when a consumer's lag is above N; with --watch "
                                                                                            "at the first time it is.")] = None,
    fail_if_empty: shared.FailIfEmptyOption = False,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Say how far consumers are behind: each source, each partition, in total. Changes nothing, joins no group."""
    from brokercli.commands.consumers_session import names_nothing, open_consumers, split_names
    from brokercli.commands.lag_watching import watch_lag
    from brokercli.commands.session import streams_of
    from brokercli.model.errors import NotFound, UsageProblem
    from brokercli.model.exit_code import ExitCode
    from brokercli.operations.lagging import measure
    from brokercli.terminal.consumers import print_lag
    from brokercli.terminal.tables import check_output

    check_output(output)
    if every is not None and not watch:
        raise UsageProblem("--every goes with --watch.")
    streams = streams_of(context)
    interval = shared.parse_seconds(every) if every is not None else 2.0
    if interval is None or interval < 0.1:
        raise UsageProblem("--every is 100 ms at least.")
    if not split_names(names)[1]:
        raise names_nothing(names)
    if watch:
        raise typer.Exit(watch_lag(streams, names, context_name, connect_timeout, interval, output, lambda tick: above(streams, tick, fail_above)))
    with open_consumers(names, context_name, connect_timeout=connect_timeout) as session:
        tick = measure(session.consumers, session.names)
    if tick.gone:
        raise NotFound(f"There is no consumer {', '.join(tick.gone)} on {session.context.name}.", hint="brokercli consumers ls shows them")
    print_lag(streams, tick.measured, output)
    for measured in tick.measured:
        if not measured.lags:
            streams.say(f"{measured.name} has no position, and reads nothing")
    for reason in tick.unseen:
        streams.say(reason)
    if not tick.measured:
        streams.say(f"no consumer of this name on {session.context.name}")
        raise typer.Exit(int(ExitCode.NOTHING_MATCHED) if fail_if_empty else above(streams, tick, fail_above))
    raise typer.Exit(above(streams, tick, fail_above))


def above(streams: Streams, tick: Tick, limit: int | None) -> int:
    """Return 11 where a lag is above the limit, 0 where none is. Raises Failed where that cannot be told."""
    from brokercli.model.errors import Failed, NotFound
    from brokercli.model.exit_code import ExitCode

    if limit is None:
        return 0
    high = [measured for measured in tick.measured if measured.lag is not None and measured.lag > limit]
    for measured in high:
        streams.say(f"{measured.name} is {measured.lag:,} behind, more than {limit:,}")
    if high:
        return int(ExitCode.ABOVE)
    if tick.gone:
        raise NotFound(f"{', '.join(tick.gone)} is not there any more, so --fail-above cannot be answered.", hint="brokercli consumers ls shows what there is")
    for measured in tick.measured:
        if not measured.lags:
            raise Failed(f"{measured.name} has no position and reads nothing, so --fail-above cannot be answered.")
        for unknown in measured.unknown:
            where = unknown.source if unknown.partition is None else f"{unknown.source} {unknown.partition}"
            known = "only in part (what is in hand is not told)" if unknown.at_least else "not"
            raise Failed(f"How far {measured.name} is behind on {where} is {known} known, so --fail-above cannot be answered.")
    for reason in tick.unseen:
        raise Failed(f"How far behind every consumer is cannot be told, so --fail-above cannot be answered: {reason}.")
    return 0
