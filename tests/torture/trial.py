"""One trial: what is done, all of it following from a seed, and how it went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.torture.check import Run, Violation
from tests.torture.controls import CONTROLS
from tests.torture.fault import Fault


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


def control_trial(broker: str, name: str, seed: str, kind: str) -> Trial:
    """Return the trial that has to catch a planted fault."""
    control = CONTROLS[name]
    fault = control.where[broker]
    return Trial(broker, f"{seed} {name}", control.operation, kind, (fault,) if fault is not None else (), control=name,
                 count=200 if control.operation == "publish" else 40, gone=0.2, largest=30_000 if control.operation == "publish" else 5_000)
