"""What there is, for declaring: as the management API says it, and without it as far as AMQP's refusals do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brokercli.backends.rabbitmq.existing import Existing
from brokercli.backends.rabbitmq.keeping import EXCHANGE_KEEPING, KEEPING, effective
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts, Management, is_down
from brokercli.backends.rabbitmq.policies import EXCHANGE, Policies
from brokercli.backends.rabbitmq.redeclaring import Seen, exchange_arguments, queue_arguments

_TYPE = "x-queue-type"


@dataclass(frozen=True, slots=True)
class Have:
    """A queue, stream or exchange that exists."""

    name: str
    type: str | None
    flags: Mapping[str, bool | None]
    """durable, auto_delete, internal; None or absent where that cannot be seen."""
    arguments: Facts | None
    """Without the type; None where they cannot be seen."""
    operator: Facts | None = None
    """What an operator's policy defines; None where policies cannot be seen."""
    user: Facts | None = None
    """What the policy defines that holds."""
    policy: str = ""
    said: Any = None
    """The policy's name as the broker says it, some seconds old."""
    exclusive: bool = False
    messages: int | None = None
    consumers: int | None = None

    def value(self, setting: str) -> Any:
        """Return what holds of a setting, its default where nobody says anything."""
        found = effective(setting, self.arguments or {}, self.operator or {}, self.user or {})
        return found if found is not None else (KEEPING.get(setting) or EXCHANGE_KEEPING[setting]).default


class Inventory:
    """Finds out what there is. What the management API does not say is asked over AMQP; `away` says why."""

    def __init__(self, link: Link, management: Management, existing: Existing) -> None:
        self.link = link
        self.management = management
        self.policies = Policies(management)
        self._existing = existing
        self._bindings: dict[str, list[Facts]] = {}
        self._cannot_write: str | None = None
        self.away: Away | None = None
        try:
            self.default_type: str | None = management.default_queue_type()
        except Away as problem:
            self.away, self.default_type = problem, None

    @property
    def cannot_write(self) -> str:
        """Why no policy can be written; empty where one can."""
        if self._cannot_write is None:
            try:
                self._cannot_write = "" if self.away is None else f"policies take the management API: {self.away}"
                self._cannot_write = self._cannot_write or self.policies.why_not()
            except Away as problem:
                self._cannot_write = f"policies take the management API: {problem}"
        return self._cannot_write

    def forget(self) -> None:
        """Ask again for what may have changed."""
        self.policies.forget()
        self._bindings.clear()

    def queue(self, name: str) -> Have | None:
        """Return a queue or stream; None where there is none."""
        if self.away is None:
            facts = self.management.queue(name)
            return None if facts is None else self.have_queue(facts)
        found = self._existing.queue(name)
        if found is None:
            return None
        seen = queue_arguments(self.link, found)
        return Have(name, found.type, seen.flags if seen.arguments is not None else {}, seen.arguments, exclusive=found.exclusive, messages=found.messages,
                    consumers=found.consumers)

    def is_down(self, name: str) -> bool:
        """Whether whoever answers for a queue or stream is away, as far as that can be found out. Raises Away."""
        # of a stream only its statistics say it, of a quorum queue whose node is there only what holds at this moment
        return self.away is None and (is_down(self.management.queue(name)) or is_down(self.management.queue_now(name)))

    def exchange(self, name: str) -> Have | None:
        """Return an exchange; None where there is none."""
        if self.away is None:
            facts = self.management.exchange(name)
            return None if facts is None else self.have_exchange(facts)
        found = self._existing.exchange(name)
        if found is None:
            return None
        seen = exchange_arguments(self.link, found) if found.type else Seen(flags={})
        return Have(name, found.type, seen.flags if seen.arguments is not None else {}, seen.arguments)

    def have_queue(self, facts: Facts) -> Have:
        """Return a queue as the management API describes it."""
        name, kind = str(facts["name"]), str(facts.get("type") or "classic")
        arguments = {key: value for key, value in (facts.get("arguments") or {}).items() if key != _TYPE}
        operator, user = self.policies.definitions(name, kind, facts.get("policy"))
        return Have(name, kind, {"durable": facts.get("durable"), "auto_delete": facts.get("auto_delete")}, arguments, operator, user,
                    self._policy(name, kind, facts), facts.get("policy"), bool(facts.get("exclusive")), _number(facts.get("messages")),
                    _number(facts.get("consumers")))

    def have_exchange(self, facts: Facts) -> Have:
        """Return an exchange as the management API describes it."""
        name = str(facts["name"])
        operator, user = self.policies.definitions(name, EXCHANGE, facts.get("policy"))
        flags = {flag: facts.get(flag) for flag in ("durable", "auto_delete", "internal")}
        return Have(name, str(facts.get("type")), flags, dict(facts.get("arguments") or {}), operator, user, self._policy(name, EXCHANGE, facts),
                    facts.get("policy"))

    def bindings_from(self, exchange: str) -> list[Facts]:
        """Return the bindings that lead away from an exchange; raises Away."""
        if exchange not in self._bindings:
            self._bindings[exchange] = self.management.bindings_from(exchange)
        return self._bindings[exchange]

    def _policy(self, name: str, target: str, facts: Facts) -> str:
        held = self.policies.holding(name, target, facts.get("policy"))
        return "" if held is None else str(held["name"])


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
