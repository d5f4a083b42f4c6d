"""What many trials came to: the figures of docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.torture.check import Kind
from tests.torture.trial import Result


@dataclass(slots=True)
class Tally:
    """The trials of one broker and seed."""

    broker: str
    seed: int
    trials: int = 0
    letters: int = 0
    runs: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    undisturbed: int = 0
    """Trials whose moments never came."""
    ends: Counter[str] = field(default_factory=Counter)
    """Runs by how they ended: their exit code, or killed."""
    duplicates: int = 0
    most_duplicates: int = 0
    bound: int = 0
    violations: Counter[Kind] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    controls: dict[str, bool] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether every promise held, and every planted fault was caught."""
        return not self.broken and all(self.controls.values())

    def add(self, result: Result) -> None:
        """Enter one trial."""
        self.trials += 1
        self.letters += result.letters
        self.runs += len(result.runs)
        self.operations[result.trial.operation] += 1
        self.happened += result.happened
        self.undisturbed += not result.happened
        self.ends.update("killed" if run.killed else str(run.code) for run in result.runs)
        self.duplicates += result.duplicates
        self.most_duplicates = max(self.most_duplicates, result.duplicates)
        self.bound += result.bound
        self.violations.update({violation.kind for violation in result.violations})
        self.seconds += result.seconds
        if result.violations:
            self.broken.append(result.trial.name)

    def words(self) -> str:
        """Return the figures, a line each."""
        lines = {
            "trials": f"{self.trials} ({_counts(self.operations)}), {self.letters:,} messages, {self.runs} runs, {self.seconds:.0f} s",
            "disturbances": f"{self.happened.total()} ({_counts(self.happened)}); {self.undisturbed} trials whose moment never came",
            "ends": _counts(self.ends),
            "broken promises": f"{len(self.broken)} trials" + (f" ({_counts(self.violations)}): {', '.join(self.broken)}" if self.broken else ""),
            "duplicates": f"{self.duplicates}, {self.most_duplicates} in one trial at most; allowed were {self.bound}",
            "95 % bound": f"{3 / self.trials:.2%} for each promise and trial" if self.trials and not self.broken else "none",
            "planted faults caught": f"{sum(self.controls.values())} of {len(self.controls)}",
        }
        return "\n".join([f"{self.broker}, seed {self.seed}", *(f"  {name}: {value}" for name, value in lines.items())])


def _counts(counter: Counter[str] | Counter[Kind]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
