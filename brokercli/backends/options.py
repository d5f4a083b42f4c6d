"""Which of a client's own settings a context may pass on (`[contexts.NAME.options]`): a list of what is allowed, each broker's in its folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

_IN_THE_CONTEXT = {"user": "user", "password": "password", "token": "token", "virtual_host": "vhost"}


class Refusal(NamedTuple):
    """An option that is not passed on."""

    name: str
    why: str
    instead: str | None = None
    """What to write instead, where there is something."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The options of one broker's client. All that is not `allowed` is refused; the rest says why."""

    allowed: Set[str]
    numbers: Set[str] = frozenset()
    """Those that are whole numbers."""
    own: Set[str] = frozenset()
    """What brokercli chooses itself, because what it promises depends on it."""
    in_the_context: Mapping[str, str] = field(default_factory=dict)
    """What has a key of its own in the context → that key."""

    def refusal(self, options: Mapping[str, str], scheme: str) -> Refusal | None:
        """Return the first option that is not passed on; None when all are."""
        return next(filter(None, (self._refused(name, value, scheme) for name, value in options.items())), None)

    def _refused(self, name: str, value: str, scheme: str) -> Refusal | None:
        if name in self.allowed:
            whole = name not in self.numbers or re.fullmatch(r"\d+", value, re.ASCII)
            return None if whole else Refusal(name, "is not a whole number")
        if key := {**_IN_THE_CONTEXT, **self.in_the_context}.get(name):
            return Refusal(name, "has a key of its own in the context", f"use {key}")
        if name in self.own:
            return Refusal(name, "is chosen by brokercli, because what it promises depends on it")
        from difflib import get_close_matches

        close = get_close_matches(name, sorted(self.allowed), n=1)
        return Refusal(name, f"is not on the list of client settings that {scheme}:// contexts may pass on", f"did you mean {close[0]}?" if close else None)
