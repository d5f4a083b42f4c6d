"""How much memory moving many messages takes, and what starting costs."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Command, Sample, run
from tests.bench.tools import brokercli


def peaks(commands: Sequence[tuple[str, Command]]) -> list[tuple[str, int, Sample]]:
    """Run each once and return its messages and its largest resident set."""
    return [(name, command.messages, run(command, watch_memory=True)) for name, command in commands]


def startup(runs: int = 25) -> dict[str, float]:
    """Return milliseconds over `python -c pass` of `--version` and of one TAB; medians."""
    commands = {"bare": Command([sys.executable, "-c", "pass"], 1), "--version": Command(brokercli("--version"), 1),
                "one TAB": Command(brokercli("__complete", "bash", "brokercli tail --li", "--li"), 1)}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(run(command).seconds * 1000)
    bare = statistics.median(times.pop("bare"))
    return {name: statistics.median(values) - bare for name, values in times.items()}


def write_lines(path: Path, count: int) -> Path:
    """Write `count` JSON lines of about 94 bytes."""
    with path.open("wb") as file:
        for start in range(0, count, 10_000):
            file.write(b"".join(b'{"id":%08d,"customer":"c-%02d","amount":12.5,"status":"created","note":"xxxxxxxxxxxxxxxx"}\n' % (number, number % 100)
                                for number in range(start, min(start + 10_000, count))))
    return path
