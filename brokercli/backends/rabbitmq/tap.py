"""Listening to an exchange, or to what reaches a queue, through a queue of our own that gets a copy.

The copy lies in an exclusive queue that the broker names, bounds and deletes with the connection; nothing else changes. So
only exchanges can be tapped that give every bound queue its own copy: of the others (consistent hash, random, …) a tap would
take its share away. The default exchange cannot be bound at all (403).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from brokercli.backends.contract import Reader
from brokercli.backends.dead_letters import some_of
from brokercli.backends.rabbitmq import EXCHANGE, SUPPORT
from brokercli.backends.rabbitmq.existing import Existing
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.tap_reader import Binding, TapReader
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.errors import Failed, Unsupported, UsageProblem
from brokercli.model.position import End, Span

Lend = Callable[[], tuple[Link, Callable[[], None]]]
COPYING = ("direct", "fanout", "topic", "headers")
"""Types of exchange that give every bound queue its own copy."""
_NO_COPIES = "gives each message to one of the queues that are bound to it, so that a tap would take messages away"
_STORE_IT = "to see what passes, publish through an exchange, or make it a stream, which keeps what was read"


class _Plan(NamedTuple):
    """What to bind a tap to, and what should be said about it."""

    bindings: list[Binding]
    notes: list[str]


def look_at_exchange(link: Link, management: Management, source: Address, span: Span, lend: Lend) -> Reader:
    """Listen to what is published to an exchange from now on, with the routing key of the address or with any."""
    _require_new(span, EXCHANGE)
    plan = _plan_for_exchange(source, Existing(link, management).exchange(source.name), management)
    return _open(plan, None, lend)


def look_at_queue(link: Link, management: Management, queue: str, resource: str, span: Span, lend: Lend) -> Reader:
    """Listen to what reaches a queue through its bindings from now on."""
    _require_new(span, resource)
    return _open(_plan_for_queue(queue, Existing(link, management), management), queue, lend)


def _require_new(span: Span, resource: str) -> None:
    if span != Span(End(), None):
        where = f"{'an' if resource == EXCHANGE else 'a'} {resource}"
        raise Unsupported(f"RabbitMQ has no {Capability.LOOK_STORED} on {where}: {SUPPORT[resource][Capability.LOOK_STORED].note}.",
                          hint="brokercli tail shows what comes from now on")


def _open(plan: _Plan, queue: str | None, lend: Lend) -> Reader:
    link, give_back = lend()
    try:
        return TapReader(link, plan.bindings, queue, plan.notes, give_back)
    except BaseException:
        give_back()
        raise


def _plan_for_exchange(source: Address, exchange: Any, management: Management) -> _Plan:
    name, route = source.name, source.route
    if not name:
        raise Unsupported("The default exchange cannot be tapped: RabbitMQ lets nothing be bound to it.", hint=_STORE_IT)
    kind = None if exchange is None else exchange.type
    if kind is None and route is None:
        raise Unsupported(f"Of what type the exchange {name} is cannot be found out with this login, and how to tap it depends on that.",
                          hint=f"say the routing key: exchange:{name}/KEY")
    if kind not in (None, *COPYING):
        raise Unsupported(f"The exchange {name} is of type {kind}, which {_NO_COPIES}.", hint="tap the exchange in front of it")
    if route is not None:
        if kind == "headers":
            raise UsageProblem(f"{name} is a headers exchange: it routes by headers, not by a key.", hint=f"exchange:{name}")
        return _Plan([Binding(name, route, {})], [])
    if kind != "direct":
        # a headers binding that asks for nothing matches everything
        return _Plan([Binding(name, "#" if kind == "topic" else "", {})], [])
    try:
        keys = sorted({str(binding["routing_key"]) for binding in management.bindings_from(name)})
    except Away as problem:
        raise Unsupported(f"{name} is a direct exchange: a tap needs the routing keys, and which there are only the management API says, but {problem}.",
                          hint=f"say the key: exchange:{name}/KEY; or {problem.hint}") from None
    if not keys:
        raise Failed(f"Nothing is bound to the direct exchange {name}, so there is no routing key to listen for.", hint=f"say one: exchange:{name}/KEY")
    return _Plan([Binding(name, key, {}) for key in keys], [f"{name} is a direct exchange: shown are the routing keys that are bound to it now, {_few(keys)}"])


def _plan_for_queue(queue: str, existing: Existing, management: Management) -> _Plan:
    try:
        found = management.bindings_to_queue(queue)
    except Away as problem:
        raise Unsupported(f"What leads to the queue {queue} only the management API says, and {problem}.",
                          hint=f"tap the exchange instead: exchange:NAME; or {problem.hint}") from None
    bindings = [Binding(str(binding["source"]), str(binding["routing_key"]), dict(binding.get("arguments") or {}))
                for binding in found if binding.get("source")]
    if not bindings:
        raise Unsupported(f"The queue {queue} is reached through the default exchange only, which cannot be tapped;"
                          " reading the queue itself would take its messages out.", hint=_STORE_IT)
    types = {name: _type_of(existing, name) for name in sorted({binding.exchange for binding in bindings})}
    silent = [f"{name} ({kind or 'of unknown type'})" for name, kind in types.items() if kind not in COPYING]
    usable = [binding for binding in bindings if types[binding.exchange] in COPYING]
    if not usable:
        raise Unsupported(f"The queue {queue} cannot be tapped: {', '.join(silent)} {_NO_COPIES}.", hint=_STORE_IT)
    notes = [f"shown is what reaches {queue} through {_few(binding.exchange for binding in usable)};"
             " what is published to the queue by its name (the default exchange) cannot be seen"]
    if silent:
        notes.append(f"what comes through {', '.join(silent)} is not shown: a tap would take it away")
    return _Plan(usable, notes)


def _type_of(existing: Existing, name: str) -> str | None:
    exchange = existing.exchange(name)
    return None if exchange is None else exchange.type


def _few(names: Iterable[str]) -> str:
    return some_of(sorted(set(names)), 5)
