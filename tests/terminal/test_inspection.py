"""When letters died, drawn on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from brokercli.backends.dead_letters import State
from brokercli.model.amount import amount
from brokercli.operations.inspecting import Group, Inspection
from brokercli.terminal.inspection import print_inspection

NOON = 1_794_484_800
"""2026-11-12T12:00:00Z"""


def drawn(capture: Callable[..., Any], seconds: dict[int, int], **options: Any) -> list[str]:
    """Return the lines that are drawn below the table of one group."""
    captured = capture(stdout_is_terminal=True, **options)
    inspection = Inspection(read=3, matched=3, seconds=Counter(seconds))
    inspection.groups["generic", "timeout", "", "orders", ""] = Group("generic", "timeout", "", "orders", "", "0:1", "", (), count=3)
    print_inspection(captured.streams, "topic:dlq", inspection)
    return list(captured.out.decode().partition("\n\n")[2].splitlines())


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_histogram_and_what_is_said_of_it_keep_to_the_terminals_width(width: int, capture: Callable[..., Any]) -> None:
    lines = drawn(capture, {NOON: 40_000, NOON + 86_400: 1}, width=width)
    assert [line.strip() for line in lines[1:]] == [
        f"2026-11-12T12:00:00Z{' ' * (min(width - 4, 100) - 40)}2026-11-13T12:00:00Z", "most in one column: 40,000"]
    assert lines[0].strip() == f"█{' ' * (min(width - 4, 100) - 2)}▁"
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize(("states", "heads", "numbers"), [
    ({State.PENDING: 3}, ["MESSAGES", "REASON"], ["3", "timeout"]), ({State.PENDING: 1, State.REDRIVEN: 2}, ["MESSAGES", "PENDING"], ["3", "1"]),
    ({State.DROPPED: 3}, ["MESSAGES", "PENDING"], ["3", "0"]),
])
def test_each_group_says_how_many_of_it_wait_where_handled_letters_are_still_stored(
        states: dict[State, int], heads: list[str], numbers: list[str], capture: Callable[..., Any]) -> None:
    captured = capture()
    inspection = Inspection(read=3, matched=3, states=Counter(states))
    inspection.groups["generic", "timeout", "", "orders", ""] = Group("generic", "timeout", "", "orders", "", "0:1", "", (), 3, Counter(states))
    print_inspection(captured.streams, "topic:dlq", inspection)
    assert [line.split()[:2] for line in captured.out.decode().splitlines()] == [heads, numbers]


@pytest.mark.parametrize(("count", "words"), [(1, "1 of them does not say where it came from: redriving it takes --to"),
                                              (2, "2 of them do not say where they came from: redriving those takes --to")])
def test_what_is_said_of_some_letters_is_said_of_one_as_well(count: int, words: str, capture: Callable[..., Any]) -> None:
    captured = capture()
    inspection = Inspection(read=6, matched=6, homeless=count, gone=3 - count, unread=count)
    inspection.groups["generic", "timeout", "", "orders", ""] = Group("generic", "timeout", "", "orders", "", "0:1", "", (), 3, Counter())
    print_inspection(captured.streams, "topic:dlq", inspection)
    gone = amount(3 - count, "of them only points at", "of them only point at")
    unread = amount(count, "of them points at", "of them point at")
    assert captured.err.splitlines()[-3:] == [words, f"{gone} an original that is no longer stored",
                                              f"{unread} an original that cannot be read now: dlq show says why"]
