"""`brokercli doctor`: what is wrong with a broker, or with the way to it."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import SETUP

EXAMPLES = """[bold]Examples[/bold]

brokercli doctor

brokercli doctor @staging

brokercli doctor kafka://broker-1,broker-2

brokercli doctor -o json | jq -r 'select(.health != "ok") | .found'"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel=SETUP, epilog=EXAMPLES)(doctor)


def _brokers(incomplete: str) -> list[tuple[str, str]]:
    return [(f"@{name}", about) for name, about in shared.complete_context(incomplete.removeprefix("@"))]


def doctor(
    context: typer.Context,
    broker: Annotated[str | None, typer.Argument(metavar="[BROKER]", autocompletion=_brokers, show_default=False,
                                                 help="@CONTEXT or a broker's URL; without it the broker that is chosen.")] = None,
    output: shared.TableOption = "auto",
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Look over a broker and the way to it, step by step: name, port, login, what it says of itself. Changes nothing.

    Exits with 0 unless something failed; a warning fails nothing.
    """
    from brokercli.backends.registry import find, open_backend
    from brokercli.commands.listing import parse_broker
    from brokercli.commands.session import streams_of
    from brokercli.model.checkup import Check, Health
    from brokercli.model.errors import UsageProblem
    from brokercli.operations.checkup import check_up, exit_code
    from brokercli.settings.contexts import read_contexts
    from brokercli.settings.resolve import resolve_connection
    from brokercli.terminal.checkup import print_check
    from brokercli.terminal.tables import check_output

    streams = streams_of(context)
    check_output(output)
    address = parse_broker(broker)
    if broker is not None and address is None:
        if "://" in broker:  # not repeated: there may be a password in it
            raise UsageProblem("The URL names something on a broker, and doctor looks over a broker.",
                               hint="leave out what is behind the host; a virtual host ends with a /, or --context takes the URL as a context has it")
        hint = "@CONTEXT or a URL; brokercli describe explains what is on one"
        raise UsageProblem(f"{broker!r} names no broker.", hint=f"the context of this name is @{broker}" if broker in read_contexts().names() else hint)
    resolved = resolve_connection(address, context_name, seconds=connect_timeout)
    connection = resolved.within(connect_timeout)
    descriptor = find(connection.scheme)
    checks = [Check("broker", Health.OK, f"{descriptor.title} at {connection}" + ("" if "://" in resolved.name else f", the context {resolved.name}")
                    + f" (chosen by {resolved.source})")]
    print_check(streams, checks[0], output)
    for check in check_up(connection, descriptor.default_port, open_backend, resolved.dlq):
        checks.append(check)
        print_check(streams, check, output)
    raise typer.Exit(int(exit_code(checks)))
