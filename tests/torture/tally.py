"""What many trials came to: the figures of docs/reliability.md. `python -m tests.torture.tally FILE…` reads what --results wrote."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.torture.check import Kind

KINDS = {"publish": "publish", "file": "from a file", "copy": "copy"}
"""Operations whose second copies are counted apart, and what they are called; every other is a redrive."""


@dataclass(slots=True)
class Tally:
    """The trials of one broker."""

    broker: str
    trials: int = 0
    messages: int = 0
    runs: int = 0
    scenarios: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    moments: set[str] = field(default_factory=set)
    """Named moments at which a run was killed."""
    undisturbed: int = 0
    """Trials whose moments never came."""
    ends: Counter[str] = field(default_factory=Counter)
    """Runs by how they ended: their exit code, or killed."""
    repeated: Counter[str] = field(default_factory=Counter)
    most_repeated: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    """Second copies, the most of them in one trial, and how many the promises allowed, each for `redrive`, `publish` and `file`."""
    broken: Counter[str] = field(default_factory=Counter)
    """Trials by the kind of promise that they broke."""
    wrong: list[str] = field(default_factory=list)
    controls: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether every promise held, and every planted fault was caught."""
        return not self.wrong and all(self.controls.values())

    def add(self, trial: Mapping[str, Any]) -> None:
        """Enter one trial, as its result writes itself."""
        what = trial["operation"] if trial["operation"] in KINDS else "redrive"
        self.seconds += trial["seconds"]
        if trial["control"] is not None:
            self.controls[trial["control"]] = trial["caught"]
            return
        self.trials += 1
        self.messages += trial["letters"]
        self.runs += len(trial["runs"])
        self.scenarios[trial["name"].rpartition(" ")[0] or "usual"] += 1
        self.operations[trial["operation"]] += 1
        self.happened.update(trial["happened"])
        self.moments.update(f"{what}: {fault['point']}" for fault in trial["faults"] if fault["name"] == "crash" and trial["happened"].get("crash"))
        self.undisturbed += not trial["happened"]
        self.ends.update("killed" if run["killed"] else str(run["code"]) for run in trial["runs"])
        self.repeated[what] += trial["duplicates"]
        self.most_repeated[what] = max(self.most_repeated[what], trial["duplicates"])
        self.allowed[what] += trial["bound"]
        self.broken.update(trial["broken"])
        if trial["broken"]:
            self.wrong.append(trial["name"])

    def rows(self) -> dict[str, str]:
        """Return the figures, by what they are."""
        rows = {
            "trials": f"{self.trials:,}",
            "scenarios": _counts(self.scenarios),
            "of them": _counts(self.operations),
            "messages": f"{self.messages:,}",
            "runs of brokercli": f"{self.runs:,}",
            "killed at a named moment": f"{self.happened['crash']} (at {len(self.moments)} moments)",
            "signals": _counts({name: count for name, count in self.happened.items() if name.startswith("SIG")}),
            "broker killed and started again": str(self.happened["broker killed"]),
            "another run at the same time": str(self.happened["another run"]),
            "network": _counts({name: count for name, count in self.happened.items()
                                if name not in ("crash", "broker killed", "another run") and not name.startswith("SIG")}),
            "moment never came": str(self.undisturbed),
            "runs by exit code": _counts(self.ends),
            **{str(kind): str(self.broken[kind]) for kind in Kind},
        }
        rows["95 % bound, each line of 0 above"] = f"{3 / self.trials:.2%}" if self.trials else "none"
        for what, words in {"redrive": "redrive", **KINDS}.items():
            rows[f"second copies, {words}"] = f"{self.repeated[what]}, in one trial {self.most_repeated[what]} at most; allowed: {self.allowed[what]:,}"
        rows["planted faults caught"] = f"{sum(self.controls.values())} of {len(self.controls)}"
        rows["minutes"] = f"{self.seconds / 60:.0f}"
        return rows

    def words(self) -> str:
        """Return the figures, a line each."""
        end = [f"  went wrong: {', '.join(self.wrong)}"] if self.wrong else []
        return "\n".join([self.broker, *(f"  {name}: {value}" for name, value in self.rows().items()), *end])


def table(tallies: Sequence[Tally]) -> str:
    """Return the figures as a table of Markdown, a column for each broker."""
    lines = ["| | " + " | ".join(tally.broker for tally in tallies) + " |", "|---|" + "---|" * len(tallies)]
    columns = [tally.rows() for tally in tallies]
    lines += [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0]]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    found: dict[str, Tally] = {}
    for file in sys.argv[1:]:
        for line in Path(file).read_text().splitlines():
            trial = json.loads(line)
            found.setdefault(trial["broker"], Tally(trial["broker"])).add(trial)
    sys.stdout.write(table(list(found.values())) + "\n")
