"""Running a trial, from its ground to its result."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.torture.arena import Arena
from tests.torture.going import Going
from tests.torture.publishing import Copying, Publishing
from tests.torture.reading import Reading
from tests.torture.repairing import FromAFile, PutElsewhere, Repairing
from tests.torture.trial import Result, Trial

_KINDS: dict[str, type[Going]] = {"publish": Publishing, "file": FromAFile, "elsewhere": PutElsewhere, "copy": Copying, "read": Reading}


def run_trial(arena: Arena, trial: Trial, keep: Path | None = None) -> Result:
    """Make the ground, disturb, rerun until it is done, heal, count everything. `keep` is where its files stay when something is wrong."""
    began = time.monotonic()
    chance = Random(trial.name)
    run = f"t{chance.getrandbits(40):010x}{int(time.time()) % 100_000:05d}"
    arena.heal()
    site = arena.ground.make(run, trial.kind)
    with TemporaryDirectory(prefix="brokercli-trial-") as folder:
        kind = _KINDS.get(trial.operation, Repairing)
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


def _keep(folder: Path, keep: Path, result: Result) -> None:
    target = keep / "".join(sign if sign.isalnum() else "-" for sign in result.trial.name)
    target.mkdir(parents=True, exist_ok=True)
    (target / "result").write_text("\n".join([str(result.trial), *map(str, result.violations), *map(repr, result.runs), ""]))
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
