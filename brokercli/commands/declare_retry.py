"""`brokercli declare retry`: everything that retries need, from a source, how often, and after which delays."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands import declare_options as declaring
from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare retry orders.created --attempts 4 --delays 5s,30s,5m

brokercli declare retry ORDERS --consumer worker --attempts 5 --delays 10s,1m --dry-run

brokercli declare retry orders --attempts 3 --delays 30s --native --dead-letter orders.dead"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("retry", epilog=EXAMPLES)(retry)


def retry(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", autocompletion=shared.complete_address, show_default=False,
                                          help="The topic, stream or queue that is worked on; with its context @CONTEXT/NAME, or a URL.")],
    attempts: Annotated[int | None, typer.Option("--attempts", min=1, metavar="N", show_default=False,
                                                 help="How often a message is tried in all; without it once more than there are delays.")] = None,
    delays: Annotated[str, typer.Option("--delays", metavar="D,D,…", show_default=False,
                                        help="How long to wait before the second, third, … try: 5s,30s,5m. The last one repeats.")] = "",
    dead_letter: Annotated[str | None, typer.Option("--dead-letter", metavar="NAME", help="Where a message goes after its last try.")] = None,
    consumer: Annotated[str | None, typer.Option("--consumer", metavar="NAME", help="JetStream: the durable consumer that is worked with.")] = None,
    native: Annotated[bool, typer.Option("--native", help="RabbitMQ 4.3.1: let a quorum queue delay by itself, instead of wait queues.")] = False,
    assignments: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", rich_help_panel="Settings",
                                                          help="A setting for all that is made: partitions=6, num_replicas=3.")] = None,
    dry_run: declaring.DryRunOption = False,
    yes: declaring.YesOption = False,
    output: shared.TableOption = "auto",
    quiet: declaring.QuietOption = False,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Declare retries: tried, tried again after each delay, then into the dead letters. Says what a worker has to do.

    What is missing is made; what exists is changed only with --yes.
    """
    from dataclasses import replace

    from brokercli.backends.registry import Descriptor
    from brokercli.commands.declare_name import parse_name
    from brokercli.commands.declare_run import DeclareRun
    from brokercli.commands.session import open_broker, streams_of
    from brokercli.model.declaration import SettingValue, Topology
    from brokercli.model.retrying import retry_specification
    from brokercli.operations.declaring import plan_topology, read_retry_settings
    from brokercli.terminal.tables import check_output

    check_output(output)
    address = parse_name("retry", source)
    wanted = retry_specification(address.name, delays.split(",") if delays else [], attempts, dead_letter=dead_letter, consumer=consumer, native=native)
    settings: dict[str, SettingValue] = {}

    def check(descriptor: Descriptor) -> None:
        settings.update(read_retry_settings(descriptor, assignments or ()))

    with open_broker(address, context_name, connect_timeout=connect_timeout, check=check) as broker:
        declarer = broker.backend.declarer()
        plan = plan_topology(declarer, Topology(retries=(replace(wanted, settings=settings),)))
        run = DeclareRun(streams_of(context), broker, declarer, output, yes, dry_run, quiet, creates_unasked=True)
        raise typer.Exit(run.run(plan))
