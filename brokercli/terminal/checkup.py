"""How a check-up reads: a line for each thing as it is found."""

from __future__ import annotations

from brokercli.model.checkup import Check, Health
from brokercli.terminal.cells import folded_words
from brokercli.terminal.escape import visible
from brokercli.terminal.streams import STYLES, Streams
from brokercli.terminal.tables import print_json

_SIGNS = {Health.OK: "ok", Health.WARNING: "warning", Health.FAILED: "FAILED"}
_COLOURS = {Health.OK: "green", Health.WARNING: "yellow", Health.FAILED: "bold red"}
_WIDEST = max(map(len, _SIGNS.values()))


def print_check(streams: Streams, check: Check, output: str = "auto") -> None:
    """Print one: how it is, what it is, what was found, and below it what to do. `json` is one object on a line."""
    if output == "json":
        print_json(streams, [{"check": check.what, "health": str(check.health), "found": check.found, "hint": check.hint}])
        return
    sign = _SIGNS[check.health].ljust(_WIDEST)
    if streams.colour:
        sign = f"\x1b[{STYLES[_COLOURS[check.health]]}m{sign}\x1b[0m"
    lines = [f"{visible(check.what)}: {visible(check.found)}"]
    if streams.stdout_is_terminal:
        room = max(20, streams.width - _WIDEST - 3)
        lines = folded_words(lines[0], room, room)
    if check.hint:
        lines += [f"→ {visible(line)}" for line in check.hint.splitlines()]
    indent = " " * (_WIDEST + 2)
    streams.write("".join(f"{indent if number else f'{sign}  '}{line}\n" for number, line in enumerate(lines)).encode())
