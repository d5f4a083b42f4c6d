"""What there is as declarations: what `plan` then finds unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from brokercli.backends.rabbitmq.inventory import Have, Inventory
from brokercli.backends.rabbitmq.keeping import EXCHANGE_KEEPING, KEEPING, STREAM, argument_of, effective
from brokercli.backends.rabbitmq.management import Away, Facts
from brokercli.backends.rabbitmq.survivable import LIFTS
from brokercli.model.declaration import Declaration, SettingValue, binding
from brokercli.model.errors import Failed

_OWN = "amq."


def declared(inventory: Inventory, kinds: Sequence[str]) -> Iterator[Declaration]:
    """Yield exchanges, then queues and streams, then bindings, each by name. Raises Failed without the management API."""
    if inventory.away is not None:
        raise Failed(f"What is declared only the management API says: {inventory.away}.", hint=inventory.away.hint)
    try:
        yield from _declared(inventory, kinds)
    except Away as problem:
        raise Failed(f"What is declared only the management API says: {problem}.", hint=problem.hint) from None


def _declared(inventory: Inventory, kinds: Sequence[str]) -> Iterator[Declaration]:
    if not kinds or "exchange" in kinds:
        for facts in inventory.management.exchanges():
            if facts["name"] and not str(facts["name"]).startswith(_OWN):
                yield _exchange(inventory.have_exchange(facts))
    passing: set[str] = set()
    for facts in inventory.management.queues_now():
        if passes(facts):
            passing.add(str(facts["name"]))
        elif not kinds or ("stream" if facts.get("type") == STREAM else "queue") in kinds:
            yield _queue(inventory.have_queue(facts))
    if not kinds or "binding" in kinds:
        found = [binding_of(facts) for facts in inventory.management.bindings()
                 if facts.get("source") and not (facts.get("destination_type") == "queue" and facts.get("destination") in passing)]
        yield from sorted(found, key=lambda declaration: declaration.name)


def passes(facts: Facts) -> bool:
    """Whether a queue is nobody's to declare: it goes with a connection, the broker named it, it is the broker's own, or it keeps
    letters for a run."""
    return bool(facts.get("exclusive") or facts.get("internal")) or str(facts["name"]).startswith((_OWN, LIFTS))


def _exchange(have: Have) -> Declaration:
    settings: dict[str, SettingValue] = {"type": have.type, **_flags(have)}
    known = {argument_of(name) for name in EXCHANGE_KEEPING}
    for name in EXCHANGE_KEEPING:
        _add(settings, name, effective(name, have.arguments or {}, have.operator or {}, have.user or {}), None)
    return Declaration("exchange", have.name, settings | _extra(have, known))


def _queue(have: Have) -> Declaration:
    stream = have.type == STREAM
    settings: dict[str, SettingValue] = {} if stream else {"type": have.type, **_flags(have)}
    known = {argument_of(name) for name, keeping in KEEPING.items() if have.type in keeping.types}
    for name, keeping in KEEPING.items():
        if have.type in keeping.types:
            _add(settings, name, effective(name, have.arguments or {}, have.operator or {}, have.user or {}), keeping.default)
    return Declaration("stream" if stream else "queue", have.name, settings | _extra(have, known))


def binding_of(facts: Facts) -> Declaration:
    """Return a binding as the management API describes it."""
    kind = "queue" if facts.get("destination_type") == "queue" else "exchange"
    return binding(str(facts["source"]), f"{kind}:{facts['destination']}", str(facts.get("routing_key", "")), facts.get("arguments") or {})


def _flags(have: Have) -> dict[str, SettingValue]:
    return {flag: value for flag, value in have.flags.items() if value is (flag != "durable")}


def _add(settings: dict[str, SettingValue], name: str, value: Any, default: Any) -> None:
    if value is not None and value != default:
        settings[name] = value


def _extra(have: Have, known: set[str]) -> dict[str, SettingValue]:
    extra: dict[str, SettingValue] = {name: value for name, value in sorted((have.arguments or {}).items()) if name not in known}
    return {"arguments": extra} if extra else {}
