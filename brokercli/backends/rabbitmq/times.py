"""AMQP's timestamp property as a time."""

from __future__ import annotations

from brokercli.model.message import HeaderValue, Typed

# The specification says seconds; publishers write milliseconds as well, some smaller units. Each limit is a year beyond 5000
# in its unit, and in 1973 or before in the next.
_UNITS = ((10**11, 1_000_000_000), (10**14, 1_000_000), (10**17, 1_000), (2**64, 1))


def nanoseconds_of(number: int) -> int:
    """Return nanoseconds since 1970 for what the property holds: seconds, or a smaller unit where seconds would be absurd."""
    return number * next(factor for limit, factor in _UNITS if number < limit)


def time_of(timestamp: HeaderValue) -> int | None:
    """Return the time a `timestamp` property says, in nanoseconds since 1970; None where there is none."""
    number = timestamp.value if isinstance(timestamp, Typed) else timestamp
    return nanoseconds_of(number) if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**64 else None
