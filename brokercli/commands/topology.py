"""`brokercli topology`: everything a broker should have, as one file."""

from __future__ import annotations

from importlib import import_module

import typer

from brokercli.commands.app import RESOURCES

COMMANDS = ("plan", "apply", "export", "schema")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    for name in COMMANDS:
        import_module(f"brokercli.commands.topology_{name}").register(group)
    app.add_typer(group, name="topology", rich_help_panel=RESOURCES, help="Everything a broker should have, as one file: compare it, make it so, write it.")
