"""The trials of the short version: every named moment once, and one of each kind of the rest."""

from __future__ import annotations

import re
from random import Random

from tests.environment import ROOT
from tests.torture.crash import ONCE, PUBLISHING, REPAIRING
from tests.torture.disturbing import ANOTHER, draw
from tests.torture.fault import Fault
from tests.torture.trial import Trial


def moments(broker: str) -> list[str]:
    """Return the named moments of putting letters back."""
    return list(REPAIRING[broker])


def publishing_moments(broker: str) -> list[str]:
    """Return the named moments of publishing."""
    return list(PUBLISHING[broker])


def at_a_moment(broker: str, point: str, operation: str, kind: str) -> Trial:
    """Return the trial that is killed at a moment."""
    return Trial(broker, f"{broker} {operation} {point}", operation, kind, (Fault("crash", point, 1 if point in ONCE else 2),), count=80, window=40,
                 largest=5_000, gone=0.0)


def disturbed(broker: str, name: str, operation: str, kind: str) -> Trial:
    """Return a trial with a disturbance from outside, about in its middle, while everything passes slowly."""
    chance = Random(f"{broker} {name} {operation}")
    fault = draw(chance, name)
    return Trial(broker, f"{broker} {operation} {name}", operation, kind,
                 (Fault(name, share=chance.uniform(0.2, 0.7), seconds=min(fault.seconds, 1.0), slow=True),), count=60, window=16, largest=5_000)


def two_at_once(broker: str, kind: str) -> Trial:
    """Return a trial in which a second process does the same while the first is at work."""
    return Trial(broker, f"{broker} two at once", "redrive", kind, (Fault(ANOTHER, share=0.2, slow=True),), count=60, window=8, largest=5_000)


def undisturbed(broker: str, kind: str) -> Trial:
    """Return a trial that is left in peace."""
    return Trial(broker, f"{broker} undisturbed", "redrive", kind, (), count=20, largest=1_000)


def is_documented(guarantee: str, dlq: str) -> bool:
    """Whether docs/reliability.md has what a run said it promises, whatever the names and numbers in it."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    said = guarantee.replace(dlq.rpartition(":")[2], "DLQ")
    return _without_numbers(said) in _without_numbers(page)


def _without_numbers(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,]*", "N", text))
