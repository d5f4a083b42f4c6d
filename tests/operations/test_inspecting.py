"""What counting letters keeps, however many different ones there are."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from brokercli.backends.contract import Batch, Outline
from brokercli.backends.dead_letters import LetterReader
from brokercli.model.message import Message, Record
from brokercli.operations import inspecting
from brokercli.operations.inspecting import inspect
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.record_list import RecordList

SECOND = 1_000_000_000
RECOGNISER = Recogniser(None, fetch_originals=False)  # type: ignore[arg-type]
ALL, ONE_BY_ONE = LetterFilter(), LetterFilter(since=0)


class Outlined(RecordList):
    """Records that can be counted by kind."""

    def outlines(self) -> list[Outline]:
        return [(record.message.headers, record.message.key, record.message.body, record.time, "dlq") for record in self.records()]


class Lying(LetterReader):
    """So many letters, in batches of ten, each of them with its number in what is asked for."""

    side_effects = "none"

    def __init__(self, count: int, reason: str = "timeout", name: str = "0:#") -> None:
        def record(number: int) -> Record:
            headers = (("x-dlq-reason", reason.replace("#", str(number)).encode()), ("x-original-topic", b"orders"))
            return Record("kafka", {"topic": "dlq", "partition": 0, "offset": number}, name.replace("#", str(number)), number * SECOND,
                          Message(body=b"{}", headers=headers))

        self._batches: Iterator[Batch] = (Outlined([record(number) for number in range(first, first + 10)]) for first in range(0, count, 10))
        self._finished = False

    @property
    def finished(self) -> bool:
        return self._finished

    def read(self, timeout: float) -> Batch | None:
        batch = next(self._batches, None)
        self._finished = batch is None
        return batch

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("letter_filter", [ALL, ONE_BY_ONE], ids=["by kind", "one by one"])
def test_groups_beyond_so_many_are_counted_together_and_all_counts_stay_right(letter_filter: LetterFilter,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "MOST_GROUPS", 7)
    counted = inspect(Lying(60, "order # timed out"), RECOGNISER, letter_filter)
    assert (counted.matched, counted.together, len(counted.groups)) == (60, 53, 8)
    assert [(group.count, group.reason, group.origin, group.sample_name) for group in counted.by_count()][:2] == [
        (53, "various", "various", "0:7"), (1, "order 0 timed out", "topic:orders", "0:0")]


def test_nothing_is_counted_together_where_there_are_few_groups() -> None:
    counted = inspect(Lying(60), RECOGNISER, ALL)
    assert (counted.matched, counted.together, len(counted.groups)) == (60, 0, 1)


def test_no_letter_is_kept_that_was_counted() -> None:
    counted = inspect(Lying(30, "order # timed out"), RECOGNISER, ONE_BY_ONE)
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Record) and one.message.headers[:1] and "timed out" in str(one.message.headers[0][1])]
    assert len(counted.groups) == 30


def test_seconds_beyond_so_many_are_counted_by_larger_shares_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "_MOST_MOMENTS", 16)
    counted = inspect(Lying(100), RECOGNISER, ALL)
    assert (sum(counted.seconds.values()), len(counted.seconds), min(counted.seconds), max(counted.seconds)) == (100, 13, 0, 96)


@pytest.mark.parametrize(("letter_filter", "samples"), [(ALL, ["#1", "#2", "#12"]), (ONE_BY_ONE, ["", "", ""])])
def test_a_sample_of_each_group_is_named_by_its_number_where_its_broker_numbers_nothing(letter_filter: LetterFilter, samples: list[str]) -> None:
    counted = inspect(Lying(12, "order # timed out", name=""), RECOGNISER, letter_filter)
    found = {group.reason: group.sample_name for group in counted.groups.values()}
    assert [found[f"order {number} timed out"] for number in (0, 1, 11)] == samples
