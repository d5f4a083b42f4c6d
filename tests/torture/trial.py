"""One trial: what it is follows from its seed; how it went is checked against every promise."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from tests.commandline import Process
from tests.environment import ROOT
from tests.torture.arena import Arena
from tests.torture.check import Content, Found, Kind, Letter, Promise, Run, Violation, bound, check_letters, check_published, duplicates
from tests.torture.controls import CONTROLS
from tests.torture.disturbing import ANOTHER, AT_ITS_END, disturb
from tests.torture.elsewhere import CONTEXT
from tests.torture.fault import Fault
from tests.torture.letters import IDENTITY, NEEDLE, Seed, make_seeds, sizes
from tests.torture.site import HOMES, HOMEWARD, Site

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
    "file": ("dlq", "redrive", "--from-file", "{folder}/letters", "--resume", "{folder}/resume", "--yes"),
    "publish": ("publish", "{target}", "--input", "json", "--receipts"),
}
_AT_MOST = re.compile(r"at most ([\d,]+) letters? may be repeated|the letters of one step, up to ([\d,]+), are put back twice")
_DISORDERS = ("broker killed", "reset", "hang up", "lose answers", "swallow", "hold", "refuse", AT_ITS_END)


@dataclass(frozen=True, slots=True)
class Trial:
    """What is done. `faults` disturb the first runs, one each; what follows is left in peace."""

    broker: str
    name: str
    """Everything random in it follows from this."""
    operation: str
    kind: str
    """Of the place where the letters lie."""
    faults: tuple[Fault, ...]
    count: int = 60
    window: int = 16
    largest: int = 30_000
    gone: float = 0.05
    control: str | None = None

    def __str__(self) -> str:
        planted = f", planted: {self.control}" if self.control else ""
        return f"{self.broker}, {self.operation} of {self.count} letters ({self.kind}), {'; '.join(map(str, self.faults)) or 'undisturbed'}{planted}"


@dataclass(slots=True)
class Result:
    """How it went."""

    trial: Trial
    violations: list[Violation]
    runs: list[Run]
    happened: Counter[str] = field(default_factory=Counter)
    """Disturbances that took place; a moment that never came is none."""
    letters: int = 0
    duplicates: int = 0
    bound: int = 0
    """How many duplicates the promise allowed at most."""
    dlq: str = ""
    seconds: float = 0.0

    @property
    def caught(self) -> bool:
        """Whether the fault that was planted was seen for what it is."""
        return self.trial.control is not None and any(one.kind is CONTROLS[self.trial.control].shows for one in self.violations)

    def as_json(self) -> dict[str, Any]:
        """Return it for a file, one line."""
        return {"broker": self.trial.broker, "name": self.trial.name, "operation": self.trial.operation, "kind": self.trial.kind,
                "faults": [fault.as_json() for fault in self.trial.faults], "control": self.trial.control, "letters": self.letters,
                "happened": dict(self.happened), "runs": [{"code": run.code, "killed": run.killed} for run in self.runs],
                "broken": sorted({str(one.kind) for one in self.violations}), "caught": self.caught, "duplicates": self.duplicates,
                "bound": self.bound, "violations": [str(one) for one in self.violations], "seconds": round(self.seconds, 2)}


def run_trial(arena: Arena, trial: Trial, keep: Path | None = None) -> Result:
    """Make the ground, disturb, rerun until it is done, heal, count everything. `keep` is where its files stay when something is wrong."""
    began = time.monotonic()
    chance = Random(trial.name)
    run = f"t{chance.getrandbits(40):010x}{int(time.time()) % 100_000:05d}"
    arena.heal()
    site = arena.ground.make(run, trial.kind)
    with TemporaryDirectory(prefix="brokercli-trial-") as folder:
        kind = {"publish": _Publishing, "file": _FromAFile, "elsewhere": _Elsewhere}.get(trial.operation, _Repairing)
        going = kind(arena, trial, site, chance, run, Path(folder))
        try:
            going.run()
            arena.heal()
            result = going.judge()
        finally:
            arena.heal()
            site.clean()
            going.clean()
        result.seconds = time.monotonic() - began
        if result.violations and keep is not None:
            _keep(Path(folder), keep, result)
    return result


class _Going(ABC):
    """A trial on its way."""

    def __init__(self, arena: Arena, trial: Trial, site: Site, chance: Random, run: str, folder: Path) -> None:
        self.arena, self.trial, self.site, self.folder = arena, trial, site, folder
        self.selective = trial.operation in ("selected", "drop", "through")
        self.seeds = make_seeds(chance, trial.count, homes=HOMES, gone=trial.gone if trial.operation in HOMEWARD else 0.0,
                                chosen=0.5 if self.selective else 1.0, largest=trial.largest, run=run)
        if trial.operation == "through":
            # what has no body goes round the program, and home as it is, where a broker tells that from an empty one
            self.seeds = [replace(seed, chosen=seed.chosen or site.lies(seed).body is None) for seed in self.seeds]
        # roughly what goes to the broker
        self.volume = sizes(self.seeds)
        # and of that to the broker where they lie
        self.size = 80 * trial.count if trial.operation in ("drop", "elsewhere") else self.volume
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
        words = [word.format(folder=self.folder, dlq=self.site.dlq, parking=self._parking(), target=self.site.target, there=self.there)
                 for word in WORDS[self.trial.operation]]
        patience = ["--delivery-timeout", f"{DELIVERY_SECONDS}s"] if self.trial.operation not in ("park", "drop") else []
        return [*words, "--report", str(self.folder / f"{number}.report"), *patience]

    there = ""
    """The subject on the other broker, where there is one."""

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
                                                 PATIENCE, another):
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
        return

    def result(self, violations: Sequence[Violation], copies: int, allowed: int) -> Result:
        """Return how it went."""
        return Result(self.trial, [*self.stuck, *violations], self.runs, self.happened, len(self.seeds), copies, allowed, self.site.dlq)


class _Repairing(_Going):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.site.bury(self.seeds)
        if not self.arena.ground.written_at_once and any(fault.name == "broker killed" for fault in self.trial.faults):
            self.arena.server.restart()
        self.letters = self.to_move()
        # those of the selection that cannot go anywhere
        self.homeless = sum(seed.chosen and not letter.chosen for seed, letter in zip(self.seeds, self.letters, strict=True))

    def to_move(self) -> list[Letter]:
        """Return what the command has to do with each letter."""
        return self.site.letters(self.seeds, self.trial.operation)

    def arguments(self, number: str) -> list[str]:
        return [*super().arguments(number), "--journal", str(self.folder / f"{number}.journal")]

    @property
    def exactly_once(self) -> bool:
        """Whether nothing may be repeated."""
        return self.arena.ground.exactly_once and self.site.permitted

    def finished(self, number: int, run: Run) -> Run:
        if self.exactly_once:
            return run
        # it says itself how many, before it touches the first; who was killed before that may repeat none
        said = _AT_MOST.search(run.stderr)
        window = int((said[1] or said[2]).replace(",", "")) if said is not None else 0
        if self.arena.ground.written_at_once:
            # two at once may both have put back the letters of one step, and both say so
            return replace(run, window=window, returned=window if self.happened[ANOTHER] and run.report is not None else 0)
        killed = self.happened["broker killed"] > 0
        return replace(run, window=len(self.seeds) if killed else window, returned=run.count("confirmed") if killed else 0)

    def done(self) -> bool:
        if not self._says_so(self.runs[-1]):
            return False
        if self.arena.ground.returned_at_once or not self.happened:
            return True
        # the letters that somebody held who was killed come back when the broker has noticed: once more, unless all is seen
        meant = {letter.identity for letter in self.letters if letter.chosen}
        if self.trial.operation != "drop" and meant <= {found.identity for place in self.stored().values() for found in place}:
            return True
        return len(self.runs) > 2 and all(self._says_so(run) and not run.count("confirmed") for run in self.runs[-2:])

    def _says_so(self, run: Run) -> bool:
        if run.report is None or run.count("unknown"):
            return False
        # the program of --through fails for those that are not meant
        failing = len(self.seeds) - sum(seed.chosen for seed in self.seeds) if self.trial.operation == "through" else 0
        refused = self.homeless + failing
        return (run.code == 0 and (not run.count("skipped") or self.site.leaves_records)) or (
            run.code in (1, 3) and run.count("refused") == refused and not run.count("skipped")
            and run.count("read") == run.count("confirmed") + refused)

    def judge(self) -> Result:
        # two at once share a queue of RabbitMQ as its consumers do; on JetStream each does it all, and the ids see to it that it is once
        two = self.happened[ANOTHER] > 0
        promise = Promise(self.exactly_once, in_order=not self.disordered and not (two and self.arena.broker == "rabbitmq"),
                          shared=two and self.arena.broker == "nats")
        places = self.stored()
        violations = check_letters(self.letters, promise, self.runs, self.site.pending(), places, self._journal())
        return self.result(violations, duplicates(places), 0 if self.exactly_once else sum(bound(run) for run in self.runs))

    def _journal(self) -> dict[str, Content]:
        found: dict[str, Content] = {}
        for path in sorted(self.folder.glob("*.journal")):
            for line in path.read_bytes().split(b"\n"):
                # the last line of one who was killed may be half
                with suppress(json.JSONDecodeError):
                    envelope = json.loads(line)
                    # what only points at its message has it beside
                    envelope = envelope.get("original", envelope)
                    identity = next((bytes_of(header["value"]) for header in envelope.get("headers", ()) if header["name"] == IDENTITY), None)
                    if identity is not None:
                        found[identity.decode()] = Content(bytes_of(envelope["body"]), bytes_of(envelope.get("key")))
        return found


class _FromAFile(_Repairing):
    """The letters are dropped first, and put back out of the journal of that."""

    exactly_once = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        process = self.arena.start({}, ["dlq", "drop", self.site.dlq, "--yes", "--journal", str(self.folder / "letters")], self.folder / "dropped")
        assert process.wait(PATIENCE) == 0, (self.folder / "dropped.err").read_text()
        # whose home is gone is in the file for ever
        self.letters = [letter for letter in self.letters if letter.chosen]

    def arguments(self, number: str) -> list[str]:
        return _Going.arguments(self, number)

    def finished(self, number: int, run: Run) -> Run:
        return replace(run, window=self.trial.window if "repeats at most one batch" in run.stderr else 0)

    def done(self) -> bool:
        return self._says_so(self.runs[-1])

    def judge(self) -> Result:
        promise = Promise(exactly_once=False, in_order=not self.disordered, journalled=False)
        places = self.stored()
        violations = check_letters(self.letters, promise, self.runs, self.site.pending(), places, {})
        return self.result(violations, duplicates(places), sum(bound(run) for run in self.runs))


class _Elsewhere(_Repairing):
    """The letters go to another broker, and are marked here."""

    exactly_once = False

    def __init__(self, *arguments: Any) -> None:
        arena, _, _, _, run, _ = arguments
        self.run_name, self.there = run, arena.elsewhere.make(run)
        super().__init__(*arguments)

    def to_move(self) -> list[Letter]:
        return self.site.letters_for(self.seeds, self.there)

    def finished(self, number: int, run: Run) -> Run:
        ended = super().finished(number, run)
        return replace(ended, window=max(ended.window, self.trial.window) if "repeats at most one batch" in run.stderr else 0)

    def clean(self) -> None:
        self.arena.elsewhere.clean(self.run_name)

    def stored(self) -> dict[str, list[Found]]:
        return {**self.site.stored(), self.there: self.arena.elsewhere.stored(self.run_name)}


class _Publishing(_Going):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rest: list[Seed] = list(self.seeds)

    def input(self) -> bytes | None:
        return b"".join(json.dumps(self.site.envelope(seed)).encode() + b"\n" for seed in self.rest)

    def finished(self, number: int, run: Run) -> Run:
        receipts = {}
        for line in (self.folder / f"{number}.out").read_bytes().split(b"\n"):
            with suppress(json.JSONDecodeError):
                said = json.loads(line)
                if isinstance(said.get("message"), int):
                    receipts[self.rest[said["message"] - 1].identity] = "duplicate" if said.get("duplicate") else str(said["verdict"])
        tried = tuple(seed.identity for seed in self.rest)
        self.rest = [seed for seed in self.rest if receipts.get(seed.identity) not in ("confirmed", "duplicate")]
        return replace(run, receipts=receipts, tried=tried)

    def done(self) -> bool:
        return not self.rest

    def judge(self) -> Result:
        stored = self.stored()
        messages = {seed.identity: self.site.published(seed) for seed in self.seeds}
        promise = Promise(exactly_once=self.trial.broker == "nats", journalled=False)
        violations = check_published(messages, promise, self.runs, stored[self.site.homes[0]])
        unknown = sum(len(run.tried) - len(run.receipts) if run.report is None else run.count("unknown") for run in self.runs)
        return self.result(violations, duplicates(stored), 0 if promise.exactly_once else unknown)


def bytes_of(value: Any) -> bytes | None:
    """Return what an envelope says: text, base64, or null."""
    if value is None:
        return None
    return b64decode(value["base64"]) if isinstance(value, Mapping) and "base64" in value else str(value).encode()


def _pour(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(data)
    with suppress(OSError):
        process.stdin.close()


def _keep(folder: Path, keep: Path, result: Result) -> None:
    target = keep / "".join(sign if sign.isalnum() else "-" for sign in result.trial.name)
    target.mkdir(parents=True, exist_ok=True)
    (target / "result").write_text("\n".join([str(result.trial), *map(str, result.violations), *map(repr, result.runs), ""]))
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def control_trial(broker: str, name: str, seed: str, kind: str) -> Trial:
    """Return the trial that has to catch a planted fault."""
    control = CONTROLS[name]
    fault = control.where[broker]
    return Trial(broker, f"{seed} {name}", control.operation, kind, (fault,) if fault is not None else (), control=name,
                 count=200 if control.operation == "publish" else 40, gone=0.2, largest=30_000 if control.operation == "publish" else 5_000)
