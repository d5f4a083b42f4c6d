"""The command: python -m tests.torture --broker nats --trials 20 --seed 7."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from itertools import product
from pathlib import Path

from tests.torture.arena import BROKERS, open_arena
from tests.torture.controls import CONTROLS
from tests.torture.running import run_trial
from tests.torture.scenarios import SCENARIOS, USUAL, draw_scenario, scenarios_of
from tests.torture.tally import Tally
from tests.torture.trial import Result, control_trial


def main() -> int:
    """Run what was asked; 1 where a promise was broken or a planted fault was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Disturb real commands on real brokers, and count by content.")
    parser.add_argument("--broker", choices=BROKERS, action="append", help="may be repeated; every one without it")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="may be repeated; the usual one without it")
    parser.add_argument("--trials", type=int, default=20, help="for each broker")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what everything random follows from")
    parser.add_argument("--only", type=int, action="append", help="only trial N of the seed; may be repeated")
    parser.add_argument("--no-controls", action="store_true", help="do without the planted faults")
    parser.add_argument("--results", type=Path, help="append one line of JSON for each trial")
    parser.add_argument("--keep", type=Path, default=Path("torture-failures"), help="folder for what a trial that went wrong left behind")
    asked = parser.parse_args()
    # what was started is stopped, and its folders are deleted
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    whole = True
    for broker in asked.broker or BROKERS:
        tally = Tally(broker)
        with open_arena(broker) as arena:
            kinds = arena.ground.kinds
            planted = [control_trial(broker, name, str(asked.seed), kinds[0]) for name, control in CONTROLS.items() if broker in control.where]
            for trial in planted if not asked.no_controls and not asked.only else ():
                take(run_trial(arena, trial), tally, asked.results, "")
            for number, scenario in product(asked.only or range(asked.trials), asked.scenario or [USUAL]):
                again = f"python -m tests.torture --broker {broker} --seed {asked.seed} --scenario {scenario} --only {number}"
                if scenario in scenarios_of(broker):
                    take(run_trial(arena, draw_scenario(scenario, broker, asked.seed, number, kinds), asked.keep), tally, asked.results, again)
        say(tally.words())
        whole = whole and tally.clean
    return 0 if whole else 1


def take(result: Result, tally: Tally, results: Path | None, again: str) -> None:
    """Enter a result, and say how it went, and how to repeat it where it went wrong."""
    written = result.as_json()
    tally.add(written)
    if results is not None:
        with results.open("a") as file:
            file.write(json.dumps(written) + "\n")
    if result.trial.control is not None:
        say(f"{'caught' if result.caught else 'NOT CAUGHT'}: {result.trial.control}: {', '.join(written['broken']) or 'nothing was seen'}")
        return
    codes = " ".join(f"{run.code}!" if run.killed else str(run.code) for run in result.runs)
    say(f"{'BROKEN' if result.violations else 'ok'} {result.trial.name}: {result.trial}; runs {codes}; second copies {result.duplicates} of {result.bound};"
        f" {result.seconds:.1f} s")
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
