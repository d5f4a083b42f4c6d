"""`brokercli consumers`: who reads, how far behind, and moving them."""

from __future__ import annotations

from importlib import import_module

import typer

from brokercli.commands.app import RESOURCES

COMMANDS = ("ls", "lag", "describe", "peek", "seek", "pause", "resume", "rm")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    for name in COMMANDS:
        import_module(f"brokercli.commands.consumers_{name}").register(group)
    app.add_typer(group, name="consumers", rich_help_panel=RESOURCES, help="Groups and consumers: how far behind, what they are stuck on, moving them.")
