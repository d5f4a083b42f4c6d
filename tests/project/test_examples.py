"""Every command line that the help, the README and the pages of the documentation show is one that the program takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from brokercli.commands.app import build

ROOT = Path(__file__).resolve().parents[2]
TREE: Any = typer.main.get_command(build())


def epilogs(command: Any) -> Iterator[str]:
    """Yield the lines that a command's help and those below it show."""
    yield from (command.epilog or "").splitlines()
    for child in getattr(command, "commands", {}).values():
        yield from epilogs(child)


def documented() -> Iterator[str]:
    """Yield the lines in the README's blocks and the pages', without what stands for a prompt."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in page.read_text(encoding="utf-8").split("```")[1::2]:
            yield from (line.removeprefix("$ ") for line in block.splitlines()[1:])


def command_lines(line: str) -> Iterator[list[str]]:
    """Yield the words of each brokercli in a line of the shell, `brokercli` left out."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|&<>();")
    words.whitespace_split = True
    words.commenters = "#" if " # " in line else ""  # which it takes for one inside a word as well
    command: list[str] = []
    redirected = False
    for word in [*words, ";"]:
        if word in ("<", ">"):
            redirected = True
        elif re.fullmatch(r"[|&<>();]+", word):
            if command[:1] == ["brokercli"]:
                yield command[1:]
            command = []
        elif redirected:
            redirected = False
        else:
            command.append(word)


SHOWN = sorted({line for line in (*epilogs(TREE), *documented()) if re.search(r"(^|[|(] *)brokercli ", line) and "[OPTIONS]" not in line})


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_line_that_is_shown_is_one_that_can_be_typed(line: str) -> None:
    found = list(command_lines(line))
    assert found
    for words in found:
        command, rest = TREE, words
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context("brokercli", list(rest))


PASSED_THROUGH = sorted({words[words.index("--through") + 1] for line in SHOWN for words in command_lines(line) if "--through" in words})


@pytest.mark.parametrize("program", PASSED_THROUGH)
def test_a_program_that_is_shown_adds_no_line_end_to_a_body(program: str) -> None:
    assert program.startswith("jq -cj "), "jq prints one behind each value unless it is told to join them"
