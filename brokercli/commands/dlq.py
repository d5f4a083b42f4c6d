"""`brokercli dlq`: find dead letters, understand them, put them back."""

from __future__ import annotations

from importlib import import_module

import typer

from brokercli.commands.app import DEAD_LETTERS

COMMANDS = ("ls", "inspect", "show", "redrive", "drop", "park", "export", "capture")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    for name in COMMANDS:
        import_module(f"brokercli.commands.dlq_{name}").register(group)
    app.add_typer(group, name="dlq", rich_help_panel=DEAD_LETTERS, help="Dead letters: find them, understand them, put them back.")
