"""A zero that RabbitMQ tells for a leader that does not answer, told apart from a zero that is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.backends.rabbitmq import counting
from brokercli.backends.rabbitmq.counting import Count

GIVEN_UP = 0.25
"""So long RabbitMQ waits for a leader before it answers for it."""


class Channel:
    """Answers at once, on a clock of its own: each answer takes so many seconds. The last one of a kind is taken again and again."""

    def __init__(self, counts: Sequence[tuple[int, float]], ways: Sequence[float]) -> None:
        self.now = 1000.0
        self._counts = list(counts)
        self._ways = list(ways)

    def queue_declare(self, queue: str, *, passive: bool, callback: Callable[[Any], None]) -> None:
        assert passive
        messages, seconds = self._next(self._counts)
        self.now += seconds
        callback(SimpleNamespace(method=SimpleNamespace(message_count=messages, consumer_count=0)))

    def basic_qos(self, *, prefetch_count: int, callback: Callable[[Any], None]) -> None:
        self.now += self._next(self._ways)
        callback(None)

    @staticmethod
    def _next(answers: list[Any]) -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]


def counted(monkeypatch: pytest.MonkeyPatch, counts: Sequence[tuple[int, float]], ways: Sequence[float]) -> Count:
    channel = Channel(counts, ways)
    monkeypatch.setattr(counting, "monotonic", lambda: channel.now)
    told: list[Count] = []
    counting.counting("orders")(channel, told.append)
    (count,) = told
    return count


def test_a_zero_that_comes_before_the_broker_gives_up_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, GIVEN_UP - 0.02), (3, 0.001)], [0.001]) == Count(0, 0, certain=True)


def test_a_late_zero_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, GIVEN_UP), (0, GIVEN_UP), (3, 0.2)], [0.001]) == Count(3, 0, certain=True)


@pytest.mark.parametrize("late", range(1, 4))
def test_answers_that_are_late_because_the_machine_is_busy_do_not_make_a_long_way(monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    assert counted(monkeypatch, [(0, GIVEN_UP + 0.1), (0, GIVEN_UP + 0.1), (3, 0.2)], [0.24] * late + [0.001]) == Count(3, 0, certain=True)


def test_on_a_long_way_a_late_zero_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, 0.3)], [0.3]) == Count(0, 0, certain=True)


def test_on_a_long_way_a_zero_that_is_later_still_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, 0.3 + GIVEN_UP), (0, 0.3 + GIVEN_UP), (3, 0.3)], [0.3]) == Count(3, 0, certain=True)


def test_a_leader_that_stays_silent_leaves_a_zero_that_is_not_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, GIVEN_UP)], [0.001]) == Count(0, 0, certain=False)
