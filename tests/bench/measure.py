"""Running one command to its end and keeping what it cost."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, Timer

# a command that has not ended by then is not worth comparing with
PATIENCE = 600
WARMING = 3
"""Runs of each command that do not count: a broker in a young Java machine gives and takes at two thirds of its pace, and all wait for it alike."""


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
    """One run: wall time in seconds and, where it was watched, the largest resident set in MiB."""

    seconds: float
    megabytes: float = 0.0


def environment() -> dict[str, str]:
    """Return what the commands are run with. Installing compiles a package, and an installed one is what is measured."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Peak(Thread):
    """Watches the largest resident set of a process. What wait4 says of it begins with ours: a child is a copy of us until
    it becomes another program."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{process}/status")
        self.kilobytes = 0

    def run(self) -> None:
        """Read the system's own high-water mark until the process is gone."""
        with suppress(OSError):
            while found := re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text()):
                self.kilobytes = int(found[1])
                time.sleep(0.02)


def run(command: Command, number: int = 0, *, watch_memory: bool = False) -> Sample:
    """Run once, output to the null device. Raises Failed when it exits with anything but 0, or not at all."""
    arguments = [*command.arguments, *command.prepare(number)]
    with Path(command.stdin or os.devnull).open("rb") as stdin, Path(os.devnull).open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(arguments, stdin=stdin, stdout=sink, stderr=subprocess.PIPE, env=environment())
        assert process.stderr is not None
        peak = Peak(process.pid)
        if watch_memory:
            peak.start()
        patience = Timer(PATIENCE, process.kill)
        patience.start()
        said = process.stderr.read()
        _, status = os.waitpid(process.pid, 0)
        seconds = time.perf_counter() - began
        patience.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(arguments)} exited with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    return Sample(seconds, peak.kilobytes / 1024)


def alternate(commands: Sequence[Command], runs: int) -> list[list[Sample]]:
    """Run the commands in turn, `runs` times each after some that do not count, so that all see the same machine."""
    samples: list[list[Sample]] = [[] for _ in commands]
    for number in range(runs + WARMING):
        for command, collected in zip(commands, samples, strict=True):
            sample = run(command, number)
            if number >= WARMING:
                collected.append(sample)
    return samples


def per_message(command: Command, samples: Sequence[Sample]) -> float:
    """Return the median time for one message, in seconds."""
    return statistics.median(sample.seconds for sample in samples) / command.messages
