"""Where RabbitMQ keeps a queue's setting, and what holds where an argument and policies say different things.

A policy can be changed and an argument never. Of two numbers the lower one holds, of two names the argument
(rabbit_queue_type_util: args_policy_lookup); what an operator's policy says comes before a user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brokercli.model.declaration import SettingValue

CLASSIC, QUORUM, STREAM = "classic", "quorum", "stream"
_QUEUES = (CLASSIC, QUORUM)
_ALL = (CLASSIC, QUORUM, STREAM)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How one setting is kept."""

    types: tuple[str, ...]
    """Types of queue that have it."""
    policy: bool = True
    lower: bool = False
    """Of an argument and a policy the lower one holds."""
    argument: str = ""
    """Its argument, where that is not the setting with x- in front."""
    default: SettingValue = None
    """What holds where nobody says anything, if RabbitMQ has a word for that."""
    compared: bool = True
    """Whether RabbitMQ compares the argument when it is declared again."""


KEEPING: dict[str, Keeping] = {
    "dead-letter-exchange": Keeping(_QUEUES), "dead-letter-routing-key": Keeping(_QUEUES),
    "dead-letter-strategy": Keeping((QUORUM,), default="at-most-once"),
    "message-ttl": Keeping(_QUEUES, lower=True), "expires": Keeping(_QUEUES, lower=True),
    "max-length": Keeping(_QUEUES, lower=True), "max-length-bytes": Keeping(_ALL, lower=True),
    "overflow": Keeping(_QUEUES, default="drop-head"), "delivery-limit": Keeping((QUORUM,), lower=True, default=20),
    "consumer-timeout": Keeping((QUORUM,), lower=True),
    "delayed-retry-type": Keeping((QUORUM,), default="disabled"), "delayed-retry-min": Keeping((QUORUM,)), "delayed-retry-max": Keeping((QUORUM,)),
    "target-group-size": Keeping((QUORUM,), argument="x-quorum-target-group-size", compared=False),
    "single-active-consumer": Keeping(_QUEUES, policy=False, default=False), "max-priority": Keeping((CLASSIC,), policy=False),
    "quorum-initial-group-size": Keeping((QUORUM,), policy=False),
    "queue-leader-locator": Keeping(_ALL, policy=False, default="client-local"),
    "max-age": Keeping((STREAM,), lower=True), "stream-max-segment-size-bytes": Keeping((STREAM,)),
    "stream-filter-size-bytes": Keeping((STREAM,), policy=False), "initial-cluster-size": Keeping((STREAM,), policy=False),
}
EXCHANGE_KEEPING: dict[str, Keeping] = {"alternate-exchange": Keeping(("exchange",), argument="alternate-exchange")}
TYPE_ARGUMENT = "x-queue-type"
_AGE = re.compile(r"(\d+)([YMDhms])")
# as rabbit_amqqueue reads them
_SECONDS = {"Y": 31_536_000, "M": 2_592_000, "D": 86_400, "h": 3600, "m": 60, "s": 1}


def said_type(settings: Mapping[str, SettingValue]) -> SettingValue:
    """Return the type of queue that is declared, as a setting or, as RabbitMQ has it, among the arguments."""
    arguments = settings.get("arguments")
    kind = settings.get("type")
    return arguments.get(TYPE_ARGUMENT) if kind is None and isinstance(arguments, dict) else kind


def argument_of(setting: str) -> str:
    """Return the name of the argument."""
    keeping = KEEPING.get(setting) or EXCHANGE_KEEPING.get(setting)
    return (keeping.argument if keeping else "") or f"x-{setting}"


def to_broker(setting: str, value: SettingValue) -> Any:
    """Return a setting's value as arguments and policies have it."""
    return f"{value}s" if setting == "max-age" and isinstance(value, int) else value


def from_broker(setting: str, value: Any) -> Any:
    """Return a value of an argument or a policy as the setting has it."""
    if setting == "max-age" and isinstance(value, str) and (match := _AGE.fullmatch(value)):
        return int(match[1]) * _SECONDS[match[2]]
    return value


def effective(setting: str, arguments: Mapping[str, Any], *definitions: Mapping[str, Any]) -> Any:
    """Return what holds, None where nobody says it. `definitions` are those of the policies, the operator's first."""
    keeping = KEEPING.get(setting) or EXCHANGE_KEEPING[setting]
    said = [from_broker(setting, definition[setting]) for definition in definitions if keeping.policy and setting in definition]
    argument = from_broker(setting, arguments.get(argument_of(setting)))
    if keeping.lower:
        numbers = [value for value in (argument, *said) if isinstance(value, int)]
        # a number comes before `unlimited` (rabbit_quorum_queue: resolve_delivery_limit)
        return min((number for number in numbers if number >= 0), default=min(numbers, default=None))
    if argument is not None:
        return argument
    return said[0] if said else None
