"""Listening to an exchange, or to what reaches a queue, through a queue of our own that gets a copy.

The copy lies in an exclusive queue that the broker names, bounds and deletes with the connection; nothing else changes. So
only exchanges can be tapped that give every bound queue its own copy: of the others (consistent hash, random, …) a tap would
take its share away, and the recent history would give it what passed before. And it is bound only with what already leads to a
queue, so that it changes nothing about what is routed and what is not (`tap_routes.py`); and so that an auto-delete exchange, which
RabbitMQ deletes with its last binding, never goes because a tap goes. The default exchange cannot be bound at all (403).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from brokercli.backends.contract import Reader
from brokercli.backends.dead_letters import some_of
from brokercli.backends.rabbitmq import EXCHANGE, SUPPORT
from brokercli.backends.rabbitmq.existing import Exchange, Existing
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.tap_bindings import ask_for_others, ask_for_sources
from brokercli.backends.rabbitmq.tap_reader import Binding, TapReader
from brokercli.backends.rabbitmq.tap_routes import COPYING, REPEATING, SHARING, Routes, Way, Ways, in_common, takes_everything
from brokercli.backends.rabbitmq.told_arguments import as_meant
from brokercli.model.address import Address, spell_exchange
from brokercli.model.capability import Capability
from brokercli.model.errors import Failed, NotFound, Unsupported, UsageProblem
from brokercli.model.position import End, Span

Lend = Callable[[], tuple[Link, Callable[[], None]]]
_NO_COPIES = "gives each message to one of the queues that are bound to it, so that a tap would take messages away"
_REPEATS = "gives whatever is bound to it its last messages once more, so that a tap would show what passed before"
_UNHEARD_OF = "is not known to give every queue that is bound to it a copy, so that a tap might take messages away"
_OF_THE_BROKER = "amq.rabbitmq."
"""How the exchanges begin that only RabbitMQ itself publishes to: traces, events, its log. They take no others' messages, and what nothing is
bound for is for nobody."""
_WOULD_COUNT = ("a tap would be the queue that its messages are routed to, so that they would neither reach an alternate exchange nor go back to"
                " their publisher")
_MOST_BINDINGS = 5_000
"""The broker writes each into its store, 1 to 2 ms (4.3.6), and takes it out again when the tap goes."""
_STORE_IT = "to see what passes, publish through an exchange, or make it a stream, which keeps what was read"


class _Plan(NamedTuple):
    """What to bind a tap to, and what should be said about it."""

    bindings: list[Binding]
    notes: list[str]


def look_at_exchange(link: Link, management: Management, source: Address, span: Span, lend: Lend) -> Reader:
    """Listen to what is published to an exchange from now on, with the routing key of the address or with any."""
    _require_new(span, EXCHANGE)
    plan = _plan_for_exchange(source, Existing(link, management).exchange(source.name), management)
    return _open(plan, None, management, lend, None if source.name.startswith(_OF_THE_BROKER) else ask_for_others(management, source.name))


def look_at_queue(link: Link, management: Management, queue: str, resource: str, span: Span, lend: Lend) -> Reader:
    """Listen to what reaches a queue through its bindings from now on."""
    _require_new(span, resource)
    return _open(_plan_for_queue(queue, Existing(link, management), management), queue, management, lend)


def _require_new(span: Span, resource: str) -> None:
    if span != Span(End(), None):
        where = f"{'an' if resource == EXCHANGE else 'a'} {resource}"
        raise Unsupported(f"RabbitMQ has no {Capability.LOOK_STORED} on {where}: {SUPPORT[resource][Capability.LOOK_STORED].note}.",
                          hint="brokercli tail shows what comes from now on")


def _open(plan: _Plan, queue: str | None, management: Management, lend: Lend, has_others: Callable[[str], bool | None] | None = None) -> Reader:
    link, give_back = lend()
    try:
        return TapReader(link, plan.bindings, queue, plan.notes, give_back, ask_for_sources(management), has_others)
    except BaseException:
        give_back()
        raise


def _plan_for_exchange(source: Address, exchange: Exchange | None, management: Management) -> _Plan:
    name, route = source.name, source.route
    if not name:
        raise Unsupported("The default exchange cannot be tapped: RabbitMQ lets nothing be bound to it.", hint=_STORE_IT)
    if exchange is None:
        raise NotFound(f"There is no exchange {name}.", hint="brokercli ls shows what there is")
    kind = exchange.type or _type_by_management(name, management)
    if kind not in COPYING:
        raise Unsupported(f"The exchange {name} is of type {kind}, which {_why_not(kind)}.", hint="tap the exchange in front of it, where there is one")
    if kind == "headers" and route is not None:
        raise UsageProblem(f"{name} is a headers exchange: it routes by headers, not by a key.", hint=str(Address(name, "exchange")))
    if kind == "topic" and name.startswith(_OF_THE_BROKER):
        return _Plan([Binding(name, "#" if route is None else route, {})], [])
    ways = Ways(management)
    try:
        routes = ways.to_queues(name, kind)
        further = min([one for one in routes.in_part if ways.type_of(one) in COPYING], default=None) if not routes.ways else None
    except Away as problem:
        raise Unsupported(f"What is bound to the exchange {name} only the management API says, and {problem}. Where nothing else is bound,"
                          f" {_WOULD_COUNT}.", hint=problem.hint) from None
    if not routes.ways:
        raise _nothing_to_see(name, routes, further)
    shown = routes.ways if route is None else _narrowed(name, kind, route, routes.ways)
    if len(shown) > _MOST_BINDINGS:
        raise Failed(f"{len(shown):,} different bindings lead from {name} to queues, and a tap would have to copy each of them: {_MOST_BINDINGS:,} at most.",
                     hint="tap one of the queues: queue:NAME" if kind == "headers" else f"say which messages: {Address(name, 'exchange')}/KEY")
    notes = []
    if not any(takes_everything(kind, way) for way in shown) and [way.key for way in shown] != [route]:
        keys = f": {_few(way.key or repr('') for way in shown)}" if kind != "headers" else ""
        notes.append(f"{name} is a {kind} exchange: shown is what is bound to it now{keys}; what is bound later is not, and what is"
                     " unbound meanwhile counts as bound until this ends")
    if routes.in_part:
        notes.append(f"of what goes on to {_few(routes.in_part)} only what is certainly routed to a queue from there is shown")
    return _Plan([Binding(name, way.key, way.arguments) for way in shown], notes)


def _type_by_management(name: str, management: Management) -> str:
    with suppress(Away):
        if said := (management.exchange(name) or {}).get("type"):
            return str(said)
    raise Unsupported(f"Of what type the exchange {name} is cannot be found out with this login, and how to tap it depends on that.",
                      hint="a login that may configure the exchange tells, and so does the management API")


def _why_not(kind: str | None) -> str:
    return _NO_COPIES if kind in SHARING else _REPEATS if kind == REPEATING else _UNHEARD_OF


def _nothing_to_see(name: str, routes: Routes, further: str | None) -> Failed:
    """Return what to raise for an exchange that routes nothing to a queue for certain; `further` is one behind it that may be tapped."""
    bind = f"bind a queue to it first, which then keeps them: brokercli declare binding {spell_exchange(name)}/KEY queue:NAME"
    if not routes.bound:
        return Failed(f"Nothing is bound to the exchange {name}, so that there is nothing to see, and {_WOULD_COUNT}.", hint=bind)
    return Failed(f"What the exchange {name} hands on to {_few(routes.in_part)} may reach no queue from there, and then {_WOULD_COUNT}.",
                  hint=bind if further is None else f"tap what it is handed on to: {Address(further, 'exchange')}")


def _narrowed(name: str, kind: str, route: str, found: list[Way]) -> list[Way]:
    """Return what of these ways has a routing key, which a topic exchange takes for a pattern. Raises Failed where there is none."""
    if kind == "fanout":
        return [Way(route, {})]
    narrowed = [Way(key, way.arguments) for way in found for key in in_common(kind, way.key, kind, route)]
    if not narrowed:
        raise Failed(f"Nothing that is bound to {name} takes {route}, so that there is nothing to see, and {_WOULD_COUNT}.",
                     hint=f"bound now: {_few(way.key or repr('') for way in found)}; or bind a queue first, which then keeps them:"
                          f" brokercli declare binding {spell_exchange(name)}/{route} queue:NAME")
    return list({way.key: way for way in narrowed}.values())


def _plan_for_queue(queue: str, existing: Existing, management: Management) -> _Plan:
    try:
        found = management.bindings_to_queue(queue)
    except Away as problem:
        raise Unsupported(f"What leads to the queue {queue} only the management API says, and {problem}.",
                          hint=problem.hint) from None
    bindings = [Binding(str(binding["source"]), str(binding["routing_key"]), as_meant(binding.get("arguments") or {}))
                for binding in found if binding.get("source")]
    if not bindings:
        raise Unsupported(f"The queue {queue} is reached through the default exchange only, which cannot be tapped;"
                          " reading the queue itself would take its messages out.", hint=_STORE_IT)
    types = {name: _type_of(existing, name) for name in sorted({binding.exchange for binding in bindings})}
    others = {name: kind for name, kind in types.items() if kind not in COPYING}
    silent = [f"{name} ({kind or 'of unknown type'})" for name, kind in others.items()]
    usable = [binding for binding in bindings if types[binding.exchange] in COPYING]
    if not usable:
        why = "; ".join(f"{one} {_why_not(kind)}" for one, kind in zip(silent, others.values(), strict=True))
        raise Unsupported(f"The queue {queue} cannot be tapped: {why}.", hint=_STORE_IT)
    notes = [f"shown is what reaches {queue} through {_few(binding.exchange for binding in usable)};"
             " what is published to the queue by its name (the default exchange) cannot be seen"]
    if silent:
        notes.append(f"what comes through {', '.join(silent)} is not shown: a tap would take it away, or get what passed before")
    return _Plan(usable, notes)


def _type_of(existing: Existing, name: str) -> str | None:
    exchange = existing.exchange(name)
    return None if exchange is None else exchange.type


def _few(names: Iterable[str]) -> str:
    return some_of(sorted(set(names)), 5)
