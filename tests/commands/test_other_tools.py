"""Whoever comes from another tool and types its words is told ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer
from typer._click.exceptions import UsageError

from brokercli.commands import other_tools
from brokercli.commands.app import build

TREE: Any = typer.main.get_command(build())


def complaint(line: str) -> str:
    """Return what is said of a command line that cannot be parsed."""
    with pytest.raises(UsageError) as refused:
        TREE.main(line.split(), prog_name="brokercli", standalone_mode=False)
    return str(refused.value.format_message())


@pytest.mark.parametrize(("line", "said"), [
    ("sub orders", "No such command 'sub'. Here: brokercli tail"), ("consume orders", "No such command 'consume'. Here: brokercli tail"),
    ("delete orders", "No such command 'delete'. Here: nothing is deleted by its name alone"), ("replai x", "No such command 'replai'. Did you mean 'replay'?"),
    ("dlq purge orders", "No such command 'purge'. Here: brokercli dlq drop"), ("consumers reset billing", "Here: brokercli consumers seek"),
    ("-b host -t orders -C", "No such option: -b. Here: --context NAME behind the command says which broker is meant"),
    ("tail -t orders", "Here: where messages lie is the ADDRESS"),
    ("tail orders -J", "Here: -o json"), ("tail orders -o beginning", "Here: where to begin is --from"), ("tail orders -o jsn", "is not one of 'auto'"),
    ("tail orders --range 1:2", "No such option: --range. Here: brokercli replay ADDRESS --from POS --until POS"),
    ("replay orders -e", "No such option: -e. Here: brokercli replay ends by itself"),
    ("declare stream JOBS --retention workqueue", "Here: settings go under the broker's own names: --set NAME=VALUE"),
    ("declare queue work --dead-letter-exchange dlx", "--set NAME=VALUE; brokercli declare settings lists them"),
    ("declare topic orders --force", "Here: --yes"), ("declare stream JOBS --subject jobs.>", "--subjects"),
    ("declare stream JOBS --subjcts jobs.>", "--subjects"),
    ("--context staging ls", "Here: it stands behind the command"), ("tail orders --limi 1", "(Possible options: --limit"),
])
def test_a_word_of_another_tool_is_answered_with_ours_and_a_mistyped_one_with_what_is_near(line: str, said: str) -> None:
    assert said in complaint(line)


def test_what_is_told_to_be_typed_can_be_typed() -> None:
    for said in (said for table in (*other_tools._COMMANDS.values(), other_tools._OPTIONS, {"": other_tools._SETTINGS}) for said in table.values()):
        for command, below in re.findall(r"brokercli ([a-z]+)(?: ([a-z]+))?", said):
            assert command in TREE.commands, said
            assert not below or command in ("ls", "describe", "declare", "tail", "replay") or below in TREE.commands[command].commands, said


def test_no_word_of_another_tool_is_one_of_ours() -> None:
    for path, table in other_tools._COMMANDS.items():
        command = TREE if path == "brokercli" else TREE.commands[path.split()[1]]
        assert not set(" ".join(table).split()) & set(command.commands)
