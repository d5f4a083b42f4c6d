"""A trial on its way: runs of brokercli, each with what disturbs it, until one says that all is done."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from brokercli.operations.reading import SLICE
from tests.commandline import Process
from tests.environment import ROOT
from tests.faults.proxy import Direction
from tests.torture.arena import Arena
from tests.torture.check import Found, Kind, Run, Violation
from tests.torture.disturbing import ANOTHER, AT_ITS_END, disturb
from tests.torture.elsewhere import CONTEXT
from tests.torture.fault import Fault
from tests.torture.letters import NEEDLE, make_seeds, sizes
from tests.torture.site import HOMES, HOMEWARD, Site
from tests.torture.trial import Result, Trial

MOST_RUNS = 12
PATIENCE = 90.0
"""Seconds in which one run has to end by itself."""
DELIVERY_SECONDS = 10
WORDS = {
    "redrive": ("dlq", "redrive", "{dlq}", "--yes"),
    "selected": ("dlq", "redrive", "{dlq}", "--yes", "--header", "torture-group=a"),
    "to": ("dlq", "redrive", "{dlq}", "--yes", "--to", "{parking}"),
    "park": ("dlq", "park", "{dlq}", "--yes", "--to", "{parking}"),
    "drop": ("dlq", "drop", "{dlq}", "--yes", "--grep", NEEDLE.decode()),
    "through": ("dlq", "redrive", "{dlq}", "--yes", "--through", f"sh {shlex.quote(str(ROOT / 'tests' / 'torture' / 'program.sh'))}"),
    "elsewhere": ("dlq", "redrive", "{dlq}", "--yes", "--to", f"@{CONTEXT}/subject:{{there}}"),
    "copy": ("replay", "{dlq}", "--to", f"@{CONTEXT}/subject:{{there}}", "--resume", "{folder}/resume", "--rate", "{rate}"),
    "read": ("replay", "{dlq}", "-o", "json"),
    "file": ("dlq", "redrive", "--from-file", "{folder}/letters", "--resume", "{folder}/resume", "--yes"),
    "publish": ("publish", "{target}", "--input", "json", "--receipts"),
}
_DISORDERS = ("broker killed", "reset", "hang up", "lose answers", "swallow", "hold", "refuse", AT_ITS_END)


class Going(ABC):
    """A trial on its way."""

    def __init__(self, arena: Arena, trial: Trial, site: Site, chance: Random, run: str, folder: Path) -> None:
        self.arena, self.trial, self.site, self.run_name, self.folder = arena, trial, site, run, folder
        self.selective = trial.operation in ("selected", "drop", "through")
        self.seeds = make_seeds(chance, trial.count, homes=HOMES, gone=trial.gone if trial.operation in HOMEWARD else 0.0,
                                chosen=0.5 if self.selective else 1.0, largest=trial.largest, run=run)
        if trial.operation == "through":
            # what has no body goes round the program, and home as it is, where a broker tells that from an empty one
            self.seeds = [replace(seed, chosen=seed.chosen or site.lies(seed).body is None) for seed in self.seeds]
        # roughly what goes to the broker
        self.volume = sizes(self.seeds)
        # and of that to the broker where they lie
        self.size = 80 * trial.count if trial.operation in ("drop", "elsewhere", "copy") else self.volume
        self.there = arena.elsewhere.make(run) if trial.operation in ("elsewhere", "copy") else ""
        """The subject on the other broker, where there is one."""
        self.runs: list[Run] = []
        self.happened: Counter[str] = Counter()
        self.stuck: list[Violation] = []

    def run(self) -> None:
        """Run, with one fault each time as long as there are any, until it is done."""
        for number in range(MOST_RUNS):
            fault = self.trial.faults[number] if number < len(self.trial.faults) else None
            self.runs += self._once(number, fault)
            self.arena.heal()
            # of two at once one had to stand back, and knows only its own part
            if self.stuck or (not (fault is not None and fault.name == ANOTHER and self.happened[ANOTHER]) and self.done()):
                return

    @abstractmethod
    def done(self) -> bool:
        """Whether there is nothing more to do."""

    def arguments(self, number: str) -> list[str]:
        """Return the command line of a run, whose files are called `number`."""
        words = [word.format(folder=self.folder, dlq=self.site.dlq, parking=self._parking(), target=self.site.target, there=self.there,
                             rate=int(self.trial.window / SLICE)) for word in WORDS[self.trial.operation]]
        patience = ["--delivery-timeout", f"{DELIVERY_SECONDS}s"] if self.trial.operation not in ("park", "drop") else []
        return [*words, "--report", str(self.folder / f"{number}.report"), *patience]

    direction: Direction = "to broker"
    """Which way what it is about goes."""
    def _parking(self) -> str:
        # as redrive and park take an address on RabbitMQ and Kafka
        return {"kafka": "topic:", "nats": "subject:", "rabbitmq": "queue:"}[self.trial.broker] + self.site.parking

    def input(self) -> bytes | None:
        """Return what is given to its standard input."""
        return None

    def orders(self, fault: Fault | None) -> dict[str, Any]:
        """Return what the child has to know."""
        return {"window": self.trial.window, "control": self.trial.control, "operation": self.trial.operation, **(fault.orders() if fault is not None else {})}

    def _once(self, number: int, fault: Fault | None) -> list[Run]:
        """Run once, with what disturbs it; two runs where the disturbance is another one."""
        given, name = self.input(), str(number)
        process = self.arena.start(self.orders(fault), self.arguments(name), self.folder / name, subprocess.DEVNULL if given is None else subprocess.PIPE)
        others: list[tuple[str, Process]] = []

        def another() -> None:
            second = f"{number}-another"
            killed = Fault("crash", fault.point, fault.nth) if fault is not None and fault.point else None
            others.append((second, self.arena.start(self.orders(killed), self.arguments(second), self.folder / second)))

        if given is not None:
            threading.Thread(target=_pour, args=(process, given), daemon=True).start()
        try:
            if fault is not None and disturb(self.arena, process, fault, self.volume if fault.there else self.size, self.volume,
                                                 PATIENCE, another, self.direction):
                self.happened[fault.name + (" there" if fault.there else "")] += 1
        except subprocess.TimeoutExpired:
            pass  # is said of the run below
        ended = [self._ended(number, name, process)]
        if fault is not None and fault.name == "crash" and ended[0].code == 128 + 9 and ended[0].killed:
            self.happened["crash"] += 1
        return ended + [self._ended(number, second, other) for second, other in others]

    def _ended(self, number: int, name: str, process: Process) -> Run:
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            self.stuck.append(Violation(Kind.UNFINISHED, f"run {name} did not end within {PATIENCE:g} s"))
        report = self.folder / f"{name}.report"
        return self.finished(number, Run(128 - code if code < 0 else code, json.loads(report.read_text()) if report.exists() else None,
                                         (self.folder / f"{name}.err").read_text(errors="replace"), killed=code < 0))

    def finished(self, number: int, run: Run) -> Run:
        """Add what a run left behind."""
        return run

    @property
    def disordered(self) -> bool:
        """Whether something happened behind which the order is not kept."""
        return any(name.removesuffix(" there") in _DISORDERS for name in self.happened)

    def stored(self) -> dict[str, list[Found]]:
        """Return what has come to every place that something may go to."""
        return self.site.stored()

    @abstractmethod
    def judge(self) -> Result:
        """Count everything and compare."""

    def clean(self) -> None:
        """Delete what the ground does not know of."""
        if self.there:
            self.arena.elsewhere.clean(self.run_name)

    def result(self, violations: Sequence[Violation], copies: int, allowed: int) -> Result:
        """Return how it went."""
        return Result(self.trial, [*self.stuck, *violations], self.runs, self.happened, len(self.seeds), copies, allowed, self.site.dlq)


def _pour(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(data)
    with suppress(OSError):
        process.stdin.close()
