"""Which consumers are meant, and watching them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, cast

import pytest

from brokercli.backends.consumers import Consumers
from brokercli.model.consumption import Lag, Seek, SeekStep
from brokercli.model.errors import NotFound, Unreachable
from brokercli.operations import lagging
from brokercli.operations.lagging import Measured, Tick, Watch, measure, select
from brokercli.operations.seeking import positions, undo, without_position


class Stub:
    """Consumers with one line each; `away` makes the broker unreachable."""

    def __init__(self, lags: dict[str, int | None]) -> None:
        self.lags = lags
        self.away = False
        self.notes: list[str] = []
        self.kept = ""

    def not_shown(self) -> str:
        return self.kept

    def name_of(self, text: str) -> str:
        return text

    def names(self) -> list[str]:
        return list(self.lags)

    def lag(self, name: str) -> list[Lag]:
        if self.away:
            raise Unreachable("The broker is away.")
        if name not in self.lags:
            raise NotFound(f"There is no {name}.")
        return [Lag("topic:t", 0, 1, 10, 0, self.lags[name])]


def watch(stub: Stub, opened: list[int]) -> Iterator[Tick]:
    """Watch it, counting how often it was opened."""
    @contextmanager
    def open_() -> Iterator[Consumers]:
        if stub.away:
            raise Unreachable("The broker is away.")
        opened.append(1)
        yield cast("Any", stub)

    return iter(Watch(open_, ["a"], 0.0, lambda seconds: None))


@pytest.mark.parametrize(("patterns", "found"), [(["a*"], ["a", "a[1]", "a.b"]), (["a[1]"], ["a[1]"]), (["a?b"], ["a.b"]),
                                                 (["*"], ["a", "a[1]", "a.b", "b\nc"])])
def test_only_star_and_question_mark_are_special_in_a_pattern(patterns: list[str], found: list[str]) -> None:
    assert select(["a", "a[1]", "a.b", "b\nc"], patterns) == found


def test_names_and_patterns_name_each_consumer_once_and_what_is_not_there_is_gone() -> None:
    tick = measure(cast("Any", Stub({"a": 1, "ab": 2})), ["a*", "a", "c"])
    assert [(one.name, one.lag) for one in tick.measured] == [("a", 1), ("ab", 2)]
    assert tick.gone == ["c"]


def test_what_a_pattern_could_not_see_is_told_and_a_full_name_has_nothing_to_do_with_it() -> None:
    stub = Stub({"a": 1})
    stub.notes.append("groups may be missing")
    assert measure(cast("Any", stub), ["a*", "b*"]).unseen == ["groups may be missing"]
    assert measure(cast("Any", stub), ["a"]).unseen == []


def test_a_pattern_that_nothing_matches_is_told_where_others_may_be_kept_from_the_login() -> None:
    stub = Stub({"a": 1})
    stub.kept = "some are not shown"
    assert measure(cast("Any", stub), ["a*"]).unseen == []
    assert measure(cast("Any", stub), ["b*", "c*"]).unseen == ["some are not shown"]
    assert measure(cast("Any", stub), ["b"]).unseen == []


def test_a_sum_is_of_what_is_known_and_what_is_not_known_is_told_apart() -> None:
    measured = Measured("a", 0, (Lag("t", 0, 1, 5, 0, 4, 2), Lag("t", 1, None, 5, 0), Lag("t", 2, None, 0, 0), Lag("t", 3, lag=0, at_least=True), Lag("s")))
    assert (measured.lag, measured.in_hand) == (4, 2)
    assert [lag.partition for lag in measured.unknown] == [1, 3, None]
    assert Measured("a", 0, (Lag("s"),)).lag is None


def test_a_watch_opens_the_broker_anew_after_it_was_away() -> None:
    stub, opened = Stub({"a": 1}), []  # type: ignore[var-annotated]
    ticks = watch(stub, opened)
    assert next(ticks).measured[0].lag == 1
    stub.away = True
    assert isinstance(next(ticks).problem, Unreachable)
    assert isinstance(next(ticks).problem, Unreachable)
    stub.away, stub.lags = False, {"a": 2}
    assert next(ticks).measured[0].lag == 2
    assert next(ticks).measured[0].lag == 2
    assert len(opened) == 2


def test_an_answer_that_does_not_come_is_told_before_the_client_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lagging, "PATIENCE", 0.01)
    told = Event()

    class Slow(Stub):
        def lag(self, name: str) -> list[Lag]:
            assert told.wait(30), "nothing was said while the broker did not answer"
            return super().lag(name)

    @contextmanager
    def open_() -> Iterator[Consumers]:
        yield cast("Any", Slow({"a": 1}))

    assert next(iter(Watch(open_, ["a"], 0.0, lambda seconds: None, told.set))).measured[0].lag == 1


def test_a_broker_that_is_away_from_the_beginning_is_an_error() -> None:
    stub = Stub({"a": 1})
    stub.away = True
    with pytest.raises(Unreachable):
        next(watch(stub, []))


def test_the_undo_of_a_seek_has_a_position_for_each_source_and_leaves_out_what_had_none() -> None:
    planned = Seek("g", (SeekStep("topic:a", 0, 5, 9, 4), SeekStep("topic:a", 1, 6, 6, 0), SeekStep("topic:a", 2, None, 3), SeekStep("topic:a", 3, 7, 1, -6),
                         SeekStep("stream:s", None, 12, 1, -11)))
    assert undo(planned) == [("0:5,3:7", "topic:a"), ("12", "stream:s")]
    assert without_position(planned) == 1


def test_positions_lead_to_where_a_consumer_is() -> None:
    assert positions([Lag("topic:a", 0, 5), Lag("topic:a", 1, None), Lag("queue:q")]) == [("0:5", "topic:a")]
