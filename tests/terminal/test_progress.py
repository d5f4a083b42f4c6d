"""The passing line of a long run."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.terminal import progress as module
from brokercli.terminal.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_it_appears_after_half_a_second_and_is_gone_at_the_end(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "read", 4000) as progress:
        progress.advance(500)
        assert captured.err == ""
        clock.now += 1
        progress.advance(500)
        assert captured.err == "\rread 1,000 of 4,000 (25%)  1,000/s  3.0 s left\x1b[K"
    assert captured.err.endswith("\r\x1b[K")


def test_calling_it_often_draws_seldom(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "read") as progress:
        for _ in range(10_000):
            clock.now += 0.001
            progress.advance(1)
    assert 50 < captured.err.count("\r") < 120


@pytest.mark.parametrize("facts", [{"moving": False}, {"stderr_is_terminal": True, "moving": False}])
def test_without_a_terminal_there_is_none(capture: Callable[..., Any], clock: Clock, facts: dict[str, bool]) -> None:
    captured = capture(**facts)
    with Progress(captured.streams, "read", 10) as progress:
        clock.now += 100
        progress.advance(5)
    assert captured.err == ""


def test_it_stays_away_where_records_are_printed_on_the_terminal(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stdout_is_terminal=True, stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "read", 10) as progress:
        clock.now += 1
        progress.advance(1)
        assert "read 1 of 10" in captured.err
        captured.streams.write(b"a record\n")
        assert captured.err.endswith("\r\x1b[K")
        shown = captured.err
        clock.now += 1
        progress.advance(1)
    assert captured.err == shown


def test_a_total_that_was_only_about_right_never_shows_more_than_everything(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "read", 10) as progress:
        clock.now += 1
        progress.advance(11)
        assert captured.err == "\rread 11  11/s\x1b[K"


def test_a_narrow_terminal_gets_the_front_of_it(capture: Callable[..., Any], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "published", 4000) as progress:
        clock.now += 1
        progress.advance(1000)
        assert captured.err == "\rpublished 1,000 of 4,000 (25…\x1b[K"


def test_a_note_stays_above_it(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "read") as progress:
        clock.now += 1
        progress.advance(1)
        progress.note("message 3: refused")
        assert captured.err == "\rread 1  1/s\x1b[K\r\x1b[Kmessage 3: refused\nread 1  1/s"


def test_leaving_twice_is_allowed_and_nothing_comes_after(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "read") as progress:
        progress.__exit__(None, None, None)
        clock.now += 100
        progress.advance(1)
    assert captured.err == ""


def test_it_stays_away_where_somebody_types(capture: Callable[..., Any], clock: Clock) -> None:
    captured = capture(stderr_is_terminal=True, moving=True)
    with Progress(captured.streams, "published", typed=True) as progress:
        clock.now += 10
        progress.advance(500)
    assert captured.err == ""
