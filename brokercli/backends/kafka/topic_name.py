"""What a topic may be called."""

from __future__ import annotations

import re
from collections.abc import Iterable

from brokercli.model.errors import UsageProblem

LONGEST = 249
COLLIDES = "in the names of its metrics Kafka writes . as _, so it has one of the two only; choose another name"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check_topic_name(name: str) -> None:
    """Raise UsageProblem for what no topic can be called; Kafka's client would cut some of these off and take the rest for the name."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UsageProblem(f"{name[:300]!r} cannot be the name of a topic.", hint=f"up to {LONGEST} letters, digits, dots, underscores and hyphens")


def check_collisions(names: Iterable[str]) -> None:
    """Raise UsageProblem where two of the names are one to Kafka, which refuses the second of them to be made."""
    met: dict[str, str] = {}
    for name in names:
        if (other := met.setdefault(name.replace(".", "_"), name)) != name:
            raise UsageProblem(f"Kafka refuses a topic {name} beside {other}.", hint=COLLIDES)
