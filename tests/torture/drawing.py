"""Drawing trials from a seed: every named moment in turn, and between them everything else."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.torture.crash import COPYING, ONCE, PUBLISHING, REPAIRING
from tests.torture.disturbing import NETWORK, SIGNALS, draw
from tests.torture.fault import Fault
from tests.torture.trial import Trial

# of twenty trials: how many are of which kind
_FAMILIES = ("moment", "signal", "moment", "network", "publish at a moment", "moment", "signal", "moment", "publish disturbed", "broker",
             "moment", "network", "moment", "signal", "publish at a moment", "moment", "several", "moment", "network", "broker")
_OPERATIONS = ("redrive", "redrive", "selected", "to", "park", "redrive", "drop")


def draw_trial(broker: str, seed: int, number: int, kinds: Sequence[str]) -> Trial:
    """Return trial `number` of a seed, always the same one."""
    name = f"{seed}/{broker}/{number}"
    chance = Random(name)
    family, turn = _FAMILIES[number % len(_FAMILIES)], number // len(_FAMILIES)
    nth = turn * _FAMILIES.count(family) + _FAMILIES[:number % len(_FAMILIES)].count(family)
    operation = "publish" if family.startswith("publish") else chance.choice(_OPERATIONS)
    count, window = chance.choice((30, 60, 60, 100, 300)), chance.choice((1, 7, 16, 16, 64))
    if family == "moment":
        points = list(REPAIRING[broker])
        point = points[nth % len(points)]
        faults = [Fault("crash", point, 1 if point in ONCE else 1 + nth // len(points) % max(1, min(4, count // window)))]
        operation = "redrive" if operation == "drop" and point in COPYING else operation
    elif family == "publish at a moment":
        points = list(PUBLISHING[broker])
        faults = [Fault("crash", points[nth % len(points)])]
    elif family == "signal":
        faults = [draw(chance, SIGNALS[nth % len(SIGNALS)])]
    elif family == "network":
        faults = [draw(chance, NETWORK[nth % len(NETWORK)])]
    elif family == "broker":
        faults = [draw(chance, "broker killed")]
    elif family == "publish disturbed":
        every = (*SIGNALS, *NETWORK, "broker killed")
        faults = [draw(chance, every[nth % len(every)])]
    else:
        faults = several(chance, broker)
    return Trial(broker, name, operation, chance.choice(kinds), tuple(faults), count=count, window=window,
                 largest=chance.choice((2_000, 30_000, 300_000)))


def several(chance: Random, broker: str) -> list[Fault]:
    """Draw faults for several runs of one trial."""
    faults = []
    for _ in range(chance.randrange(2, 5)):
        name = chance.choice(("crash", *SIGNALS, *NETWORK, "broker killed"))
        faults.append(Fault("crash", chance.choice(list(REPAIRING[broker])), chance.randrange(1, 4)) if name == "crash" else draw(chance, name))
    return faults
