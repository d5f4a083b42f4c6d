"""The arguments of what exists, over AMQP alone: by how the broker refuses to declare it otherwise.

A declare that differs from what exists is refused with the first difference and what there is (verified on 4.0.5 and 4.3.6). So
it is asked again with that, until nothing differs. Each declare carries an argument that the type does not have: for a queue that
exists it is not compared, and one that does not exist is not made because of it. So asking creates nothing, whatever
happens meanwhile. It takes the permission to configure, and the broker logs each refusal as an error of the channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from brokercli.backends.rabbitmq.existing import Exchange, Queue
from brokercli.backends.rabbitmq.keeping import CLASSIC, QUORUM, STREAM
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.errors import Failed, NotAuthorised

_FOREIGN: dict[str, dict[str, Any]] = {CLASSIC: {"x-max-age": "1D"}, QUORUM: {"x-max-priority": 1}, STREAM: {"x-max-priority": 1}}
# an exchange's name: a number there can neither be compared nor made
_IMPOSSIBLE = {"alternate-exchange": 0}
_DIFFERS = re.compile(r"inequivalent arg '([\w.-]+)' for .*: received .* but current is (?:the value )?('.*'(?: of type '\w+')?|none)", re.DOTALL)
_VALUE = re.compile(r"'(.*?)'(?: of type '(\w+)')?", re.DOTALL)
_NUMBERS = ("byte", "unsignedbyte", "short", "unsignedshort", "signedint", "unsignedint", "long")
_MOST = 40


@dataclass(slots=True)
class Seen:
    """What could be found out."""

    arguments: dict[str, Any] | None = None
    """None: not all of them."""
    flags: dict[str, bool] = field(default_factory=lambda: {"durable": True, "auto_delete": False})


def queue_arguments(link: Link, queue: Queue) -> Seen:
    """Find out the arguments of a queue that exists."""
    seen = Seen()
    if queue.type not in _FOREIGN:
        return seen
    arguments: dict[str, Any] = {"x-queue-type": queue.type}
    for _ in range(_MOST):
        given = arguments | _FOREIGN[queue.type]
        refusal = _refusal(link, partial(_declare_queue, queue.name, given, dict(seen.flags)), f"looking at the queue {queue.name}")
        if refusal == "":
            seen.arguments = {name: value for name, value in arguments.items() if name != "x-queue-type"}
            return seen
        if refusal is None or not _learn(refusal, arguments, seen):
            return seen
    return seen


def exchange_arguments(link: Link, exchange: Exchange) -> Seen:
    """Find out the arguments of an exchange that exists; only the alternate exchange is compared."""
    seen = Seen(flags={"durable": True, "auto_delete": False, "internal": False})
    arguments: dict[str, Any] = {}
    for _ in range(_MOST):
        refusal = _refusal(link, partial(_declare_exchange, exchange, dict(seen.flags)), f"looking at the exchange {exchange.name}")
        if not refusal or not _learn(refusal, arguments, seen):
            return seen
        if "inequivalent arg 'alternate-exchange'" in refusal:
            seen.arguments = {name: value for name, value in arguments.items() if value is not None}
            return seen
    return seen


def _declare_queue(name: str, arguments: dict[str, Any], flags: dict[str, bool], channel: Any, done: Any) -> Any:
    return channel.queue_declare(name, arguments=arguments, callback=done, **flags)


def _declare_exchange(exchange: Exchange, flags: dict[str, bool], channel: Any, done: Any) -> Any:
    return channel.exchange_declare(exchange.name, exchange_type=exchange.type, arguments=_IMPOSSIBLE, callback=done, **flags)


def _refusal(link: Link, step: Any, doing: str) -> str | None:
    """Return why a declare was refused; empty where it was not; None where we may not ask."""
    try:
        link.ask(doing, step)
    except NotAuthorised:
        return None
    except Failed as problem:
        return str(problem)
    return ""


def _learn(refusal: str, arguments: dict[str, Any], seen: Seen) -> bool:
    """Take over what the broker says there is; false where it says something that is not understood."""
    match = _DIFFERS.search(refusal)
    if match is None:
        return False
    name, said = match[1], match[2]
    if name in seen.flags:
        flag = _VALUE.fullmatch(said)
        if flag is None or seen.flags[name] == (flag[1] == "true"):
            return False
        seen.flags[name] = not seen.flags[name]
        return True
    if name in arguments:
        return False
    if said == "none":
        arguments[name] = None
        return True
    value = _VALUE.fullmatch(said)
    if value is None or (value[2] not in ("longstr", "bool", *_NUMBERS) and value[2] is not None):
        return False
    if name == "x-max-age" and value[1].isdigit():
        # whatever it was declared with, the broker says milliseconds
        arguments[name] = f"{int(value[1]) // 1000}s"
        return True
    arguments[name] = int(value[1]) if value[2] in _NUMBERS else value[1] == "true" if value[2] == "bool" else value[1]
    return True
