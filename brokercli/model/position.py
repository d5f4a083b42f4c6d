"""Places in a stored sequence of records: start, end, 1200, -20, 3:1200, @2026-11-23T10:00Z, @-1h, @now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from brokercli.model.errors import UsageProblem

NANOSECONDS = 1_000_000_000
_UNITS = {"ms": 10**6, "s": NANOSECONDS, "m": 60 * NANOSECONDS, "h": 3600 * NANOSECONDS, "d": 86_400 * NANOSECONDS, "w": 604_800 * NANOSECONDS}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d\d:?\d\d)?", re.ASCII)
# a stored time may be any number of milliseconds of 64 bits
_NANOSECONDS = re.compile(r"-?\d{1,30}ns", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST = 100 * 365 * _UNITS["d"]
_GRAMMAR = "positions: start, end, 1200, -20 (the last 20), 3:1200 (partition:offset), @2026-11-23T10:00Z, @-1h, @now"
LARGEST_NUMBER = 2**63 - 1
# digits of a time since 1970 and what makes it nanoseconds: seconds, milli-, micro-, nanoseconds
_EPOCHS = ((10, 1_000_000_000), (13, 1_000_000), (16, 1_000), (19, 1))


@dataclass(frozen=True, slots=True)
class Start:
    """The oldest stored record."""

    def __str__(self) -> str:
        return "start"


@dataclass(frozen=True, slots=True)
class End:
    """One past the newest stored record, at the moment it is looked up."""

    def __str__(self) -> str:
        return "end"


@dataclass(frozen=True, slots=True)
class Number:
    """An offset or sequence; on a partitioned source, the same in every partition."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Last:
    """`count` records before the end, in all: the newest ones by time over all partitions."""

    count: int

    def __str__(self) -> str:
        return f"-{self.count}"


@dataclass(frozen=True, slots=True)
class Moment:
    """The first record at or after a moment, in nanoseconds since 1970."""

    nanoseconds: int

    def __str__(self) -> str:
        return f"@{format_time(self.nanoseconds)}"


@dataclass(frozen=True, slots=True)
class PerPartition:
    """An offset for each partition named; the partitions not named are left out."""

    offsets: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return ",".join(f"{partition}:{offset}" for partition, offset in self.offsets)


Position = Start | End | Number | Last | Moment | PerPartition


@dataclass(frozen=True, slots=True)
class Span:
    """What to read: from `start` (included) up to `end` (not included).

    `end=None` goes on for ever; `End()` is looked up once, when reading starts, so that a busy source ends. An end beyond
    what is stored means what is stored: a span that ends never waits.
    """

    start: Position
    end: Position | None = None


def parse_position(text: str, *, now: int | None = None) -> Position:
    """Read a position. `now` (nanoseconds since 1970) anchors relative times; the clock is asked without it."""
    if text == "start":
        return Start()
    if text == "end":
        return End()
    if text.startswith("@"):
        return Moment(_parse_moment(text[1:], now))
    if re.fullmatch(r"-\d+", text, re.ASCII):
        return Last(_bounded(text[1:], text))
    if re.fullmatch(r"\d+", text, re.ASCII):
        return Number(_bounded(text, text))
    if re.fullmatch(r"\d+:\d+(,\d+:\d+)*", text, re.ASCII):
        pairs = [tuple(_bounded(number, text) for number in pair.split(":")) for pair in text.split(",")]
        if len({partition for partition, _ in pairs}) < len(pairs):
            raise UsageProblem(f"The position {text} names a partition twice.")
        return PerPartition(tuple((partition, offset) for partition, offset in pairs))
    raise UsageProblem(f"{text!r} is no position.", hint=_GRAMMAR)


def parse_range(text: str) -> Span:
    """Read `A:B` (both ends), `A:` or `:B`; times hold colons, so the split is where both sides are positions."""
    splits = [index for index, character in enumerate(text) if character == ":"]
    found: list[Span] = []
    for index in splits:
        first, second = text[:index], text[index + 1:]
        try:
            start = parse_position(first) if first else Start()
            end = parse_position(second) if second else End()
        except UsageProblem:
            continue
        found.append(Span(start, end))
    if len(found) != 1:
        why = "is no range" if not found else "can be split in more than one way; use --from and --until"
        raise UsageProblem(f"{text!r} {why}.", hint="ranges: 100:200, start:@-1h, @-2h:@-1h; the end is not included")
    return found[0]


def parse_duration(text: str, longest: int | None = LONGEST) -> int:
    """Read `90s`, `1h30m`, `250ms`, `2d` into nanoseconds. Raises UsageProblem for more than `longest` of them: nobody waits a hundred years, and
    no clock counts so far; a broker's setting may say more."""
    if not _DURATION.fullmatch(text):
        raise UsageProblem(f"{text!r} is no duration.", hint="durations: 250ms, 90s, 1h30m, 2d, 1w")
    from decimal import Decimal

    duration = sum(Decimal(amount) * _UNITS[unit] for amount, unit in _DURATION_PART.findall(text))
    if longest is not None and duration > longest:
        raise UsageProblem(f"A duration is 100 years at most, and {text[:40]} is longer.")
    return int(duration)


def _parse_moment(text: str, now: int | None) -> int:
    if now is None:
        now = int(datetime.now(UTC).timestamp() * NANOSECONDS)
    if text == "now":
        return now
    if text.startswith(("+", "-")):
        distance = parse_duration(text[1:])
        return now - distance if text[0] == "-" else now + distance
    if re.fullmatch(r"\d{9,19}", text, re.ASCII):
        return int(text) * next(factor for digits, factor in _EPOCHS if len(text) <= digits)
    return parse_time(text)


def parse_time(text: str) -> int:
    """Read RFC 3339, or a date or date and time without a zone (taken as UTC), into nanoseconds since 1970."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise UsageProblem(f"{text!r} is no time.", hint="times: 2026-11-23T10:00Z, 2026-11-23T10:00:00.5+01:00, 2026-11-23, 1763892000, -1h, now")
    day, clock, seconds, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{seconds or ':00'}{'+00:00' if zone in (None, 'Z', 'z') else zone}")
    except ValueError as problem:
        raise UsageProblem(f"{text!r} is no time: {problem}.") from None
    whole = moment - _EPOCH
    return (whole.days * 86400 + whole.seconds) * NANOSECONDS + int((fraction or "").ljust(9, "0"))


def read_time(text: str) -> int:
    """Read what `format_time` wrote, also of a year that has no name, and whatever else `parse_time` reads."""
    return int(text.removesuffix("ns")) if _NANOSECONDS.fullmatch(text) else parse_time(text)


def format_time(nanoseconds: int) -> str:
    """Write RFC 3339 in UTC with as many of 3, 6 or 9 digits as the time needs."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    whole = _format_second(seconds)
    if whole is None:
        return f"{nanoseconds}ns"
    digits = 3 if rest % 1_000_000 == 0 else 6 if rest % 1000 == 0 else 9
    return f"{whole}.{rest // 10 ** (9 - digits):0{digits}d}Z"


@lru_cache(maxsize=4096)
def _format_second(seconds: int) -> str | None:
    """Write a whole second without its zone; None for a year that has no name. Neighbouring messages share theirs."""
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _bounded(digits: str, text: str) -> int:
    if len(digits) > 19 or int(digits) > LARGEST_NUMBER:
        raise UsageProblem(f"The position {text[:40]} is larger than any broker counts.")
    return int(digits)
