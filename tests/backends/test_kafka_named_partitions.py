"""A position that names partitions leaves the others out: they are neither read nor asked for, and may be without a leader."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, cast

import pytest

from brokercli.backends.kafka import look as look_module
from brokercli.backends.kafka.span import Range, locate
from brokercli.model.errors import UsageProblem
from brokercli.model.position import End, PerPartition, Position, Span, Start
from tests.backends.kafka_topics import Topics


class OneLeader:
    """The offsets of a topic with three partitions, of which only number 1 has a leader."""

    topic = "orders"

    def ranges(self, partitions: Collection[int]) -> dict[int, Range]:
        assert set(partitions) <= {1}
        return dict.fromkeys(partitions, Range(2, 9))


def located(start: Position, end: Position | None) -> tuple[dict[int, int], dict[int, int] | None]:
    return locate(Span(start, end), [0, 1, 2], cast("Any", OneLeader()), lambda count, ranges: {})


@pytest.mark.parametrize(("start", "end", "expected"), [
    (PerPartition(((1, 4),)), None, ({1: 4}, None)),
    (PerPartition(((1, 4),)), End(), ({1: 4}, {1: 9})),
    (Start(), PerPartition(((1, 6),)), ({1: 2}, {1: 6})),
    (PerPartition(((0, 3), (1, 4))), PerPartition(((1, 6), (2, 5))), ({1: 4}, {1: 6})),
    (PerPartition(((0, 3),)), PerPartition(((1, 6),)), ({}, {}))])
def test_only_those_are_asked_for_that_both_ends_name(start: Position, end: Position | None, expected: object) -> None:
    assert located(start, end) == expected


def test_one_that_does_not_exist_is_named_whichever_end_names_it() -> None:
    for span in ((PerPartition(((1, 4), (3, 0))), None), (PerPartition(((1, 4),)), PerPartition(((3, 0),)))):
        with pytest.raises(UsageProblem, match="orders has no partition 3; it has 3: 0 to 2"):
            located(*span)


def test_following_does_not_come_to_those_that_are_left_out(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "NEW_PARTITIONS_SECONDS", 0.2)
    topic = topics.make(partitions=2)
    topics.fill(topic, [b"left out"] * 3, 0)
    topics.fill(topic, [b"old", b"wanted"], 1)
    reader = topics.look(topic, PerPartition(((1, 1),)), follow=True)
    topics.add_partitions(topic, 3)
    topics.fill(topic, [b"left out"] * 3, 2)
    seen: list[bytes] = []
    until = time.monotonic() + 3
    while time.monotonic() < until:
        batch = reader.read(0.2)
        seen += batch.bodies() if batch is not None else []
    assert seen == [b"wanted"]
