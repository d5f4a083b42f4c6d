"""The records around a position, also where most numbers between two records are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from brokercli.model.address import Address
from brokercli.model.consumption import Lag
from brokercli.model.message import Message, Record
from brokercli.model.position import Number, PerPartition, Span
from brokercli.operations.peeking import around, worth_a_look


class Sparse:
    """A broker with records at some numbers; `looks` are the spans it was asked for."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.looks: list[tuple[int, int]] = []

    def look(self, source: Address, span: Span) -> Any:
        assert isinstance(span.start, Number)
        assert isinstance(span.end, Number)
        self.looks.append((span.start.value, span.end.value))
        return Reader([Record("x", {}, str(number), None, Message(b"")) for number in self.numbers if span.start.value <= number < span.end.value])


class Reader:
    def __init__(self, records: Sequence[Record]) -> None:
        self._batch: Any = Batch(records) if records else None

    def read(self, timeout: float) -> Any:
        batch, self._batch = self._batch, None
        return batch

    @property
    def finished(self) -> bool:
        return self._batch is None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Batch(list):  # type: ignore[type-arg]
    def records(self) -> Any:
        return list(self)


def peek(broker: Any, lag: Lag, before: int = 2, after: int = 1) -> tuple[list[str], list[str]]:
    (found,) = around(cast("Any", broker), Address("s", "stream"), [lag], before, after)
    return [record.position for record in found.before], [record.position for record in found.following]


def test_one_look_shows_both_sides_where_no_number_is_missing() -> None:
    broker = Sparse(*range(100))
    assert peek(broker, Lag("stream:s", None, 50, 100, 0, 50)) == (["48", "49"], ["50", "51"])
    assert broker.looks == [(48, 52)]


def test_missing_numbers_are_looked_past() -> None:
    broker = Sparse(1, 2, 50, 300, 301)
    assert peek(broker, Lag("stream:s", None, 60, 302, 1, 2)) == (["2", "50"], ["300", "301"])
    # what was found in a look that was too narrow is found once
    assert peek(Sparse(58, 90, 300), Lag("stream:s", None, 60, 302, 1, 2)) == (["58"], ["90", "300"])


def test_no_further_look_is_taken_once_it_is_to_stop() -> None:
    broker = Sparse(1, 300)
    around(cast("Any", broker), Address("s", "stream"), [Lag("stream:s", None, 60, 302, 1, 2)], 2, 1, stopping=lambda: len(broker.looks) == 2)
    assert broker.looks == [(58, 62), (28, 92)]


def test_nothing_is_looked_for_outside_of_what_is_stored() -> None:
    broker = Sparse(*range(10, 12))
    assert peek(broker, Lag("stream:s", None, 10, 12, 10, 2), 5, 5) == ([], ["10", "11"])
    assert broker.looks == [(10, 12)]
    empty = Sparse()
    assert (peek(empty, Lag("stream:s", None, 12, 12, 12, 0)), empty.looks) == (([], []), [])


def test_a_position_that_is_not_stored_any_more_leads_to_the_oldest_that_is() -> None:
    (found,) = around(cast("Any", Sparse(90, 91, 92)), Address("s", "stream"), [Lag("stream:s", None, 5, 93, 90, 3)], 2, 1)
    assert (found.lost, [record.position for record in found.following]) == (85, ["90", "91"])


def test_the_mark_is_at_the_record_a_filter_lets_through() -> None:
    lag = Lag("stream:s", None, 50, 100, 0, 5, next=53)
    assert peek(Sparse(*range(100)), lag) == (["51", "52"], ["53", "54"])


def test_partitions_are_looked_at_together() -> None:
    class Partitioned(Sparse):
        def look(self, source: Address, span: Span) -> Any:
            assert span == Span(PerPartition(((0, 4), (2, 9))), PerPartition(((0, 6), (2, 11))))
            return Reader([Record("x", {}, position, None, Message(b"")) for position in ("2:9", "0:4", "2:10", "0:5")])

    first, second = around(cast("Any", Partitioned()), Address("t", "topic"), [Lag("topic:t", 0, 5, 6, 0, 1), Lag("topic:t", 2, 10, 20, 0, 10)], 1, 0)
    assert ([record.position for record in first.before], [record.position for record in first.following]) == (["0:4"], ["0:5"])
    assert ([record.position for record in second.before], [record.position for record in second.following]) == (["2:9"], ["2:10"])


def test_only_where_it_is_behind_is_worth_a_look_unless_it_is_behind_nowhere() -> None:
    stuck, idle, fresh = Lag("t", 0, 1, 5, 0, 4), Lag("t", 1, 5, 5, 0, 0), Lag("t", 2, None, 5, 0)
    assert worth_a_look([stuck, idle, fresh]) == [stuck]
    assert worth_a_look([stuck, idle, fresh], everything=True) == [stuck, idle]
    assert worth_a_look([idle, fresh]) == [idle]
