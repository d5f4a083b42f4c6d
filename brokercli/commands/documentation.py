"""`docs/commands.md`, from the tree of commands itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


def page() -> str:
    """Return the page. The same tree prints `--help`, so that the two cannot disagree."""
    import typer

    from brokercli.commands.app import COMMANDS, build

    root: Any = typer.main.get_command(build())
    lines = ["# Commands\n", "Made from the commands themselves. `brokercli COMMAND --help` shows the same, `brokercli help` explains addresses,",
             "positions, output, filters, topologies, contexts, the environment and exit codes.\n", *_section("brokercli", root, 2)]
    for name in COMMANDS:
        lines += _command(f"brokercli {name}", root.commands[name])
    return "\n".join(lines)


def _command(path: str, command: Any, level: int = 2) -> Iterator[str]:
    yield from _section(path, command, level)
    for name, child in getattr(command, "commands", {}).items():
        yield from _command(f"{path} {name}", child, level + 1)
    if command.epilog:
        examples = [line for line in command.epilog.splitlines() if line.startswith(("brokercli", "source"))]
        yield "```sh\n{}\n```\n".format("\n".join(examples))


def _section(path: str, command: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path}\n"
    below = getattr(command, "commands", None) is not None
    rows = [f"| `{_usage(parameter)}` | {_cell(parameter.help)} |" for parameter in _parameters(command, "argument")]
    rows += [f"| {_names(parameter)} | {_cell(parameter.help)}{_default(parameter)} |" for parameter in _parameters(command, "option")]
    if rows or not below:
        words = "COMMAND" if below else " ".join(_usage(parameter) for parameter in _parameters(command, "argument"))
        yield f"```\n{path} [OPTIONS] {words}".rstrip() + "\n```\n"
    yield f"{_plain(command.help)}\n"
    if rows:
        yield from ("| | |", "|---|---|", *rows, "")


def _parameters(command: Any, kind: str) -> list[Any]:
    return [parameter for parameter in command.params
            if parameter.param_type_name == kind and not getattr(parameter, "hidden", False) and parameter.name != "help"]


def _usage(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    value = option.metavar or "|".join(map(str, getattr(option.type, "choices", ())))
    return f"{names} `{value}`".replace("|", "\\|")


def _default(option: Any) -> str:
    return f" Default: {_cell(str(option.default))}." if option.show_default and option.default not in (None, False) else ""


def _cell(text: str | None) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")


def _plain(text: str | None) -> str:
    """Drop rich's markup and escape what Markdown would take for its own."""
    return re.sub(r"([*<>_])", r"\\\1", re.sub(r"\[/?(bold|dim|italic)\]", "", text or "").strip())
