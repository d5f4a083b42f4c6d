"""That nothing is heard of a broker is said once for each time, and not of a wait that is over soon."""

from __future__ import annotations

import pytest

from brokercli.terminal import silence
from brokercli.terminal.silence import Silence


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(silence, "monotonic", lambda: now[0])
    return now


def test_a_silence_is_said_once_and_the_next_one_again(clock: list[float]) -> None:
    said: list[str] = []
    told = Silence(said.append)
    for _ in range(3):
        told.waits(4000)
        clock[0] += 4
    assert said == ["no verdict has come for 5 s on 4,000 messages; brokercli goes on waiting"]
    told.heard()
    for _ in range(3):
        told.waits(0)
        clock[0] += 4
    assert said[1:] == ["the broker has taken nothing for 5 s; brokercli goes on waiting"]


def test_what_was_not_waited_for_is_no_silence(clock: list[float]) -> None:
    said: list[str] = []
    told = Silence(said.append)
    told.heard()
    # the input stalled
    clock[0] += 3600
    told.waits(1)
    clock[0] += 4
    told.waits(1)
    assert said == []


def test_whoever_wants_it_quiet_is_told_nothing(clock: list[float]) -> None:
    said: list[str] = []
    told = Silence(said.append, quiet=True)
    told.waits(1)
    clock[0] += 60
    told.waits(1)
    assert said == []


def test_why_nothing_comes_is_said_before_that_nothing_does(clock: list[float]) -> None:
    said: list[str] = []
    told = Silence(said.append)
    told.tell_why = lambda: said.append("the broker makes us wait")
    told.waits(1)
    assert said == []
    clock[0] += 6
    told.waits(1)
    assert said == ["the broker makes us wait", "no verdict has come for 5 s on 1 message; brokercli goes on waiting"]
