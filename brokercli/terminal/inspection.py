"""How an inspection of dead letters reads: groups, counts, and on a terminal a histogram over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from brokercli.model.amount import amount
from brokercli.model.position import NANOSECONDS, format_time
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import check_output, print_json, print_table

_BARS = " ▁▂▃▄▅▆▇█"


class Grouped(Protocol):
    """One group; see `operations/inspecting.py`."""

    dialect: str
    reason: str
    exception: str
    origin: str
    consumer: str
    sample_name: str
    exception_message: str
    remarks: tuple[str, ...]
    count: int
    first: int | None
    last: int | None
    fewest_attempts: int | None
    most_attempts: int | None

    @property
    def states(self) -> Mapping[Any, int]:
        """How many are pending, redriven, dropped."""


class Inspected(Protocol):
    """An inspection."""

    read: int
    matched: int
    homeless: int
    gone: int
    unread: int
    seconds: Counter[int]

    @property
    def states(self) -> Mapping[Any, int]:
        """How many are pending, redriven, dropped."""

    @property
    def together(self) -> int:
        """How many letters are in one group because there are too many groups."""

    def by_count(self) -> Sequence[Grouped]:
        """The groups, the largest first."""


def print_inspection(streams: Streams, source: str, inspection: Inspected, output: str = "auto", *, quiet: bool = False) -> None:
    """Print one row, or with `json` one object, for each group, and say what they come to, unless `quiet`."""
    check_output(output)
    say: Callable[[str], object] = (lambda text: None) if quiet else streams.say
    groups = inspection.by_count()
    if output == "json":
        print_json(streams, [_object(group) for group in groups])
        return
    if not groups:
        none = "the letter in {} does not match" if inspection.read == 1 else f"none of the {amount(inspection.read, 'letter')} in {{}} match"
        say((none if inspection.read else "no letters in {}").format(source))
        return
    # where handled letters are still stored, their groups stay, and which of them wait is what one looks for
    handled = any(state != "pending" for state in inspection.states)
    print_table(streams, [{
        "messages": group.count, **({"pending": group.states.get("pending", 0)} if handled else {}), "reason": group.reason or group.dialect,
        "exception": group.exception, "origin": group.origin or "unknown", "consumer": group.consumer,
        "attempts": _range(group), "first": _time(group.first), "last": _time(group.last), "sample": group.sample_name,
    } for group in groups])
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(inspection.states.items()))
    say(f"{amount(inspection.matched, 'letter')} in {source}: {states}")
    if streams.stdout_is_terminal and len(inspection.seconds) > 1:
        plain = streams.encoding.lower() not in ("utf-8", "utf8")
        streams.write(f"\n{_histogram(inspection.seconds, max(20, min(streams.width - 4, 100)), plain=plain)}\n".encode())
    if inspection.together:
        say(f"{inspection.together:,} of them, of kinds beyond {len(groups) - 1:,}, are counted together as various: --reason, --origin or --since "
            "narrows it")
    if inspection.homeless:
        say(amount(inspection.homeless, "of them does not say where it came from: redriving it takes --to",
                   "of them do not say where they came from: redriving those takes --to"))
    if inspection.gone:
        say(amount(inspection.gone, "of them only points at an original that is no longer stored",
                   "of them only point at an original that is no longer stored"))
    if inspection.unread:
        say(amount(inspection.unread, "of them points at an original that cannot be read now: dlq show says why",
                   "of them point at an original that cannot be read now: dlq show says why"))


def _object(group: Grouped) -> dict[str, object]:
    states = {str(state): count for state, count in group.states.items()}
    return {"count": group.count, "states": states, "dialect": group.dialect, "reason": group.reason, "exception": group.exception,
            "origin": group.origin or None, "consumer": group.consumer, "first": _time(group.first), "last": _time(group.last),
            "attempts": None if group.fewest_attempts is None else [group.fewest_attempts, group.most_attempts], "sample": group.sample_name,
            "message": group.exception_message, "remarks": list(group.remarks)}


def _range(group: Grouped) -> str:
    if group.fewest_attempts is None:
        return ""
    return str(group.fewest_attempts) if group.fewest_attempts == group.most_attempts else f"{group.fewest_attempts}-{group.most_attempts}"


def _time(nanoseconds: int | None) -> str | None:
    return None if nanoseconds is None else format_time(nanoseconds)


def _histogram(seconds: Counter[int], width: int, *, plain: bool) -> str:
    """Draw how many letters died when: one column for an equal share of the time between the first and the last."""
    first, last = min(seconds), max(seconds)
    columns = [0] * min(width, last - first + 1)
    share = (last - first + 1) / len(columns)
    for second, count in seconds.items():
        columns[min(len(columns) - 1, int((second - first) / share))] += count
    bars = " .:-=+*#@" if plain else _BARS
    most = max(columns)
    drawn = "".join(bars[0 if not count else max(1, round(count / most * (len(bars) - 1)))] for count in columns)
    start, end = (format_time(moment * NANOSECONDS).partition(".")[0] + "Z" for moment in (first, last))
    between = " " * max(1, len(columns) - len(start) - len(end))
    return f"  {drawn}\n  {start}{between}{end}\n  most in one column: {most:,}"
