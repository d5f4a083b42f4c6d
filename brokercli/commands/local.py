"""`brokercli local`: a broker of one's own, without installing or configuring one."""

from __future__ import annotations

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import SETUP


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="A nats-server with JetStream of your own, for this machine only: the context `local`.")
    group.command("start")(start)
    group.command("stop")(stop)
    group.command("status")(status)
    app.add_typer(group, name="local", rich_help_panel=SETUP)


def start(context: typer.Context) -> None:
    """Start it, unless it runs. Commands that use the context `local` do this by themselves."""
    from brokercli.commands.session import streams_of
    from brokercli.local import server
    from brokercli.settings.places import local_files

    identity, started = server.start(local_files())
    streams = streams_of(context)
    streams.say(f"the local broker {'is started' if started else 'runs already'}: 127.0.0.1:{identity.port}, data in {local_files().directory}")
    if not _is_chosen():
        streams.say("brokercli context use local chooses it; --context local uses it once")


def _is_chosen() -> bool:
    from brokercli.model.errors import UsageProblem
    from brokercli.settings.resolve import choose

    try:
        return choose(None, None).name == "local"
    except UsageProblem:
        return False


def stop(context: typer.Context) -> None:
    """Stop it; its data stays. Exits with 0 as well when it was not running."""
    from brokercli.commands.session import streams_of
    from brokercli.local import server
    from brokercli.settings.places import local_files

    pid = server.stop(local_files())
    streams_of(context).say(f"the local broker is stopped (process {pid})" if pid else "the local broker was not running")


def status(context: typer.Context, output: shared.TableOption = "auto") -> None:
    """Say whether it runs, and where. Starts nothing; exits with 0 when it runs, with 1 when it does not."""
    from brokercli.commands.session import streams_of
    from brokercli.local import server
    from brokercli.settings.places import local_files
    from brokercli.terminal.tables import print_table

    found = server.status(local_files())
    streams = streams_of(context)
    print_table(streams, [{"running": found.running, "address": f"127.0.0.1:{found.port}" if found.port else None, "process": found.pid,
                           "version": found.version, "data": str(found.directory)}], output=output)
    if found.note:
        streams.say(found.note)
    raise typer.Exit(0 if found.running else 1)
