"""Policies: which one holds for a queue or an exchange, and the one of ours that holds what was declared for it.

Only one policy holds at a time, the one of the highest priority whose pattern matches (operators' policies come on top). So
ours takes over what the one before defines, and stands above it. It is called `brokercli:queue:NAME` or
`brokercli:exchange:NAME`, and its pattern matches that name alone.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brokercli.backends.rabbitmq.keeping import CLASSIC, QUORUM, STREAM
from brokercli.backends.rabbitmq.management import MAY_WRITE_POLICIES, Away, Facts, Management
from brokercli.model.errors import Failed

EXCHANGE = "exchange"
_APPLY_TO = {CLASSIC: "classic_queues", QUORUM: "quorum_queues", STREAM: "streams", EXCHANGE: "exchanges"}
_APPLIES_TO = {kind: {"all", special, *(() if kind == EXCHANGE else ("queues",))} for kind, special in _APPLY_TO.items()}
_WRITERS = {"administrator", "policymaker"}


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What becomes of the one policy of ours."""

    name: str
    target: str
    """classic, quorum, stream or exchange."""
    of: str
    """The queue or exchange."""
    definition: Facts
    """Empty: there is nothing left to say, and ours goes."""
    priority: int
    before: Facts | None
    """The policy that held when it was planned."""

    @property
    def takes_over(self) -> str:
        """Name of the policy whose place ours takes; empty where none held, or ours did."""
        return "" if self.before is None or self.before["name"] == self.name else str(self.before["name"])


class Policies:
    """The policies of one virtual host, asked for once. Raises Away where they cannot be asked for."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._all: list[Facts] | None = None
        self._operator: list[Facts] | None = None

    def forget(self) -> None:
        """Ask again the next time."""
        self._all = self._operator = None

    def holding(self, name: str, target: str, said: Any = None) -> Facts | None:
        """Return the policy that holds for a name. `said` is the one the broker names itself, some seconds old: it counts
        where its pattern is one that only RabbitMQ understands."""
        if self._all is None:
            self._all = self._management.policies()
        return _highest([policy for policy in self._all if _holds(policy, name, target) or _alien(policy, said)], said)

    def definitions(self, name: str, target: str, said: Any = None) -> tuple[Facts, Facts]:
        """Return what the operator's policy and the user's define for a name."""
        if self._operator is None:
            self._operator = self._management.operator_policies()
        operator = _highest([policy for policy in self._operator if _holds(policy, name, target)])
        user = self.holding(name, target, said)
        return (operator or {}).get("definition") or {}, (user or {}).get("definition") or {}

    def ours(self, kind: str, name: str) -> Facts | None:
        """Return the policy of ours for a queue (`kind` queue or stream) or an exchange."""
        if self._all is None:
            self._all = self._management.policies()
        return next((policy for policy in self._all if policy.get("name") == our_name(kind, name)), None)

    def plan(self, name: str, target: str, settings: Mapping[str, Any], said: Any = None) -> PolicyChange:
        """Return the change that makes settings hold for a name; None takes one away."""
        before = self.holding(name, target, said)
        definition = {key: value for key, value in ((before or {}).get("definition") or {}).items() if key not in settings}
        definition |= {key: value for key, value in settings.items() if value is not None}
        called = our_name(target, name)
        priority = int((before or {}).get("priority") or 0) + (before is not None and before["name"] != called)
        return PolicyChange(called, target, name, definition, priority, before)

    def make(self, change: PolicyChange, said: Any = None) -> None:
        """Do it. Raises Failed where another policy holds than when it was planned."""
        self.forget()
        if self.holding(change.of, change.target, said) != change.before:
            raise Failed(f"Another policy holds for {change.of} than a moment ago, so nothing was changed.",
                         hint="type the same again: it plans on what is there")
        if change.definition:
            self._management.put_policy(change.name, f"^{_exact(change.of)}$", _APPLY_TO.get(change.target, "queues"), change.priority, change.definition)
        else:
            self._management.delete_policy(change.name)
        self.forget()

    def why_not(self) -> str:
        """Say why this login may write no policies; empty where it may."""
        return "" if self._management.tags() & _WRITERS else f"this login may not write policies ({MAY_WRITE_POLICIES})"


def our_name(kind: str, name: str) -> str:
    """Return the name of the policy of ours for a queue, stream or exchange."""
    return f"brokercli:{'exchange' if kind == EXCHANGE else 'queue'}:{name}"


def why_away(problem: Away) -> str:
    """Say it in the middle of a sentence."""
    return f"the management API cannot be asked: {problem}"


def _exact(name: str) -> str:
    # Python escapes spaces and more, which PCRE reads the same; line breaks are no part of a name
    return re.escape(name)


def _highest(policies: list[Facts], said: Any = None) -> Facts | None:
    # of two of the same priority any may hold, and the broker says which
    return max(policies, key=lambda policy: (int(policy.get("priority") or 0), policy.get("name") == said), default=None)


def _holds(policy: Facts, name: str, target: str) -> bool:
    return policy.get("apply-to", "all") in _APPLIES_TO.get(target, {"all", "queues"}) and bool(_matches(str(policy.get("pattern", "")), name))


def _alien(policy: Facts, said: Any) -> bool:
    return bool(said) and policy.get("name") == said and not str(said).startswith("brokercli:") and _matches(str(policy.get("pattern", "")), "") is None


def _matches(pattern: str, name: str) -> bool | None:
    """Whether RabbitMQ's pattern matches; None where Python cannot tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.search(pattern, name) is not None
        except (re.error, FutureWarning, OverflowError, RecursionError):
            return None
