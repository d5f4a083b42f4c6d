"""What a run enters into the group's offsets, without a broker: offsets that hold nothing are no letters that wait."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka import ledger as ledger_module
from brokercli.backends.kafka.handled_group import GroupLimits
from brokercli.backends.kafka.ledger import Ledger, Letter
from brokercli.backends.kafka.span import Offsets, Range


class Group:
    """A consumer whose group has committed nothing."""

    def committed(self, places: Sequence[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        return places


class Partition:
    """The offsets of a topic with one partition of twenty."""

    topic = "orders.dlq"

    def ranges(self, partitions: Collection[int]) -> dict[int, Range]:
        return dict.fromkeys(partitions, Range(0, 20))


def ledger() -> Ledger:
    found = Ledger(cast("Consumer", Group()), cast("Offsets", cast("Any", Partition())), 0, GroupLimits(), 1.0)
    found.reread([0])
    return found


def enter(into: Ledger, *offsets: int) -> int:
    """Mark letters, and return the floor that is committed."""
    entry = into.entry([Letter(number, 0, offset) for number, offset in enumerate(offsets)], State.REDRIVEN)
    into.adopt(entry)
    (place,) = entry.offsets
    return int(place.offset)


def test_what_compaction_took_before_a_letter_that_was_handled_holds_the_floor_back_no_more() -> None:
    kept = ledger()
    assert enter(kept, 6) == 0
    # 3 to 5 were letters once; who reads on finds the handled one at 6 behind 2
    kept.note_gap(0, 3, 6)
    kept.note_gap(0, 8, 9)
    assert enter(kept, 0, 1, 2) == 7
    # what lies before a pending letter is handled with it, and not before
    assert enter(kept, 7) == 8
    assert enter(kept, 9) == 10


class ManyPartitions(Partition, Group):
    """A topic of which every partition has handled letters."""

    def __init__(self, count: int) -> None:
        self.places = [TopicPartition(self.topic, number, 3, "") for number in range(count)]

    def committed(self, places: Sequence[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        return self.places


def test_the_state_of_every_partition_is_written_anew_by_a_run_that_handles_letters_of_one() -> None:
    topic = ManyPartitions(300)
    kept = Ledger(cast("Consumer", topic), cast("Offsets", cast("Any", topic)), 0, GroupLimits(), 1.0)
    kept.reread(range(300))
    first = kept.entry([Letter(0, 0, 3)], State.REDRIVEN)
    assert sorted(place.partition for place in first.offsets) == list(range(300))
    kept.adopt(first)
    # once is enough
    assert [place.partition for place in kept.entry([Letter(0, 1, 3)], State.REDRIVEN).offsets] == [1]


def test_what_does_not_go_into_one_commit_is_written_anew_by_those_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_RENEWED_BYTES", 1000)
    topic = ManyPartitions(30)
    kept = Ledger(cast("Consumer", topic), cast("Offsets", cast("Any", topic)), 0, GroupLimits(), 1.0)
    kept.reread(range(30))
    written: list[int] = []
    for offset in range(3, 20):
        entry = kept.entry([Letter(0, 0, offset)], State.REDRIVEN)
        assert len(entry.offsets) < 12
        written += [place.partition for place in entry.offsets if place.partition]
        kept.adopt(entry)
    assert sorted(written) == list(range(1, 30))
