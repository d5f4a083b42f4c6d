"""A partition whose end the broker has lost, as after an election of a leader that was not in sync: what came since was never handled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from time import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from brokercli.backends.dead_letters import RepairPolicy, State
from brokercli.backends.kafka.handled_group import GroupLimits, HandledLetters, group_of
from brokercli.backends.kafka.handled_set import HandledSet
from brokercli.backends.kafka.handled_text import Room, write
from brokercli.backends.kafka.ledger import Ledger, Letter
from brokercli.backends.kafka.lost_end import count_what_later_leaders_stored
from brokercli.backends.kafka.records import KafkaBatch
from brokercli.backends.kafka.repair import KafkaRepair
from brokercli.backends.kafka.span import Offsets, Range
from brokercli.backends.kafka.topic_ids import tag_of
from brokercli.model.errors import Failed, NotAuthorised, Unreachable
from tests.backends.kafka_redrive import numbered, redrive, repair, states
from tests.backends.kafka_topics import PATIENCE, Topics

_HOUR_MINUTES = 60


class Log:
    """A partition's records, offset → leader's epoch, as the client shows them; and its state, committed under an epoch."""

    topic = "dlq"

    def __init__(self, records: dict[int, int], *, epoch: int = 9, low: int = 0, committed: TopicPartition | None = None) -> None:
        self.records, self.epoch, self.low = records, epoch, low
        self.end = max(records, default=-1) + 1
        self.place = committed or TopicPartition("dlq", 0)
        self.reads: list[int] = []
        self.waiting: list[Any] = []

    def epochs(self, partitions: Collection[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self.epoch)

    def ranges(self, partitions: Collection[int]) -> dict[int, Range]:
        return dict.fromkeys(partitions, Range(self.low, self.end))

    def committed(self, places: Sequence[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        return [self.place]

    def assign(self, places: Sequence[TopicPartition]) -> None:
        (place,) = places
        self.reads.append(place.offset)
        found = min((offset for offset in self.records if offset >= place.offset), default=None)
        error = None if found is not None else SimpleNamespace(code=lambda: KafkaError._PARTITION_EOF)
        self.waiting = [SimpleNamespace(topic=lambda: "dlq", partition=lambda: 0, offset=lambda: found, error=lambda: error,
                                        leader_epoch=lambda: self.records.get(found if found is not None else -1))]

    def poll(self, timeout: float) -> Any:
        return self.waiting.pop(0) if self.waiting else None

    def unassign(self) -> None:
        self.waiting = []


def looked_into(log: Log, handled: HandledSet, epoch: int) -> HandledLetters:
    """Return what is known of the log's letters, of which some were handled while its leader had an epoch."""
    found = HandledLetters("dlq", 0, {0: handled}, epochs={0: epoch})
    count_what_later_leaders_stored(found, log.ranges([0]), cast("Offsets", cast("Any", log)), cast("Consumer", cast("Any", log)), 1.0)
    return found


OLD = dict.fromkeys(range(500), 3)


@pytest.mark.parametrize(("records", "first"), [
    (OLD | dict.fromkeys(range(500, 2000), 7), 500),
    (OLD | dict.fromkeys(range(500, 600), 5), 500),
    (OLD | {700: 8}, 700),
    (dict.fromkeys(range(0, 500, 7), 3) | dict.fromkeys(range(503, 900, 11), 7), 503),
    (dict.fromkeys(range(40), 4), 0),
], ids=["grown beyond the old end", "shorter", "one of them", "with gaps", "nothing else is left"])
def test_what_a_later_leader_stored_where_something_was_handled_is_pending(records: dict[int, int], first: int) -> None:
    handled = HandledSet().handled([(0, 900), (950, 1000)], State.REDRIVEN, 950)
    found = looked_into(Log(records), handled, 3)
    states = {offset: found.sets[0].state(offset) for offset in records}
    assert {offset for offset, state in states.items() if state is State.PENDING} == {offset for offset in records if offset >= first}
    assert len(found.notes) == 1


@pytest.mark.parametrize(("log", "reads"), [
    (Log(dict.fromkeys(range(2000), 3), epoch=3), 0),
    (Log(dict.fromkeys(range(2000), 3)), 1),
    (Log(dict.fromkeys(range(1000), 3) | dict.fromkeys(range(1000, 2000), 5)), 1),
    (Log(dict.fromkeys(range(990), 3) | dict.fromkeys(range(1003, 2000), 5)), 7),
    (Log({}, low=2000), 0),
], ids=["the same leader", "a new leader", "letters since", "a gap before these", "nothing is stored any more"])
def test_a_partition_that_lost_nothing_stays_as_it_was_marked_and_costs_next_to_nothing(log: Log, reads: int) -> None:
    handled = HandledSet(1000)
    found = looked_into(log, handled, 3)
    assert (found.sets[0], found.notes) == (handled, [])
    assert len(log.reads) <= reads


@pytest.mark.parametrize(("code", "failure"), [(None, Unreachable), (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAuthorised)], ids=["silent", "refused"])
def test_what_keeps_from_looking_whether_an_end_was_lost_is_said(monkeypatch: pytest.MonkeyPatch, code: int | None, failure: type[Exception]) -> None:
    log = Log(dict.fromkeys(range(2000), 3))
    says = None if code is None else SimpleNamespace(topic=lambda: "dlq", partition=lambda: 0, offset=lambda: None, error=lambda: KafkaError(code),
                                                     leader_epoch=lambda: None)
    monkeypatch.setattr(log, "poll", lambda timeout: says)
    handled = HandledLetters("dlq", 0, {0: HandledSet(1000)}, epochs={0: 3})
    with pytest.raises(failure, match="dlq"):
        count_what_later_leaders_stored(handled, log.ranges([0]), cast("Offsets", cast("Any", log)), cast("Consumer", cast("Any", log)), 0.0)


def test_a_run_that_asks_again_what_was_handled_keeps_the_lost_end_in_mind_until_it_marks_something_behind_it() -> None:
    state = TopicPartition("dlq", 0, 1000, write(HandledSet(1000), 7, 1, Room()) or "", 3)
    log = Log(OLD | dict.fromkeys(range(500, 2000), 5), committed=state)
    ledger = Ledger(cast("Consumer", cast("Any", log)), cast("Offsets", cast("Any", log)), 7, GroupLimits(), 1.0)
    ledger.reread([0])
    assert ledger.state(0, 600) is State.HANDLED
    ledger.find_lost_ends()
    for _ in range(2):
        assert (ledger.state(0, 499), ledger.state(0, 600)) == (State.HANDLED, State.PENDING)
        ledger.reread([0])
    ledger.note_read(0, 649, 5)
    (log.place,) = ledger.entry([Letter(number, 0, 500 + number) for number in range(150)], State.REDRIVEN).offsets
    assert (log.place.offset, log.place.leader_epoch) == (650, 5)
    ledger.reread([0])
    assert (ledger.state(0, 600), ledger.state(0, 650)) == (State.REDRIVEN, State.PENDING)


@pytest.mark.parametrize(("offset", "epoch"), [(5, None), (899, 4)], ids=["before the last", "behind it"])
def test_no_epoch_is_claimed_for_what_others_handled_further_on(offset: int, epoch: int | None) -> None:
    """A version that wrote none may have handled letters of a later leader there; they would count as pending again."""
    text = write(HandledSet().handled([(800, 900)], State.REDRIVEN, 100), 7, 1, Room()) or ""
    log = Log(dict.fromkeys(range(900), 4), committed=TopicPartition("dlq", 0, 0, text))
    ledger = Ledger(cast("Consumer", cast("Any", log)), cast("Offsets", cast("Any", log)), 7, GroupLimits(), 1.0)
    ledger.reread([0])
    ledger.note_read(0, offset, 4)
    (place,) = ledger.entry([Letter(0, 0, 0)], State.REDRIVEN).offsets
    assert place.leader_epoch == epoch


def test_a_leader_that_is_behind_makes_no_run_forget_what_was_handled_beyond_the_end_it_tells() -> None:
    """One that was cut off from the rest of its cluster goes on answering, and leads no more: the letters that it does not have are not lost."""
    state = TopicPartition("dlq", 0, 0, write(HandledSet().handled([(10, 1000)], State.REDRIVEN, 990), 7, 1, Room()) or "", 3)
    log = Log(dict.fromkeys(range(400), 3), epoch=3, committed=state)
    ledger = Ledger(cast("Consumer", cast("Any", log)), cast("Offsets", cast("Any", log)), 7, GroupLimits(), 1.0)
    ledger.reread([0])
    ledger.find_lost_ends()
    assert ledger.ranges == {0: Range(0, 400)}
    ledger.note_read(0, 9, 3)
    (log.place,) = ledger.entry([Letter(number, 0, number) for number in range(9)], State.REDRIVEN).offsets
    log.end = 1000
    ledger.reread([0])
    assert [offset for offset in range(1000) if ledger.state(0, offset) is State.PENDING] == [9]


@pytest.mark.parametrize("newest", [3, 5], ids=["the same leader", "a later one"])
def test_a_run_ends_where_it_reads_what_a_later_leader_stored_at_offsets_that_are_marked(newest: int) -> None:
    """The end was lost while it ran. What it marked from there on would be of the later leader, and hide from the next run that any was lost."""
    state = TopicPartition("dlq", 0, 0, write(HandledSet().handled([(10, 20)], State.REDRIVEN, 10), 7, 1, Room()) or "", 3)
    log = Log(dict.fromkeys(range(20), 3), epoch=3, committed=state)
    ledger = Ledger(cast("Consumer", cast("Any", log)), cast("Offsets", cast("Any", log)), 7, GroupLimits(), 1.0)
    ledger.reread([0])
    ledger.find_lost_ends()
    stored = [SimpleNamespace(partition=lambda: 0, offset=lambda offset=offset: offset, timestamp=lambda: (0, 0),
                              leader_epoch=lambda offset=offset: 3 if offset < 8 else newest) for offset in range(20)]
    batches = [KafkaBatch(stored, cast("Any", None))]
    reader = SimpleNamespace(read=lambda timeout: batches.pop(0), notes=[], finished=False)
    quiet = SimpleNamespace(ask=lambda: None, check=lambda: None, guarantee="", failure=None, notes=[], close=lambda: None)
    unused: Any = None
    run = KafkaRepair(cast("Any", reader), cast("Any", log), {0: 0}, {0: 20}, ledger, cast("Any", quiet), unused, RepairPolicy(), lambda: None, unused,
                      cast("Any", quiet))
    if newest == 3:
        assert len(run.read(0) or ()) == 10
        return
    with pytest.raises(Failed, match=r"partition 0 of dlq .* from 10 on"):
        run.read(0)
    assert ledger.entry([Letter(0, 0, 0)], State.REDRIVEN).offsets[0].leader_epoch == 3


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_a_mark_names_the_epoch_of_the_leader_of_what_was_read(groups: Topics, guarantee: str) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(3))
    with repair(groups, dlq, guarantee=guarantee) as run:
        redrive(run, home)
    asking = Consumer({"bootstrap.servers": groups.address, "group.id": group_of(dlq.name), "log_level": 0})
    (place,) = asking.committed([TopicPartition(dlq.name, 0)], PATIENCE)
    asking.close()
    assert (place.offset, place.leader_epoch) == (3, 0)


@pytest.mark.parametrize("handled", [HandledSet(20), HandledSet().handled([(2, 20)], State.REDRIVEN, 18)], ids=["floor", "above it"])
def test_letters_that_came_after_an_end_was_lost_are_pending(groups: Topics, handled: HandledSet) -> None:
    dlq, home = groups.make(called=f"{groups.name()}.dlq"), groups.make()
    now = int(time())
    # 20 letters were stored when some of them were handled an hour ago; the last 15 were lost, and 4 came since
    groups.fill(dlq, numbered(5), times=[(now - 2 * 3600) * 1000] * 5)
    groups.fill(dlq, [b"new %d" % number for number in range(4)], times=[now * 1000] * 4)
    text = write(handled, tag_of(groups.admin, dlq.name, PATIENCE), now // 60 - _HOUR_MINUTES, Room())
    consumer = Consumer({"bootstrap.servers": groups.address, "group.id": group_of(dlq.name), "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(dlq.name, 0, handled.floor, text)], asynchronous=False)
    consumer.close()
    old = [body for number, body in enumerate(numbered(5)) if handled.state(number) is State.PENDING]
    new = [b"new %d" % number for number in range(4)]
    found = states(groups, dlq)
    assert [body for body, state in found.items() if state is State.PENDING] == old + new
    (source,) = [source for source in groups.backend().dead_letter_sources() if source.address == dlq]
    assert source.pending == len(old + new)
    assert [lag.lag for lag in groups.backend().consumers().lag(group_of(dlq.name))] == [None]
    run = repair(groups, dlq)
    assert any("has lost the end of this partition" in note for note in run.notes)
    assert redrive(run, home).confirmed == len(old + new)
