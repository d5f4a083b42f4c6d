"""Header values as text, numbers and times. None of them is trusted: what cannot be read is None, never an exception."""

from __future__ import annotations

from brokercli.model.errors import UsageProblem
from brokercli.model.message import HeaderValue, Typed
from brokercli.model.position import LARGEST_NUMBER, parse_time

LARGEST_COUNT = 1_000_000
"""No message was tried more often than this; a larger number is forged or damaged."""
MILLISECOND = 1_000_000
_WRITABLE = 10**40  # writing out an integer of thousands of digits is slow, then refused by Python
_EPOCH_DIGITS = ((11, 1_000_000_000), (14, 1_000_000), (17, 1_000), (19, 1))


def text_of(value: HeaderValue | object) -> str:
    """Return a value as text: bytes as UTF-8 with what is not shown as `\\xff`, null as nothing, numbers in decimals."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, Typed):
        return text_of(value.value) if isinstance(value.value, (bytes, int)) else ""
    writable = isinstance(value, float) or (isinstance(value, int) and -_WRITABLE < value < _WRITABLE)
    return str(value) if writable else ""


def integer_of(value: HeaderValue | object) -> int | None:
    """Return an AMQP integer, or decimal text of at most 19 digits."""
    if isinstance(value, Typed):
        return value.value if isinstance(value.value, int) and value.kind not in ("float32", "double") else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, bytes):
        digits = value.strip()
        sign = digits[:1] == b"-"
        if digits[sign:].isdigit() and len(digits) <= 20:
            return int(digits)
    return None


def big_endian_of(value: HeaderValue | object, shortest: int, longest: int) -> int | None:
    """Return the signed big-endian number that a header of this name holds in `shortest` to `longest` bytes.

    The name of the header decides, not the look of its bytes: `1234` in a four-byte header is 825373492. Bytes of any
    other length are taken as decimal text.
    """
    if isinstance(value, bytes) and shortest <= len(value) <= longest:
        return int.from_bytes(value, "big", signed=True)
    return integer_of(value)


def count_of(number: int | None) -> int | None:
    """Return a count that can be true, or None."""
    return number if number is not None and 0 <= number <= LARGEST_COUNT else None


def offset_of(number: int | None) -> int | None:
    """Return an offset or sequence a broker can have, or None."""
    return number if number is not None and 0 <= number <= LARGEST_NUMBER else None


def partition_of(number: int | None) -> int | None:
    """Return a partition Kafka can have, or None."""
    return number if number is not None and 0 <= number < 2**31 else None


def milliseconds_of(number: int | None) -> int | None:
    """Return a moment given in milliseconds since 1970 as nanoseconds."""
    return number * MILLISECOND if number is not None and 0 < number < LARGEST_NUMBER // MILLISECOND else None


def amqp_time_of(value: HeaderValue | object) -> int | None:
    """Return an AMQP timestamp (seconds; some publishers write milliseconds) as nanoseconds."""
    return _epoch(integer_of(value))


def moment_of(value: HeaderValue | object) -> int | None:
    """Return a time written as RFC 3339, as .NET's "O", or as a number since 1970 whose unit its digits tell."""
    number = integer_of(value)
    if number is not None:
        return _epoch(number)
    return written_time(text_of(value))


def written_time(text: str) -> int | None:
    """Return a time written out, or None."""
    if len(text) > 64:
        return None
    try:
        return parse_time(text.strip())
    except (UsageProblem, ValueError, OverflowError):
        return None


def _epoch(number: int | None) -> int | None:
    if number is None or number <= 0:
        return None
    digits = len(str(number)) if number <= LARGEST_NUMBER else 20
    factor = next((factor for most, factor in _EPOCH_DIGITS if digits <= most), None)
    moment = None if factor is None else number * factor
    return moment if moment is not None and moment <= LARGEST_NUMBER else None
