"""`brokercli consumers peek`: what a consumer is stuck on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from brokercli.commands import consumers_options as which
from brokercli.commands import options as shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brokercli.commands.consumers_session import ConsumerSession
    from brokercli.model.address import Address
    from brokercli.model.consumption import Lag

EXAMPLES = """[bold]Examples[/bold]

brokercli consumers peek billing

brokercli consumers peek billing --address topic:orders --partition 3 -B 10 -A 0

brokercli consumers peek ORDERS/billing -o json | jq 'select(.distance == 0)'"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("peek", epilog=EXAMPLES)(peek)


def peek(
    context: typer.Context,
    name: which.NameArgument,
    before: Annotated[int, typer.Option("--before", "-B", min=0, max=10_000, metavar="N", help="So many records before the position.")] = 3,
    after: Annotated[int, typer.Option("--after", "-A", min=0, max=10_000, metavar="N", help="So many after the one at the position.")] = 3,
    address: which.SourceOption = None,
    partition: Annotated[list[int] | None, typer.Option("--partition", "-p", min=0, metavar="N", help="Only these partitions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also where it is not behind.")] = False,
    output: Annotated[Literal["auto", "json"], typer.Option("--output", "-o", rich_help_panel="Output",
                                                            help="json: one envelope a line, with its distance from the position.")] = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Show the records around the position a consumer is at: what it did last, → what it is stuck on, what comes next.

    Changes nothing: no group is joined, nothing is acknowledged or taken.
    """
    from brokercli.commands.consumers_session import open_consumers
    from brokercli.commands.session import streams_of
    from brokercli.operations.peeking import around, worth_a_look
    from brokercli.terminal.interrupt import Interrupt
    from brokercli.terminal.peek import print_around

    streams = streams_of(context)
    with Interrupt(streams, connecting=True, only_prints=True) as interrupt, open_consumers([name], context_name, connect_timeout=connect_timeout) as session:
        interrupt.connected()
        source = session.resolve(address)
        lags = [lag for lag in session.consumers.lag(session.name)
                if (source is None or lag.source == str(source)) and (not partition or lag.partition in partition)]
        looked_at, hidden = _lookable_of(session, lags)
        lags = [lag for lag in lags if lag.source in looked_at]
        nowhere = sum(lag.position is None for lag in lags)
        chosen = worth_a_look(lags, everything)
        for text, place in looked_at.items():
            here = [lag for lag in chosen if lag.source == text]
            if here:
                print_around(streams, around(session.backend, place, here, before, after, stopping=interrupt.stopping), output)
            if interrupt.requested:
                raise typer.Exit(interrupt.exit_code)
        if lags and nowhere == len(lags):
            _refuse_unknown(session, looked_at)
    for why in hidden:
        streams.say(why)
    if nowhere:
        streams.say(f"{session.name} has no position yet" + (f" in {nowhere} of {len(lags)} places" if nowhere < len(lags) else ""))
    elif not lags:
        streams.say(f"{session.name} reads nothing{' there' if address or partition else ''}")
    elif not any(lag.lag for lag in lags):
        streams.say(f"{session.name} is not behind{' elsewhere' if hidden else ''}")
    elif len(chosen) < len(lags):
        streams.say(f"{len(lags) - len(chosen)} more where it is not behind: --all")


def _lookable_of(session: ConsumerSession, lags: Sequence[Lag]) -> tuple[dict[str, Address], list[str]]:
    """Return what is read and can be looked at, by its name, and why the rest cannot. Raises that of the first where nothing can."""
    from brokercli.model.errors import NotAuthorised, NotFound

    found: dict[str, Address] = {}
    hidden: dict[str, NotAuthorised | NotFound] = {}
    for text in dict.fromkeys(lag.source for lag in lags):
        try:
            found[text] = _lookable(session, text)
        except (NotAuthorised, NotFound) as problem:
            hidden[text] = problem
    if hidden and not found:
        raise next(iter(hidden.values()))
    return found, [f"where {session.name} is in {text} is not shown: {problem}" for text, problem in hidden.items()]


def _refuse_unknown(session: ConsumerSession, places: dict[str, Address]) -> None:
    """Raise Unsupported where nobody but the consumer itself knows where it is: what has no position cannot be moved either."""
    from brokercli.model.capability import Capability
    from brokercli.model.errors import Unsupported

    for text, address in places.items():
        support = session.descriptor.support[session.backend.resource(address)][Capability.SEEK_CONSUMERS]
        if not support:
            raise Unsupported(f"Where {session.name} is in {text} is not known: {support.note}.".replace("..", "."),
                              hint=f"brokercli replay {text} --from -20 shows its last 20 messages")


def _lookable(session: ConsumerSession, source: str) -> Address:
    """Resolve what is read. Raises Unsupported where it cannot be looked at by number, with the safe ways there are."""
    from brokercli.commands.session import Session
    from brokercli.model.address import parse_address
    from brokercli.model.capability import Capability
    from brokercli.model.errors import Unsupported

    address = session.backend.resolve(parse_address(source), "look")
    try:
        Session(session.backend, address, session.context, session.descriptor).require(Capability.LOOK_STORED, Capability.SEEK_NUMBER)
    except Unsupported as reason:
        raise Unsupported(f"What {session.name} is stuck on cannot be shown. {reason}",
                          hint=f"brokercli dlq inspect {source} shows dead letters; brokercli tail {source} what arrives from now on") from None
    return address
