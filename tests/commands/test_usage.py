"""The usage line of every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer._click.core import Context

from brokercli.commands.app import build


def commands(group: Any, above: Any) -> Iterator[tuple[Any, Any]]:
    for name, command in group.commands.items():
        context = Context(command, info_name=name, parent=above)
        yield command, context
        if hasattr(command, "commands"):
            yield from commands(command, context)


def test_what_a_command_needs_is_named_without_braces_and_what_may_be_left_out_in_brackets() -> None:
    tree = typer.main.get_command(build())
    usages = [command.get_usage(context) for command, context in commands(tree, Context(tree, info_name="brokercli"))]  # type: ignore[attr-defined]
    assert "Usage: brokercli publish [OPTIONS] ADDRESS [BODY]" in usages
    assert "Usage: brokercli dlq show [OPTIONS] POSITION [DLQ]" in usages
    assert [usage for usage in usages if "{" in usage] == []
