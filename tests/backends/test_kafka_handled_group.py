"""What is known of the group that keeps which letters are handled, where the broker's answer is not the usual one."""

from __future__ import annotations

from concurrent.futures import Future
from time import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka import handled_group
from brokercli.backends.kafka.handled_group import (
    RETENTION_MINUTES,
    CommittedOffsets,
    GroupLimits,
    check_stable,
    group_of,
    limits_of,
    members_of,
    topic_of,
    understand,
)
from brokercli.backends.kafka.handled_set import HandledSet, Run
from brokercli.backends.kafka.handled_text import CHARACTERS, Room, read, write
from brokercli.backends.kafka.span import Range
from brokercli.model.errors import Failed, NotAuthorised, Unreachable
from tests.backends.kafka_answers import answered


class Admin:
    """Answers with the committed offsets of a group, of which some wait for the end of a transaction."""

    def __init__(self, *, left_open: bool) -> None:
        self._left_open = left_open

    def list_consumer_group_offsets(self, asked: list[Any], *, require_stable: bool, request_timeout: float) -> dict[str, Future[Any]]:
        group, places = asked[0].group_id, [TopicPartition(place.topic, place.partition, 7) for place in asked[0].topic_partitions]
        if self._left_open and require_stable:
            places[0] = cast("Any", SimpleNamespace(error=KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)))
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(topic_partitions=places))
        return {group: answer}


def test_marks_that_wait_for_a_transaction_that_nobody_has_any_more_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handled_group, "_UNSTABLE_SECONDS", 0.0)
    monkeypatch.setattr(handled_group, "await_coordinators", lambda admin, groups, seconds: None)
    with pytest.raises(Failed, match="left it open") as refused:
        check_stable(cast("Any", Admin(left_open=True)), "orders.dlq", [0, 1], 5.0)
    assert group_of("orders.dlq") in str(refused.value)
    check_stable(cast("Any", Admin(left_open=False)), "orders.dlq", [0, 1], 5.0)


MARKED = HandledSet(5, [Run(5, 8, dropped=False), Run(12, 14, dropped=True)], 1, 6, 2)
"""Letters before 8, and 12 and 13, are handled."""


def committed(handled: HandledSet = MARKED, *, tag: int = 7, partition: int = 0, text: str | None = None) -> TopicPartition:
    return TopicPartition("dlq", partition, handled.floor, write(handled, tag, 30_000_000, Room()) if text is None else text)


def pending(handled: HandledSet, held: Range) -> list[int]:
    return [offset for offset in range(*held) if handled.state(offset) is State.PENDING]


@pytest.mark.parametrize(("held", "tag", "now", "waiting", "said"), [
    (Range(0, 16), 7, 7, [8, 9, 10, 11, 14, 15], None), (Range(9, 16), 7, 7, [9, 10, 11, 14, 15], None), (Range(20, 22), 7, 7, [20, 21], None),
    # a broker that tells no ids, now or then
    (Range(0, 16), 0, 7, [8, 9, 10, 11, 14, 15], None), (Range(0, 16), 7, 0, [8, 9, 10, 11, 14, 15], None),
    (Range(0, 16), 7, 8, list(range(16)), "partition 0 of dlq was made anew since letters were handled there: all of its letters count as pending"),
    (Range(0, 13), 7, 7, [8, 9, 10, 11], "partition 0 of dlq ends at 13, and letters beyond that were handled"),
    (Range(0, 13), 0, 0, [8, 9, 10, 11], "partition 0 of dlq ends at 13, and letters beyond that were handled"),
    (Range(0, 6), 7, 7, [], "partition 0 of dlq ends at 6, and letters beyond that were handled"),
    (Range(0, 8), 0, 0, [], "partition 0 of dlq ends at 8, and letters beyond that were handled"),
    # nothing tells whether it is the same one
    (Range(0, 6), 0, 7, [0, 1, 2, 3, 4, 5], "partition 0 of dlq ends at 6, before the 8 up to which letters were handled: all of its"),
    (Range(0, 6), 7, 0, [0, 1, 2, 3, 4, 5], "partition 0 of dlq ends at 6, before the 8 up to which letters were handled: all of its")])
def test_which_letters_wait_is_read_from_the_marks_as_far_as_they_are_of_these_letters(held: Range, tag: int, now: int, waiting: list[int],
                                                                                      said: str | None) -> None:
    found = understand("dlq", now, [committed(tag=tag)], {0: held})
    assert pending(found.sets[0], held) == waiting
    assert found.pending({0: held}) == len(waiting)
    assert [note[:len(said or "")] for note in found.notes] == ([] if said is None else [said])
    assert (found.known, found.written, found.tags) == (True, {0: 30_000_000}, {0: tag})


@pytest.mark.parametrize(("handled", "held", "waiting"), [
    # the first letter waits, and others behind it do not; everything is handled; so it is, and the broker has lost the end
    (HandledSet(0, [Run(2, 4, dropped=False)]), Range(0, 6), [0, 1, 4, 5]), (HandledSet(8), Range(0, 8), []), (MARKED, Range(0, 14), [8, 9, 10, 11]),
    (HandledSet(8), Range(0, 6), [])])
def test_marks_hold_from_the_first_letter_to_the_last(handled: HandledSet, held: Range, waiting: list[int]) -> None:
    found = understand("dlq", 7, [committed(handled)], {0: held})
    assert (pending(found.sets[0], held), len(found.notes)) == (waiting, 1 if handled.floor > held.high else 0)


def test_marks_of_partitions_that_are_not_looked_at_and_offsets_never_committed_say_nothing() -> None:
    found = understand("dlq", 7, [committed(partition=3), TopicPartition("dlq", 0)], {0: Range(4, 9), 1: Range(0, 2)})
    assert (found.known, found.notes, found.sets) == (False, [], {0: HandledSet(4), 1: HandledSet(0)})
    assert found.pending({0: Range(4, 9), 1: Range(0, 2)}) == 7


def test_an_offset_that_somebody_else_committed_counts_as_far_as_it_goes() -> None:
    found = understand("dlq", 7, [committed(text="my own notes")], {0: Range(0, 16)})
    assert found.sets[0] == HandledSet(8) != MARKED
    assert understand("dlq", 7, [TopicPartition("dlq", 0, 8)], {0: Range(0, 16)}) == found
    assert found.notes == ["the offset committed for partition 0 of dlq was not written by brokercli: everything below 8 counts as handled"]
    assert found.tags == {}


def test_marks_of_a_newer_version_are_not_guessed_at() -> None:
    with pytest.raises(Failed, match="Which letters in partition 0 of dlq are handled was written by a newer brokercli") as refused:
        understand("dlq", 7, [committed(text="brokercli2:AAAA")], {0: Range(0, 16)})
    assert "upgrade" in str(refused.value.hint)


@pytest.mark.parametrize(("now", "kept"), [(9, 9), (0, 7)])
def test_what_is_committed_keeps_the_topic_that_it_is_of(now: int, kept: int) -> None:
    found = understand("dlq", 0, [committed()], {0: Range(0, 16)})
    found.topic_tag = now
    places = found.offsets([0], found.sets, Room())
    assert places is not None
    assert [(place.topic, place.partition, place.offset) for place in places] == [("dlq", 0, 8)]
    said = read(8, places[0].metadata)
    assert (said.handled, said.topic_tag) == (MARKED, kept)
    assert time() // 60 - 1 <= said.minutes <= time() // 60
    assert found.offsets([0], found.sets, Room(10)) is None
    unknown = understand("dlq", 0, [], {0: Range(0, 2)})
    (place,) = unknown.offsets([0], unknown.sets, Room()) or ()
    assert read(0, place.metadata).topic_tag == 0


def test_a_group_is_told_from_others_by_its_name() -> None:
    assert [topic_of(group) for group in (group_of("orders.dlq"), "brokercli.dlq.", "orders", "x.brokercli.dlq.orders")] == ["orders.dlq", None, None, None]


class Asked:
    """Answers questions about a broker and a group with these, or raises them."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def _answer(self, of: Any) -> dict[Any, Future[Any]]:
        return {of: answered(self._answers.pop(0))}

    def describe_configs(self, resources: list[Any], *, request_timeout: float) -> dict[Any, Future[Any]]:
        return self._answer(resources[0])

    def describe_consumer_groups(self, groups: list[str], *, request_timeout: float) -> dict[Any, Future[Any]]:
        return self._answer(groups[0])

    def list_consumer_group_offsets(self, asked: list[Any], *, require_stable: bool, request_timeout: float) -> dict[Any, Future[Any]]:
        return self._answer(asked[0].group_id)


def limits(**entries: str) -> dict[str, Any]:
    names = {"room": "offset.metadata.max.bytes", "minutes": "offsets.retention.minutes", "transaction": "transaction.max.timeout.ms"}
    return {names[name]: SimpleNamespace(value=value) for name, value in entries.items()}


@pytest.mark.parametrize(("answer", "room", "minutes"), [
    (limits(room="4096", minutes="10080"), CHARACTERS, 10_080), (limits(room="100", minutes="60"), 99, 60), (limits(room="100000", minutes="1"), 10_920, 1),
    (limits(room="100"), CHARACTERS, RETENTION_MINUTES), (limits(room="100", minutes=""), CHARACTERS, RETENTION_MINUTES),
    (KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)), CHARACTERS, RETENTION_MINUTES), (TimeoutError(), CHARACTERS, RETENTION_MINUTES)])
def test_what_a_broker_keeps_with_an_offset_is_asked_and_otherwise_its_default(answer: object, room: int, minutes: int) -> None:
    assert limits_of(cast("Any", Asked(answer)), 1, 5.0) == GroupLimits(Room(room), minutes)
    assert limits_of(cast("Any", Asked()), None, 5.0) == GroupLimits()


def test_how_long_a_transaction_may_last_is_asked_as_well() -> None:
    assert limits_of(cast("Any", Asked(limits(room="100", minutes="60", transaction="20000"))), 1, 5.0) == GroupLimits(Room(99), 60, 20.0)


def test_a_group_that_is_not_there_has_no_members_and_one_that_moves_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handled_group, "COMING_BACK_SECONDS", 0.0)
    two = SimpleNamespace(members=[1, 2])
    moves, none = (KafkaException(KafkaError(code)) for code in (KafkaError.NOT_COORDINATOR, KafkaError.GROUP_ID_NOT_FOUND))
    assert members_of(cast("Any", Asked(moves, moves, two)), "dlq", 60.0) == 2
    assert members_of(cast("Any", Asked(none)), "dlq", 60.0) == 0
    with pytest.raises(NotAuthorised):
        members_of(cast("Any", Asked(KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)))), "dlq", 60.0)
    with pytest.raises(Unreachable):
        members_of(cast("Any", Asked(TimeoutError())), "dlq", 60.0)
    with pytest.raises(Unreachable):
        members_of(cast("Any", Asked(moves)), "dlq", 0.0)


def test_marks_are_asked_for_again_where_the_group_moves_and_nothing_is_made_of_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    awaited: list[str] = []
    monkeypatch.setattr(handled_group, "COMING_BACK_SECONDS", 0.0)
    monkeypatch.setattr(handled_group, "await_coordinators", lambda admin, groups, seconds: awaited.extend(groups))
    places = [TopicPartition("dlq", 0, 7)]
    moves, denied = (KafkaException(KafkaError(code)) for code in (KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.GROUP_AUTHORIZATION_FAILED))
    ours = SimpleNamespace(topic_partitions=[*places, SimpleNamespace(error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))])

    def read_of(*answers: object, seconds: float = 60.0) -> tuple[list[TopicPartition], list[str]]:
        return CommittedOffsets(cast("Any", Asked(*answers)), "dlq", [0], seconds).read()

    stable = SimpleNamespace(topic_partitions=places)
    ending = SimpleNamespace(topic_partitions=[SimpleNamespace(error=KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))])
    assert read_of(moves, moves, stable) == read_of(ending, ending, stable) == (places, [])
    assert awaited == [group_of("dlq")] * 2
    for answer, kind in ((denied, NotAuthorised), (ours, NotAuthorised), (TimeoutError(), Unreachable)):
        with pytest.raises(kind):
            read_of(answer)
    with pytest.raises(Unreachable):
        read_of(moves, seconds=0.0)
