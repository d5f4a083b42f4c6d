"""Topics that belong together by their names: one that is worked on, its retries, its dead letters."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from brokercli.backends.kafka.dead_letter_names import by_name, feeds_of, retries_of

_DELAY = re.compile(r"[.\-](\d+)(ms|s|m|h|d)$")
_NUMBER = re.compile(r"-(\d+)$")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Family:
    """What a topic has to do with others, in the order in which a message that fails passes them."""

    root: str
    """The topic that is worked on."""
    retries: tuple[str, ...] = ()
    dead_letters: tuple[str, ...] = ()


def family_of(name: str, names: Collection[str]) -> Family:
    """Return the family of a topic, of which it may be any part. A topic whose name says nothing is worked on itself."""
    root = retries_of(name, names.__contains__) or feeds_of(name, names.__contains__) or name
    retries = sorted((other for other in names if retries_of(other, names.__contains__) == root), key=_order)
    dead = sorted(other for other in names if by_name(other, ()) is not None and feeds_of(other, names.__contains__) == root)
    return Family(root, tuple(retries), tuple(dead))


def delay_of(name: str) -> str:
    """Return how long messages wait in a topic of retries, where its name says it: `5s`; empty where not."""
    match = _DELAY.search(name)
    return match[1] + match[2] if match else ""


def _order(name: str) -> tuple[int, str]:
    if match := _DELAY.search(name):
        return int(match[1]) * _MILLISECONDS[match[2]], name
    # Spring numbers them, by order or by milliseconds
    match = _NUMBER.search(name)
    return (int(match[1]) if match else -1), name
