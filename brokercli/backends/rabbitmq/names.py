"""Which names a queue or an exchange can have, and which values AMQP can carry in arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brokercli.model.errors import UsageProblem

_LONGEST_NAME = 255
_LARGEST = 2**63


def check_name(name: str, what: str) -> None:
    """Raise UsageProblem for a name that nothing can have: too long, no UTF-8, with control characters."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UsageProblem(f"A {what} in RabbitMQ is UTF-8, and {name[:60]!r} is not.") from None
    if size > _LONGEST_NAME:
        raise UsageProblem(f"A {what} in RabbitMQ has 255 bytes at most, and {name[:60]!r}… has {size}.")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in name):
        raise UsageProblem(f"The {what} {name[:60]!r} holds control characters.")


def check_arguments(arguments: Mapping[str, Any], of: str) -> None:
    """Raise UsageProblem for a value that cannot be sent: a fraction, a whole number of more than 64 bits."""
    for name, value in arguments.items():
        check_name(name, "name of an argument")
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
