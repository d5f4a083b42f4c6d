"""`brokercli declare`: make things as they ought to be, and say what differs where they are otherwise."""

from __future__ import annotations

from importlib import import_module

import typer

from brokercli.commands.app import RESOURCES

COMMANDS = ("topic", "stream", "exchange", "queue", "binding", "consumer", "retry", "settings")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    for name in COMMANDS:
        import_module(f"brokercli.commands.declare_{name}").register(group)
    app.add_typer(group, name="declare", rich_help_panel=RESOURCES, help="Topics, streams, queues: make them as they ought to be, or say what differs.")
