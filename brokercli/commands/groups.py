"""Commands of two words: `dlq redrive` is in dlq_redrive.py, and of a group that is named with its command only that one gets imported."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

GROUPS = {
    "dlq": ("Dead letters: find them, understand them, put them back.",
            ("ls", "inspect", "show", "redrive", "drop", "park", "export", "capture")),
    "consumers": ("Groups and consumers: how far behind, what they are stuck on, moving them.",
                  ("ls", "lag", "describe", "peek", "seek", "pause", "resume", "rm")),
    "declare": ("Topics, streams, queues: make them as they ought to be, or say what differs.",
                ("topic", "stream", "exchange", "queue", "binding", "consumer", "retry", "settings")),
    "topology": ("Everything a broker should have, as one file: compare it, make it so, write it.",
                 ("plan", "apply", "export", "schema")),
}


def add_group(app: typer.Typer, name: str, words: Sequence[str], *, panel: str) -> None:
    """Add the group `name`; where the first of `words`, which follow its name, is a command of it, that one alone."""
    text, commands = GROUPS[name]
    group = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    for command in words[:1] if words and words[0] in commands else commands:
        import_module(f"brokercli.commands.{name}_{command}").register(group)
    app.add_typer(group, name=name, rich_help_panel=panel, help=text)
