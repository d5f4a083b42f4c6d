"""Which names a queue or an exchange can have, and which values AMQP can carry in arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brokercli.model.errors import UsageProblem

_LONGEST = 255
_LARGEST = 2**63


def check_name(name: str) -> None:
    """Raise UsageProblem for what no queue and no exchange can be called: too long, no UTF-8, with line ends. Any other character can
    be part of a name (verified on 4.3.6)."""
    check_short(name, "name")
    if "\n" in name or "\r" in name:
        # a queue that is declared as a\nb is called ab, and whoever waits for an answer about a\nb waits for ever
        raise UsageProblem(f"The name {name[:60]!r} holds a line end, and RabbitMQ takes those out of names.")


def check_short(text: str, what: str, of: str | None = None) -> None:
    """Raise UsageProblem for what no short text of AMQP can be: too long, no UTF-8. `of` says whose it is, where it is no name itself."""
    shown = f"{(text if of is None else of)[:60]!r}"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageProblem(f"A {what} in RabbitMQ is UTF-8, and {shown} is not.") from None
    if size > _LONGEST:
        raise UsageProblem(f"A {what} in RabbitMQ has 255 bytes at most, and {'' if of is None else 'that of '}{shown}… has {size}.")


def check_arguments(arguments: Mapping[str, Any], of: str) -> None:
    """Raise UsageProblem for a value that cannot be sent: a fraction, a whole number of more than 64 bits."""
    for name, value in arguments.items():
        check_short(name, "name of an argument", of)
        _check_value(name, value, of)


def _check_value(name: str, value: Any, of: str) -> None:
    match value:
        case float():
            raise UsageProblem(f"{name} of {of} is {value}, and only whole numbers can be arguments.")
        case int() if not -_LARGEST <= value < _LARGEST:
            raise UsageProblem(f"{name} of {of} is {value}, which has more than 64 bits.")
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UsageProblem(f"{name} of {of} is no UTF-8.") from None
        case list():
            for item in value:
                _check_value(name, item, of)
        case dict():
            check_arguments(value, of)
