"""Running one command to its end and keeping what it cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

# a command that has not ended by then is not worth comparing with
PATIENCE = 600


class Failed(Exception):
    """A command that was measured did not do its work; its figure would mean nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What to run. `messages` is how much work it does: peers that are slow may do less of it."""

    arguments: Sequence[str]
    messages: int
    stdin: Path | None = None
    prepare: Callable[[int], Sequence[str]] = lambda number: ()
    """Called before each run, with its number, and not measured; what it returns is added to the arguments."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: wall time in seconds and the largest resident set in MiB."""

    seconds: float
    megabytes: float


def environment() -> dict[str, str]:
    """Return what the commands are run with. Installing compiles a package, and an installed one is what is measured."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: Command, number: int = 0) -> Sample:
    """Run once, output to the null device. Raises Failed when it exits with anything but 0, or not at all."""
    arguments = [*command.arguments, *command.prepare(number)]
    with Path(command.stdin or os.devnull).open("rb") as stdin, Path(os.devnull).open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(arguments, stdin=stdin, stdout=sink, stderr=subprocess.PIPE, env=environment())
        assert process.stderr is not None
        patience = Timer(PATIENCE, process.kill)
        patience.start()
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        patience.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(arguments)} exited with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    return Sample(seconds, usage.ru_maxrss / 1024)


def alternate(commands: Sequence[Command], runs: int) -> list[list[Sample]]:
    """Run the commands in turn, `runs` times each after one run that does not count, so that all see the same machine."""
    samples: list[list[Sample]] = [[] for _ in commands]
    for number in range(runs + 1):
        for command, collected in zip(commands, samples, strict=True):
            sample = run(command, number)
            if number:
                collected.append(sample)
    return samples


def per_message(command: Command, samples: Sequence[Sample]) -> float:
    """Return the median time for one message, in seconds."""
    return statistics.median(sample.seconds for sample in samples) / command.messages
