"""What is declared against what there is: queues, streams, exchanges and bindings, one change for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.consequences import consequences
from brokercli.backends.rabbitmq.inventory import Have, Inventory
from brokercli.backends.rabbitmq.keeping import (
    CLASSIC,
    EXCHANGE_KEEPING,
    KEEPING,
    QUORUM,
    STREAM,
    TYPE_ARGUMENT,
    Keeping,
    argument_of,
    effective,
    from_broker,
    said_type,
    to_broker,
)
from brokercli.backends.rabbitmq.management import Away, Facts
from brokercli.backends.rabbitmq.names import check_arguments, check_name, check_short
from brokercli.backends.rabbitmq.policies import EXCHANGE, PolicyChange
from brokercli.backends.rabbitmq.told_arguments import as_told
from brokercli.model.declaration import Action, Change, Declaration, Difference, SettingValue
from brokercli.model.errors import UsageProblem

_FLAGS = {"durable": True, "auto_delete": False, "internal": False}
_ANEW = {"queue": "a new queue, its messages moved there", "stream": "a new stream", EXCHANGE: "the exchange deleted and made again with its bindings"}

_ENDS = ("message-ttl", "expires", "max-length", "max-length-bytes", "delivery-limit", "max-age")


@dataclass(frozen=True, slots=True)
class Make:
    """How to make what is not there."""

    type: str | None
    flags: Mapping[str, bool]
    arguments: Mapping[str, Any]
    policy: PolicyChange | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """A binding to make or to take away."""

    source: str
    destination: str
    to_queue: bool
    key: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alter:
    """How to change what is there."""

    policy: PolicyChange
    said: Any = None


class _Wanted(NamedTuple):
    """A declaration, taken apart."""

    type: str | None
    flags: dict[str, bool]
    settings: dict[str, SettingValue]
    extra: dict[str, Any]


@dataclass(slots=True)
class _Split:
    """Which settings of a new thing are kept where."""

    policy: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)


def compare_queue(declaration: Declaration, inventory: Inventory) -> Change:
    """Plan a queue or stream."""
    check_name(declaration.name)
    wanted = _take_apart(declaration)
    have = inventory.queue(declaration.name)
    kind = wanted.type or (inventory.default_type if have is None else have.type)
    _check_queue(declaration, wanted, kind)
    if have is None:
        return _create(declaration, wanted, inventory, kind or "", KEEPING)
    if have.exclusive:
        raise UsageProblem(f"{declaration.name} is the exclusive queue of another connection, which goes with it; it cannot be declared.")
    return _change(declaration, wanted, have, inventory, have.type or "", KEEPING)


def compare_exchange(declaration: Declaration, inventory: Inventory) -> Change:
    """Plan an exchange."""
    check_name(declaration.name)
    wanted = _take_apart(declaration)
    if not declaration.name or declaration.name.startswith("amq."):
        raise UsageProblem(f"The exchange {declaration.name or '(default exchange)'} is RabbitMQ's own and cannot be declared.")
    have = inventory.exchange(declaration.name)
    if have is None:
        return _create(declaration, wanted, inventory, EXCHANGE, EXCHANGE_KEEPING)
    return _change(declaration, wanted, have, inventory, EXCHANGE, EXCHANGE_KEEPING)


def compare_binding(declaration: Declaration, inventory: Inventory) -> Change:
    """Plan a binding, whose ends have been checked."""
    bind = bind_of(declaration)
    if inventory.away is None:
        try:
            there = any(same_binding(bind, facts) for facts in inventory.bindings_from(bind.source))
            if not there:
                check_arguments(bind.arguments, str(declaration))
            return Change(declaration, Action.UNCHANGED if there else Action.CREATE, handle=bind)
        except Away as problem:
            inventory.away = problem
    check_arguments(bind.arguments, str(declaration))
    remark = "whether it is there already only the management API says; making it again changes nothing"
    return Change(declaration, Action.CREATE, remarks=(remark,), handle=bind)


def bind_of(declaration: Declaration) -> Bind:
    """Read a binding's declaration. Raises UsageProblem."""
    settings = declaration.settings
    source, destination, key = str(settings.get("source") or ""), str(settings.get("destination") or ""), settings.get("routing_key")
    kind, colon, name = destination.partition(":")
    if not colon or kind not in ("queue", "stream", "exchange") or not name:
        raise UsageProblem(f"A binding leads to queue:NAME or exchange:NAME, and {destination or 'nothing'} is neither.")
    if not source:
        raise UsageProblem("A binding starts at an exchange that is named: the default exchange leads to every queue by its name, and to nothing else.")
    check_name(source)
    check_name(name)
    check_short(str(key or ""), "routing key", declaration.name)
    arguments = settings.get("arguments")
    return Bind(source, name, kind != "exchange", "" if key is None else str(key), dict(arguments) if isinstance(arguments, dict) else {})


def same_binding(bind: Bind, facts: Mapping[str, Any]) -> bool:
    """Whether a binding is this one, by what the management API says of it."""
    return (facts.get("destination") == bind.destination and (facts.get("destination_type") == "queue") == bind.to_queue
            and facts.get("routing_key") == bind.key and as_told(facts.get("arguments") or {}) == as_told(bind.arguments))


def _take_apart(declaration: Declaration) -> _Wanted:
    settings = dict(declaration.settings)
    kind = STREAM if declaration.kind == STREAM else said_type(settings)
    settings.pop("type", None)
    flags = {flag: bool(settings.pop(flag)) for flag in _FLAGS if settings.get(flag) is not None}
    settings = {name: value for name, value in settings.items() if name not in _FLAGS}
    extra = settings.pop("arguments", None)
    extra = dict(extra) if isinstance(extra, dict) else {}
    if declaration.kind != EXCHANGE and (argument := extra.pop(TYPE_ARGUMENT, kind)) != kind:
        raise UsageProblem(f"The {declaration} has the type {kind}, and {TYPE_ARGUMENT}={argument} among its arguments.", hint="leave one of them out")
    return _Wanted(None if kind is None else str(kind), flags, settings, extra)


def _check_queue(declaration: Declaration, wanted: _Wanted, kind: str | None) -> None:
    """Raise UsageProblem for what no queue of this type has."""
    name = declaration.name
    if not name:
        raise UsageProblem("A queue that is declared needs a name; one without is named by RabbitMQ and gone with its connection.")
    if name.startswith("amq."):
        raise UsageProblem(f"Names that start with amq. are RabbitMQ's own, so no queue {name} can be declared.")
    for setting in wanted.settings:
        if kind in (CLASSIC, QUORUM, STREAM) and kind not in KEEPING[setting].types:
            raise UsageProblem(f"{setting} is no setting of a {_of_type(kind)}, and {name} is one.",
                               hint=f"{' and '.join(_of_type(one) + 's' for one in KEEPING[setting].types)} have it")
    if kind in (QUORUM, STREAM) and (wanted.flags.get("durable") is False or wanted.flags.get("auto_delete")):
        raise UsageProblem(f"A {_of_type(kind)} is always durable and stays when nobody uses it, so {name} cannot be declared otherwise.")
    if kind == QUORUM and wanted.settings.get("overflow") == "reject-publish-dlx":
        raise UsageProblem(f"A quorum queue such as {name} has no overflow reject-publish-dlx.", hint="drop-head, reject-publish")
    if wanted.settings.get("delayed-retry-type") in ("all", "failed", "returned") and "delayed-retry-min" not in wanted.settings:
        raise UsageProblem(f"delayed-retry-type {wanted.settings['delayed-retry-type']} of {name} needs delayed-retry-min.")


def _create(declaration: Declaration, wanted: _Wanted, inventory: Inventory, kind: str, keepings: Mapping[str, Keeping]) -> Change:
    target = EXCHANGE if declaration.kind == EXCHANGE else kind
    operator, user = ({}, {}) if inventory.away is not None else inventory.policies.definitions(declaration.name, target)
    left: Facts = {}
    if not inventory.cannot_write and inventory.policies.is_left(declaration.name, target):
        left, user = user, (inventory.policies.beneath(declaration.name, target) or {}).get("definition") or {}
    fresh = Have(declaration.name, kind, {}, {}, operator, user)
    split = _Split(arguments=dict(wanted.extra))
    remarks: list[str] = []
    for setting, value in wanted.settings.items():
        if value is None or (not inventory.cannot_write and keepings[setting].policy and setting in user and fresh.value(setting) == value):
            continue
        if keepings[setting].policy and not inventory.cannot_write:
            split.policy[setting] = to_broker(setting, value)
        else:
            split.arguments[argument_of(setting)] = to_broker(setting, value)
        if obstacle := _operator_says(setting, keepings[setting], value, operator):
            remarks.append(f"{setting} will not hold: {obstacle}")
    check_arguments(split.arguments, str(declaration))
    if wanted.settings.get("dead-letter-routing-key") is not None and wanted.settings.get("dead-letter-exchange", fresh.value("dead-letter-exchange")
                                                                                          if "dead-letter-exchange" in keepings else None) is None:
        raise UsageProblem(f"dead-letter-routing-key of {declaration.name} says nothing without dead-letter-exchange.",
                           hint="an empty dead-letter-exchange is the default exchange, which leads to the queue that the key names")
    policy = None if inventory.cannot_write else inventory.policies.plan_anew(declaration.name, target, split.policy)
    if policy is not None and (gone := [setting for setting in left if setting not in (policy.definition or user)]):
        remarks.append(f"what the policy {policy.name} says of an earlier {declaration.kind} of this name goes: {', '.join(gone)}")
    remarks += _how_kept(policy, list(split.policy)) if split.policy else []
    remarks += _also_said(wanted, operator if policy is not None and policy.definition else {**user, **operator})
    changeable = [setting for setting, value in wanted.settings.items() if keepings[setting].policy and value is not None]
    if changeable and inventory.cannot_write:
        remarks.append(f"kept in arguments, which can never be changed, as no policy can be written: {', '.join(changeable)}")
    if declaration.kind == EXCHANGE and wanted.type is None:
        remarks.append("of type direct, as none is said")
    if declaration.kind == "queue" and wanted.type is None and kind:
        remarks.append(f"of type {kind}, the default of this virtual host")
    if (strategy := _weak_strategy(fresh, wanted)):
        remarks.append(strategy)
    made = (wanted.type or "direct") if declaration.kind == EXCHANGE else wanted.type
    return Change(declaration, Action.CREATE, remarks=tuple(remarks), handle=Make(made, {**_FLAGS, **wanted.flags}, split.arguments, policy))


def _change(declaration: Declaration, wanted: _Wanted, have: Have, inventory: Inventory, target: str, keepings: Mapping[str, Keeping]) -> Change:
    differences: list[Difference] = []
    anew = _ANEW[declaration.kind]
    if wanted.type is not None and wanted.type != have.type:
        obstacle = "it cannot be seen with this login" if have.type is None else f"the type never changes: it takes {anew}"
        differences.append(Difference("type", have.type, wanted.type, obstacle))
    for flag, want in wanted.flags.items():
        is_so = have.flags.get(flag)
        if is_so is not None and is_so != want:
            differences.append(Difference(flag, is_so, want, f"RabbitMQ takes it only when it is made: it takes {anew}"))
        elif is_so is None and want != _FLAGS[flag]:
            differences.append(Difference(flag, None, want, _unseen(inventory)))
    settings, extra = _known(wanted, keepings)
    for setting, value in settings.items():
        found = have.value(setting)
        if value is None:
            if (set_by := _set_by(setting, keepings[setting], have, inventory)) is not None:
                differences.append(Difference(setting, found, keepings[setting].default, set_by))
        elif found != value:
            obstacle = _obstacle(setting, keepings[setting], have, value, inventory)
            differences.append(Difference(setting, found, value, f"{obstacle}: it takes {anew}" if obstacle.endswith("argument") else obstacle))
    for name, value in extra.items():
        argument = (have.arguments or {}).get(name)
        if argument != value:
            # AMQP compares only the arguments that the type knows
            unseen = have.arguments is None or (argument is None and inventory.away is not None)
            differences.append(Difference(name, argument, value, _unseen(inventory) if unseen else f"arguments never change: it takes {anew}"))
    if not differences:
        return Change(declaration, Action.UNCHANGED)
    if any(difference.obstacle for difference in differences):
        return Change(declaration, Action.CANNOT, tuple(differences))
    unset = [one.setting for one in differences if settings.get(one.setting) is None]
    said = {one.setting: None if one.setting in unset else to_broker(one.setting, one.want) for one in differences}
    policy = inventory.policies.plan(have.name, target, said, have.said)
    if not policy.definition and (beneath := inventory.policies.beneath(have.name, target)) is not None:
        # a policy says something: without ours that one holds
        obstacle = f"the policy {beneath['name']} says it, which is not brokercli's: rabbitmqctl set_policy changes it"
        hindered = tuple(replace(one, obstacle=obstacle) if one.setting in unset and one.setting in (beneath.get("definition") or {}) else one
                         for one in differences)
        if any(one.obstacle for one in hindered):
            return Change(declaration, Action.CANNOT, hindered)
    remarks = _how_kept(policy, [one.setting for one in differences if one.setting not in unset])
    if strategy := _weak_strategy(have, wanted):
        remarks.append(strategy)
    if declaration.kind != EXCHANGE:
        remarks += consequences(have, settings)
    return Change(declaration, Action.CHANGE, tuple(differences), tuple(remarks), Alter(policy, have.said))


def _known(wanted: _Wanted, keepings: Mapping[str, Keeping]) -> tuple[dict[str, SettingValue], dict[str, Any]]:
    """Return the settings, with arguments that are settings among them, and the other arguments: of what exists it matters what
    holds, and not which of the two says it."""
    settings_of = {argument_of(setting): setting for setting in keepings}
    settings = {settings_of[name]: from_broker(settings_of[name], value) for name, value in wanted.extra.items() if name in settings_of}
    return settings | wanted.settings, {name: value for name, value in wanted.extra.items() if name not in settings_of}


def _obstacle(setting: str, keeping: Keeping, have: Have, want: SettingValue, inventory: Inventory) -> str:
    """Say why a setting of something that exists cannot become `want`; empty where it can. What ends with `argument` takes a
    new thing."""
    if have.arguments is None:
        return _unseen(inventory)
    argument = from_broker(setting, have.arguments.get(argument_of(setting)))
    if not keeping.policy:
        return "it is never changed, being an argument"
    if argument is not None and (not keeping.lower or want is None or _higher(want, argument)):
        why = "the lower of argument and policy holds" if keeping.lower else "an argument comes before every policy"
        return f"{argument_of(setting)} is {have.arguments[argument_of(setting)]}, {why}, and nothing changes an argument"
    if not keeping.compared and inventory.away is not None:
        return _unseen(inventory)
    if have.operator is None and inventory.away is not None:
        return f"it is no argument of {have.name}, and {inventory.cannot_write}"
    return _operator_says(setting, keeping, want, have.operator or {}) or inventory.cannot_write


def _set_by(setting: str, keeping: Keeping, have: Have, inventory: Inventory) -> str | None:
    """Say why a setting that is to be unset cannot be; empty where it can, None where nobody sets it."""
    if effective(setting, have.arguments or {}, have.operator or {}, have.user or {}) is None and have.arguments is not None:
        return _unseen(inventory) if keeping.policy and have.user is None else None
    return _obstacle(setting, keeping, have, None, inventory)


def _operator_says(setting: str, keeping: Keeping, want: SettingValue, operator: Mapping[str, Any]) -> str:
    said = from_broker(setting, operator.get(setting))
    if said is None or said == want or (keeping.lower and not _higher(want, said)):
        return ""
    return f"an operator's policy says {said}, which comes before"


def _higher(want: SettingValue, limit: SettingValue) -> bool:
    if not isinstance(want, int) or not isinstance(limit, int):
        return want != limit
    return limit >= 0 and (want < 0 or want > limit)


def _how_kept(policy: PolicyChange | None, settings: Sequence[str]) -> list[str]:
    """Say where the settings are kept, and what a policy takes over."""
    if policy is None:
        return []
    if not policy.definition:
        return [f"the policy {policy.name} has nothing left to say and goes"]
    told = [f"kept in the policy {policy.name}, because an argument could never be changed later: {', '.join(settings)}"] if settings else []
    if policy.takes_over:
        others = [key for key in policy.definition if key not in settings]
        kept = f" and takes over what that says ({', '.join(others)})" if others else ""
        told.append(f"it takes the place of the policy {policy.takes_over}, as only one can hold,{kept}: later changes of {policy.takes_over} do not reach"
                    f" {policy.of}")
    return told


def _also_said(wanted: _Wanted, policies: Mapping[str, Any]) -> list[str]:
    """Say what ends messages of a new queue that nobody declares and policies say of its name: one for all names reaches queues of dead letters."""
    said = [f"{setting}={policies[setting]}" for setting in _ENDS if setting in policies and setting not in wanted.settings]
    return [f"a policy that matches its name says as well: {', '.join(said)}"] if said else []


def _weak_strategy(have: Have, wanted: _Wanted) -> str:
    def then(setting: str) -> Any:
        return wanted.settings[setting] if setting in wanted.settings else have.value(setting)

    if "dead-letter-strategy" in wanted.settings and then("dead-letter-strategy") == "at-least-once" and then("overflow") != "reject-publish":
        return "dead-letter-strategy at-least-once takes overflow reject-publish; without it RabbitMQ goes on dead-lettering at most once"
    return ""


def _unseen(inventory: Inventory) -> str:
    return f"how it is cannot be seen: {inventory.away}" if inventory.away is not None else "how it is cannot be seen with this login"


def _of_type(kind: str) -> str:
    return STREAM if kind == STREAM else f"{kind} queue"
