"""Answers one TAB: which words can follow on a line. Prints candidates and nothing else, whatever goes wrong."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from brokercli.commands.shell_words import Candidate, spell, split_line

BUDGET = 0.9
"""Seconds from the start of the process until an answer is printed, complete or not; a shell's user waits for it."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_FILES = ("FILE", "JOURNAL", "PATH", "DIRECTORY")


def answer(arguments: Sequence[str]) -> int:
    """Print `words` or `files` and the candidates for `SHELL LINE [REPLACED]`; the exit code is 0 whatever happens.

    LINE goes up to the cursor. REPLACED is the part of its last word that bash puts a candidate in the place of.
    """
    began = time.monotonic()
    shell, line, *replaced = (*arguments, "", "")[:3]
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # clients log there
    words, incomplete, quote = split_line(line, shell)
    # `sudo brokercli`, `TZ=UTC brokercli`; an alias stands first
    ours = next((place for place, word in enumerate(words) if word.rpartition("/")[2] == "brokercli"), 0)
    found: list[Candidate] = []
    files: list[bool] = []
    worker = threading.Thread(target=_work, args=(words[ours + 1:], incomplete, found, files), daemon=True)
    worker.start()
    worker.join(BUDGET - (time.monotonic() - began))
    os.write(1, spell(list(found), bool(files), shell, incomplete, replaced[0], quote).encode(errors="replace"))
    return 0


def _work(words: Sequence[str], incomplete: str, found: list[Candidate], files: list[bool]) -> None:
    try:
        for candidate in candidates(words, incomplete):
            if candidate is None:
                files.append(True)
            elif candidate[0].startswith(incomplete) and not _UNPRINTABLE.search(candidate[0]):
                found.append(candidate)
    except BaseException:  # noqa: BLE001 - a half-typed line, a broken configuration or an absent broker: no candidates
        return


def candidates(words: Sequence[str], incomplete: str) -> Iterable[Candidate | None]:
    """Yield what can follow `words` (the program's name not among them); None says that files can."""
    from brokercli.commands.app import COMMANDS, build

    named = next((word for word in words if not word.startswith("-")), None)
    if named is None and not incomplete.startswith("-"):
        return [(name, panel) for name, (_, panel) in COMMANDS.items()]
    if named is not None and named not in COMMANDS:
        return []
    import typer

    command: Any = typer.main.get_command(build(words[words.index(named):] if named else [next(iter(COMMANDS))]))
    position, pending, seen, options_over = 0, None, {}, False
    for word in words:
        if pending is not None:
            seen[pending.name], pending = word, None
        elif word == "--" and not options_over:
            options_over = True
        elif word.startswith("-") and word != "-" and not options_over:
            name, equals, value = word.partition("=")
            pending = _option(command, name)
            if pending is not None and (equals or pending.is_flag):
                seen[pending.name], pending = value, None
        elif hasattr(command, "commands"):
            command = command.commands.get(word)
            if command is None:
                return []
        else:
            position += 1
    return _following(command, pending, position, seen, incomplete, options_over)


def _following(command: Any, pending: Any, position: int, seen: dict[str, str], incomplete: str, options_over: bool) -> Iterable[Candidate | None]:
    if pending is not None:
        return _values(command, pending, seen, incomplete)
    if incomplete.startswith("-") and not options_over:
        name, equals, value = incomplete.partition("=")
        option = _option(command, name) if equals and name.startswith("--") else None
        if option is not None:
            return ((f"{name}={candidate[0]}", candidate[1]) if candidate else None for candidate in _values(command, option, seen, value))
        return [(text, _first_sentence(option.help)) for option in command.params if option.param_type_name == "option" and not option.hidden
                for text in option.opts + option.secondary_opts if text.startswith("--") or len(incomplete) == 1]
    if hasattr(command, "commands"):
        return [(name, _first_sentence(child.help)) for name, child in command.commands.items() if not child.hidden]
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    for argument in arguments:
        if argument.nargs == -1 or position < argument.nargs:
            return _values(command, argument, seen, incomplete)
        position -= argument.nargs
    return []


def _values(command: Any, parameter: Any, seen: dict[str, str], incomplete: str) -> Iterable[Candidate | None]:
    import typer

    choices = getattr(parameter.type, "choices", None)
    if choices:
        return [(str(choice), "") for choice in choices]
    metavar = (parameter.metavar or "").upper()
    if any(word in _FILES for word in re.split(r"\W+", metavar)):
        return [None]
    context = typer.Context(command)
    context.params = dict(seen)
    return [(str(item.value), item.help or "") for item in parameter.shell_complete(context, incomplete)]


def _option(command: Any, name: str) -> Any:
    options = (parameter for parameter in command.params if parameter.param_type_name == "option")
    return next((option for option in options if name in option.opts + option.secondary_opts), None)


def _first_sentence(text: str | None) -> str:
    return re.split(r"(?<=[.;])\s|\n", (text or "").strip(), maxsplit=1)[0].rstrip(".;:")
