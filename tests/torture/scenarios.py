"""What else is tried beside the usual: drawn from a seed as well, each scenario by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.torture.crash import COPYING, ELSEWHERE, FROM_A_FILE, ONCE, REPAIRING, RESUMING, THROUGH, UNPERMITTED
from tests.torture.disturbing import ANOTHER, NETWORK, SIGNALS, draw
from tests.torture.drawing import draw_trial
from tests.torture.fault import Fault
from tests.torture.kafka_site import UNPERMITTED as WITHOUT_TRANSACTIONS
from tests.torture.nats_pointers import POINTERS
from tests.torture.rabbitmq_stream import STREAM
from tests.torture.trial import Trial

USUAL = "usual"
SCENARIOS = (USUAL, "two at once", "from a file", "through", "elsewhere", "copy", "read", "unpermitted", "pointers")
_ONLY = {"unpermitted": ("kafka",), "pointers": ("nats",)}
_OTHERS = (*SIGNALS, *NETWORK, "broker killed")


def scenarios_of(broker: str) -> Sequence[str]:
    """Return those that there are on a broker."""
    return [scenario for scenario in SCENARIOS if broker in _ONLY.get(scenario, (broker,))]


def draw_scenario(scenario: str, broker: str, seed: int, number: int, kinds: Sequence[str]) -> Trial:
    """Return trial `number` of a scenario and a seed, always the same one."""
    if scenario == USUAL:
        return draw_trial(broker, seed, number, kinds)
    name = f"{scenario} {seed}/{broker}/{number}"
    chance = Random(name)
    count, window = chance.choice((30, 60, 100, 200)), chance.choice((1, 7, 16, 16, 64))
    kind, operation, gone = chance.choice(kinds), "redrive", 0.05
    if scenario == "from a file":
        operation, faults = "file", _moments_and_others(chance, number, list(FROM_A_FILE))
    elif scenario == "through":
        count = min(count, 60)
        operation, faults = "through", _moments_and_others(chance, number, [*THROUGH, *REPAIRING[broker]])
    elif scenario == "elsewhere":
        points = [point for point in REPAIRING[broker] if point not in COPYING]
        operation, faults = "elsewhere", [_either_side(chance, fault) for fault in _moments_and_others(chance, number, [*ELSEWHERE, *points])]
    elif scenario == "copy":
        kind = STREAM if broker == "rabbitmq" else kind
        operation, faults = "copy", [_either_side(chance, fault) for fault in _moments_and_others(chance, number, list(RESUMING))]
    elif scenario == "read":
        count, kind = chance.choice((300, 1000, 3000)), STREAM if broker == "rabbitmq" else kind
        operation, faults = "read", [draw(chance, chance.choice(_OTHERS)) for _ in range(chance.choice((1, 1, 2, 3)))]
    elif scenario == "two at once":
        operation = chance.choice(("redrive", "redrive", "selected", "to", "park", "drop"))
        points = [point for point in REPAIRING[broker] if operation != "drop" or point not in COPYING]
        faults = [_another(chance, points) for _ in range(chance.choice((1, 1, 2)))]
    elif scenario == "pointers":
        kind, gone = POINTERS, 0.0
        operation = chance.choice(("redrive", "redrive", "selected", "to"))
        faults = [_another(chance, list(REPAIRING[broker]))] if number % 5 == 4 else _moments_and_others(chance, number, list(REPAIRING[broker]))
    else:
        kind += WITHOUT_TRANSACTIONS
        operation = chance.choice(("redrive", "redrive", "selected", "to", "park"))
        faults = [_another(chance, list(UNPERMITTED))] if number % 4 == 3 else _moments_and_others(chance, number, list(UNPERMITTED))
    return Trial(broker, name, operation, kind, tuple(faults), count=count, window=window, largest=chance.choice((2_000, 30_000, 300_000)), gone=gone)


def _moments_and_others(chance: Random, number: int, points: Sequence[str]) -> list[Fault]:
    """Draw for one to three runs: two times out of three a named moment first, each of them in turn."""
    if number % 3 < 2:
        point = points[(number // 3 * 2 + number % 3) % len(points)]
        faults = [Fault("crash", point, 1 if point in ONCE else chance.randrange(1, 4))]
    else:
        faults = [draw(chance, chance.choice(_OTHERS))]
    for _ in range(chance.choice((0, 0, 1, 2))):
        name = chance.choice(("crash", *_OTHERS))
        faults.append(Fault("crash", chance.choice(points), chance.randrange(1, 3)) if name == "crash" else draw(chance, name))
    return faults


def _either_side(chance: Random, fault: Fault) -> Fault:
    return replace(fault, there=chance.random() < 0.6) if fault.name in (*NETWORK, "broker killed") else fault


def _another(chance: Random, points: Sequence[str]) -> Fault:
    point = chance.choice(("", chance.choice(points)))
    return Fault(ANOTHER, point, 1 if point in ONCE else chance.randrange(1, 3), share=round(chance.random() * 0.9, 3), slow=chance.random() < 0.8)
