"""One comparison: our command, the peers' commands for the same work, and the goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.measure import Command

SAME_LETTERS = "≥ 0.5 × publish of the same letters, confirmed"
"""The goal of a redrive, in the words of the table (docs/decisions/0021)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool doing the same work, or the reason there is none."""

    name: str
    command: Command | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """`goal` is in the words of the table; `reached` judges our time for a message divided by the first peer's. How much memory ours takes is a
    row of its own where it is given a name in `memory`."""

    work: str
    goal: str
    ours: Command
    peers: Sequence[Peer]
    reached: Callable[[float], bool]
    memory: str = ""


Together = Sequence[Case]
"""Cases that are measured in turn; a command that several of them name runs once a turn."""


def at_most(bound: float) -> Callable[[float], bool]:
    """Ours may take `bound` of the peer's time."""
    return lambda ratio: ratio <= bound


def at_least(factor: float) -> Callable[[float], bool]:
    """Ours must be `factor` times as fast as the peer."""
    return lambda ratio: ratio * factor <= 1
