"""Partitions of a topic of dead letters that nobody leads: what lies there can be neither read nor counted, and the other letters can."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.failures import without_leader
from brokercli.backends.kafka.span import PATIENCE_SECONDS, RETRY_SECONDS
from brokercli.model.errors import Unreachable

FURTHEST = (1 << 63) - 1
"""An offset that no partition comes to."""


def led_partitions(topic: str, ask: Callable[[], Any], seconds: float) -> tuple[list[int], Unreachable | None]:
    """Return the partitions that somebody leads, and what to end with because of the others; None where there are none. `ask` returns the topic's
    metadata, which are asked for anew for a moment, `seconds` at most: leaders may be being chosen. Raises Unreachable where nobody leads any."""
    deadline = monotonic() + min(seconds, PATIENCE_SECONDS)
    while True:
        partitions = ask().partitions
        leaderless = sorted(number for number, partition in partitions.items() if partition.leader < 0)
        if not leaderless or monotonic() >= deadline:
            break
        sleep(RETRY_SECONDS)
    led = sorted(partitions.keys() - set(leaderless))
    if leaderless and not led:
        raise without_leader(topic, leaderless)
    return led, _left_out(topic, leaderless) if leaderless else None


def _left_out(topic: str, partitions: list[int]) -> Unreachable:
    one = len(partitions) == 1
    them = "it" if one else "them"
    which = f"{'Partition' if one else 'Partitions'} {some_of(list(map(str, partitions)))} of {topic} {'has' if one else 'have'} no leader"
    return Unreachable(f"{which}: the brokers that keep {them} are away. The letters there are left out, and how many they are is not known.",
                       hint="brokercli doctor says what answers and what does not; once there is a leader, the same command finds them")
