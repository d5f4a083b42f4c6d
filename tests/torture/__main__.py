"""The command: python -m tests.torture --broker nats --trials 20 --seed 7."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.torture.arena import BROKERS, Arena, open_arena
from tests.torture.controls import CONTROLS
from tests.torture.drawing import draw_trial
from tests.torture.tally import Tally
from tests.torture.trial import Result, Trial, control_trial, run_trial


def main() -> int:
    """Run what was asked; 1 where a promise was broken or a planted fault was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Disturb real commands on real brokers, and count by content.")
    parser.add_argument("--broker", choices=BROKERS, action="append", help="may be repeated; every one without it")
    parser.add_argument("--trials", type=int, default=20, help="for each broker")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what everything random follows from")
    parser.add_argument("--only", type=int, action="append", help="only trial N of the seed; may be repeated")
    parser.add_argument("--no-controls", action="store_true", help="do without the planted faults")
    parser.add_argument("--results", type=Path, help="append one line of JSON for each trial")
    parser.add_argument("--keep", type=Path, default=Path("torture-failures"), help="folder for what a trial that went wrong left behind")
    asked = parser.parse_args()
    whole = True
    for broker in asked.broker or BROKERS:
        tally = Tally(broker, asked.seed)
        with open_arena(broker) as arena:
            if not asked.no_controls and not asked.only:
                run_controls(arena, asked.seed, tally)
            for number in asked.only or range(asked.trials):
                trial = draw_trial(broker, asked.seed, number, arena.ground.kinds)
                result = run_trial(arena, trial, asked.keep)
                tally.add(result)
                tell(result, number, f"python -m tests.torture --broker {broker} --seed {asked.seed} --only {number}")
                if asked.results is not None:
                    with asked.results.open("a") as file:
                        file.write(json.dumps(result.as_json()) + "\n")
        say(tally.words())
        whole = whole and tally.clean
    return 0 if whole else 1


def run_controls(arena: Arena, seed: int, tally: Tally) -> None:
    """Plant each fault that makes sense on the broker and see that it is caught."""
    for name, control in CONTROLS.items():
        if arena.broker in control.where:
            trial = control_trial(arena.broker, name, str(seed), arena.ground.kinds[0])
            result = run_trial(arena, trial)
            caught = any(violation.kind is control.shows for violation in result.violations)
            tally.controls[name] = caught
            say(f"{'caught' if caught else 'NOT CAUGHT'}: {name}: {', '.join(sorted({violation.kind for violation in result.violations})) or 'nothing'}")


def tell(result: Result, number: int, again: str) -> None:
    """Say how one trial went, and how to repeat one that went wrong."""
    trial: Trial = result.trial
    codes = " ".join(str(run.code) if run.report is not None else f"{run.code}!" for run in result.runs)
    say(f"{'ok' if not result.violations else 'BROKEN'} {number}: {trial}; runs {codes}; duplicates {result.duplicates}/{result.bound}; {result.seconds:.1f} s")
    for violation in result.violations[:10]:
        say(f"    {str(violation)[:1500]}")
    if result.violations:
        say(f"    again: {again}")


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
