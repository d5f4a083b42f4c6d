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
from brokercli.backends.rabbitmq.management import MAY_WRITE_POLICIES, Facts, Management
from brokercli.model.errors import Failed

EXCHANGE = "exchange"
_APPLY_TO = {CLASSIC: "classic_queues", QUORUM: "quorum_queues", STREAM: "streams", EXCHANGE: "exchanges"}
_APPLIES_TO = {kind: {"all", special, *(() if kind == EXCHANGE else ("queues",))} for kind, special in _APPLY_TO.items()}
# a pattern for one name: ^ and $, and in between nothing that is not itself
_LITERAL = re.compile(r"\^((?:[^\\.^$*+?{}\[\]|()]|\\\W)*)\$")
_ESCAPED = re.compile(r"\\(\W)")
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


class _Book:
    """Policies by what they match. There may be thousands, ours for one name each."""

    def __init__(self, policies: list[Facts]) -> None:
        self.by_name = {str(policy.get("name")): policy for policy in policies}
        self._exact: dict[str, list[Facts]] = {}
        self._open: list[tuple[Facts, re.Pattern[str]]] = []
        self._alien: dict[str, Facts] = {}
        """Those with patterns that only RabbitMQ understands."""
        for policy in policies:
            pattern = str(policy.get("pattern", ""))
            if match := _LITERAL.fullmatch(pattern):
                self._exact.setdefault(_ESCAPED.sub(r"\1", match[1]), []).append(policy)
            elif (compiled := _compiled(pattern)) is not None:
                self._open.append((policy, compiled))
            else:
                self._alien[str(policy.get("name"))] = policy

    def highest(self, name: str, target: str, said: Any = None, without: str = "") -> Facts | None:
        """Return the one that holds, or would if `without` were not there. `said` is the broker's own word, for a pattern that
        cannot be read and for two of the same priority, of which any may hold."""
        matching = [*self._exact.get(name, ()), *(policy for policy, pattern in self._open if pattern.search(name))]
        known = [policy for policy in matching if policy.get("apply-to", "all") in _APPLIES_TO.get(target, {"all", "queues"})]
        if said in self._alien:
            known.append(self._alien[said])
        known = [policy for policy in known if policy.get("name") != without]
        return max(known, key=lambda policy: (int(policy.get("priority") or 0), policy.get("name") == said), default=None)


class Policies:
    """The policies of one virtual host, asked for once. Raises Away where they cannot be asked for."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._all: _Book | None = None
        self._operator: _Book | None = None

    def forget(self) -> None:
        """Ask again the next time."""
        self._all = self._operator = None

    def holding(self, name: str, target: str, said: Any = None) -> Facts | None:
        """Return the policy that holds for a name. `said` is the one the broker names itself, some seconds old: it counts
        where its pattern is one that only RabbitMQ understands."""
        return self._users().highest(name, target, said)

    def definitions(self, name: str, target: str, said: Any = None) -> tuple[Facts, Facts]:
        """Return what the operator's policy and the user's define for a name."""
        if self._operator is None:
            self._operator = _Book(self._management.operator_policies())
        operator = self._operator.highest(name, target)
        user = self.holding(name, target, said)
        return (operator or {}).get("definition") or {}, (user or {}).get("definition") or {}

    def ours(self, kind: str, name: str) -> Facts | None:
        """Return the policy of ours for a queue (`kind` queue or stream) or an exchange."""
        return self._users().by_name.get(our_name(kind, name))

    def beneath(self, name: str, target: str) -> Facts | None:
        """Return the policy that would hold for a name if ours were gone."""
        return self._users().highest(name, target, without=our_name(target, name))

    def is_left(self, name: str, target: str) -> bool:
        """Whether the policy that would hold for what is not there yet is ours: an earlier queue or exchange of that name has left it."""
        before = self.holding(name, target)
        return before is not None and before["name"] == our_name(target, name)

    def plan(self, name: str, target: str, settings: Mapping[str, Any], said: Any = None) -> PolicyChange:
        """Return the change that makes settings hold for a name; None takes one away."""
        before = self.holding(name, target, said)
        return self._change(name, target, settings, before, before)

    def plan_anew(self, name: str, target: str, settings: Mapping[str, Any]) -> PolicyChange | None:
        """Return the change that makes settings, and no others of ours, hold for what is not there yet: what an earlier queue or exchange of
        that name has left goes. None where that is nothing, and there are no settings."""
        before = self.holding(name, target)
        if not settings:
            return PolicyChange(our_name(target, name), target, name, {}, 0, before) if self.is_left(name, target) else None
        return self._change(name, target, settings, before, self.beneath(name, target))

    def _change(self, name: str, target: str, settings: Mapping[str, Any], before: Facts | None, base: Facts | None) -> PolicyChange:
        definition = {key: value for key, value in ((base or {}).get("definition") or {}).items() if key not in settings}
        definition |= {key: value for key, value in settings.items() if value is not None}
        called = our_name(target, name)
        priority = int((base or {}).get("priority") or 0) + (base is not None and base["name"] != called)
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

    def _users(self) -> _Book:
        if self._all is None:
            self._all = _Book(self._management.policies())
        return self._all

    def why_not(self) -> str:
        """Say why this login may write no policies; empty where it may."""
        return "" if self._management.tags() & _WRITERS else f"this login may not write policies ({MAY_WRITE_POLICIES})"


def our_name(kind: str, name: str) -> str:
    """Return the name of the policy of ours for a queue, stream or exchange."""
    return f"brokercli:{'exchange' if kind == EXCHANGE else 'queue'}:{name}"


def _exact(name: str) -> str:
    # Python escapes spaces and more, which PCRE reads the same; line breaks are no part of a name
    return re.escape(name)


def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern as Python reads it; None where it does not read it as RabbitMQ does."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.compile(pattern)
        except (re.error, FutureWarning, OverflowError, RecursionError):
            return None
