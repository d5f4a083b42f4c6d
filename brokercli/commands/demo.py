"""`brokercli demo`: the whole tool on a broker of one's own, in a minute."""

from __future__ import annotations

import typer

from brokercli.commands.app import SETUP


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", rich_help_panel=SETUP)(demo)


def demo(context: typer.Context) -> None:
    """Start a broker of your own, publish orders, let a service fail on some and put one back: every step with its command.

    Chooses the context `local` where none is chosen. Can be run again and again; no other broker is touched.
    """
    from brokercli.commands.demo_story import tell
    from brokercli.commands.session import streams_of

    raise typer.Exit(tell(streams_of(context)))
