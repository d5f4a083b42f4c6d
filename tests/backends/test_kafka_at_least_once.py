"""What is said of letters that go without transactions, whatever the destination and the group answer: marked is only what is confirmed, and
each letter has one verdict. Both are scripted here; what real ones do is in `test_kafka_redrive.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.backends.contract import Publisher
from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.at_least_once import AtLeastOnce
from brokercli.backends.kafka.convert import to_kafka
from brokercli.backends.kafka.ledger import Entry, Letter
from brokercli.model.errors import Failed, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts, Verdict
from tests.operations.test_publishing import GoneWhileAccepting, ScriptedPublisher

C, R, NEVER = Verdict.CONFIRMED, Verdict.REFUSED, None


class Group:
    """Has room for so many marks a time, and says what it was told to mark."""

    def __init__(self, *rooms: int, failing: bool = False, another: bool = False) -> None:
        self._rooms = list(rooms)
        self._failing = failing
        self.another = another
        self.handled = SimpleNamespace(sets={0: None})
        self.reread_of: list[set[int]] = []
        self.marked: list[int] = []
        self.commits = 0

    def changed_by_another(self) -> bool:
        return self.another

    def reread(self, partitions: Collection[int]) -> None:
        self.reread_of.append(set(partitions))
        self.another = False

    def entry(self, letters: Sequence[Letter], state: State) -> Entry:
        assert state is State.REDRIVEN
        room = self._rooms.pop(0) if self._rooms else len(letters)
        return Entry(letters[:room], letters[room:], {}, [])

    def passed(self, ends: dict[int, int]) -> Entry:
        return Entry((), (), {}, [])

    def commit(self, entry: Entry) -> None:
        self.commits += 1
        if self._failing:
            raise Unreachable("the group's coordinator is gone")

    def adopt(self, entry: Entry) -> None:
        self.marked += [letter.number for letter in entry.letters]


class NoTopicIsGone:
    def __init__(self) -> None:
        self.closed: dict[str, str] = {}
        self.looked_at: list[str] = []

    def close_to_us(self, topic: str, reason: str) -> None:
        self.closed[topic] = reason

    def gone(self, topics: Sequence[str]) -> list[str]:
        return []

    def look_again(self, topics: Sequence[str]) -> None:
        self.looked_at += topics


def letters(*topics: str) -> list[Letter]:
    return [Letter(number, 0, 100 + number, topic, to_kafka(Message(b"%d" % number))) for number, topic in enumerate(topics)]


def way(group: Group, publishers: dict[str, Publisher], timeout: float = 30.0, topics: NoTopicIsGone | None = None) -> AtLeastOnce:
    opened: Callable[[str], Publisher] = publishers.pop
    destinations: Any = topics or NoTopicIsGone()
    ledger: Any = group
    return AtLeastOnce("orders.dlq", ledger, destinations, opened, timeout, "it was asked for")


def verdicts(receipts: Receipts) -> dict[int, tuple[Verdict, str]]:
    assert len({receipt.index for receipt in receipts.problems}) == len(receipts.problems)
    return {receipt.index: (receipt.verdict, receipt.reason) for receipt in receipts.problems}


def test_what_is_confirmed_is_marked_and_nothing_else_whichever_topic_it_goes_to() -> None:
    group = Group()
    run = way(group, {"a": ScriptedPublisher([C, R, NEVER], [1]), "b": ScriptedPublisher([R, C], [2, 0])})
    for _ in range(2):
        receipts = run.move(letters("a", "b", "a", "b", "a"), State.REDRIVEN)
        assert {index: verdict for index, (verdict, _) in verdicts(receipts).items()} == {1: Verdict.REFUSED, 2: Verdict.REFUSED, 4: Verdict.UNKNOWN}
        assert receipts.confirmed == 2
    assert group.marked == [0, 3] * 2


class Nameless(ScriptedPublisher):
    """Does not say of which messages its verdicts are."""

    def collect(self, timeout: float) -> Receipts:
        return nameless(super().collect(timeout))

    def finish(self, timeout: float) -> Receipts:
        return nameless(super().finish(timeout))


def nameless(receipts: Receipts) -> Receipts:
    return replace(receipts, problems=[replace(receipt, index=-1) for receipt in receipts.problems])


@pytest.mark.parametrize("verdict", [R, NEVER])
def test_where_a_verdict_names_no_letter_none_is_marked_that_may_be_meant(verdict: Verdict | None) -> None:
    group = Group()
    run = way(group, {"a": Nameless([C, verdict, C], [9]), "b": ScriptedPublisher([C], [9])})
    receipts = run.move(letters("a", "a", "a", "b"), State.REDRIVEN)
    assert {index: verdict for index, (verdict, _) in verdicts(receipts).items()} == dict.fromkeys(range(3), Verdict.UNKNOWN)
    assert (receipts.confirmed, len(receipts), group.marked) == (1, 4, [3])


def test_what_there_is_no_room_to_mark_is_not_published() -> None:
    group, publisher = Group(2), ScriptedPublisher([C], [9])
    receipts = way(group, {"a": publisher}).move(letters("a", "a", "a", "a"), State.REDRIVEN)
    assert (publisher.bodies, group.marked, receipts.confirmed) == ([b"0", b"1"], [0, 1], 2)
    assert {index: (verdict, "no room" in reason) for index, (verdict, reason) in verdicts(receipts).items()} == {
        2: (Verdict.REFUSED, True), 3: (Verdict.REFUSED, True)}


def test_where_there_is_room_for_none_the_run_says_so() -> None:
    run = way(Group(0), {})
    assert run.move(letters("a"), State.REDRIVEN).refused == 1
    assert isinstance(run.failure, Failed)
    assert run.move(letters("a"), State.REDRIVEN).refused == 1


def test_what_is_stored_and_cannot_be_marked_any_more_is_in_doubt() -> None:
    group = Group(3, 1)
    receipts = way(group, {"a": ScriptedPublisher([C], [9])}).move(letters("a", "a", "a"), State.REDRIVEN)
    assert (group.marked, receipts.confirmed) == ([0], 1)
    assert {index: (verdict, reason.partition(":")[0]) for index, (verdict, reason) in verdicts(receipts).items()} == dict.fromkeys(
        (1, 2), (Verdict.UNKNOWN, "stored at its destination, but not marked here"))


def test_where_the_group_does_not_take_the_mark_what_was_stored_is_in_doubt_and_nothing_follows() -> None:
    group = Group(failing=True)
    run = way(group, {"a": ScriptedPublisher([C, R], [9])})
    receipts = run.move(letters("a", "a"), State.REDRIVEN)
    assert {index: verdict for index, (verdict, _) in verdicts(receipts).items()} == {0: Verdict.UNKNOWN, 1: Verdict.REFUSED}
    assert isinstance(run.failure, Unreachable)
    again = run.move(letters("a", "a"), State.REDRIVEN)
    assert (again.refused, again.confirmed, group.marked) == (2, 0, [])
    run.record_passed({0: 5})
    assert isinstance(run.failure, Unreachable)


def test_of_letters_that_are_only_marked_it_is_not_said_that_they_are_stored_somewhere() -> None:
    run = way(Group(failing=True), {})
    receipts = run.move([Letter(0, 0, 100), Letter(1, 0, 101)], State.REDRIVEN)
    assert verdicts(receipts) == dict.fromkeys(range(2), (Verdict.UNKNOWN, "the group's coordinator is gone"))
    assert run.failure is not None
    assert "put back a second time" not in str(run.failure.hint)


def test_what_a_publisher_that_is_gone_had_taken_has_its_verdict_and_the_rest_was_never_sent() -> None:
    group = Group()
    run = way(group, {"a": GoneWhileAccepting([C, NEVER], [1]), "b": ScriptedPublisher([C], [9])})
    receipts = run.move(letters("a", "a", "a", "a", "b"), State.REDRIVEN)
    assert verdicts(receipts) == {1: (Verdict.UNKNOWN, ""), 2: (Verdict.REFUSED, "gone"), 3: (Verdict.REFUSED, "gone"), 4: (Verdict.REFUSED, "gone")}
    assert (receipts.confirmed, group.marked) == (1, [0])


@pytest.mark.parametrize(("timeout", "closed", "in_part"), [(0.0, ["a"], ["c"]), (30.0, [], [])], ids=["for as long as it had", "for a moment"])
def test_a_topic_that_confirms_nothing_gets_no_more_and_the_others_do(timeout: float, closed: list[str], in_part: list[str]) -> None:
    group, topics = Group(), NoTopicIsGone()
    run = way(group, {"a": ScriptedPublisher([NEVER], [9]), "b": ScriptedPublisher([C], [9]), "c": ScriptedPublisher([C, NEVER], [9])}, timeout, topics)
    assert run.move(letters("a", "b", "c", "c"), State.REDRIVEN).confirmed == 2
    assert (list(topics.closed), topics.looked_at, run.failure, group.marked) == (closed, in_part, None, [1, 2])


def test_beside_another_run_nothing_is_published() -> None:
    run = way(Group(another=True), {})
    assert run.move(letters("a", "a"), State.REDRIVEN).refused == 2
    assert "Another redrive" in str(run.failure)


def test_what_another_run_has_marked_while_copies_were_on_their_way_is_not_written_over() -> None:
    group = Group()
    publisher = ScriptedPublisher([C], [9])
    finish = publisher.finish

    def finish_late(timeout: float) -> Receipts:
        group.another = True
        return finish(timeout)

    publisher.finish = finish_late  # type: ignore[method-assign]
    run = way(group, {"a": publisher})
    receipts = run.move(letters("a", "a"), State.REDRIVEN)
    assert (receipts.confirmed, group.reread_of, group.marked) == (2, [{0}], [0, 1])
    assert "Another redrive" in str(run.failure)
    assert run.move(letters("a"), State.REDRIVEN).refused == 1


@pytest.mark.parametrize(("failing", "tries"), [(False, 2), (True, 1)])
def test_that_nothing_is_stored_up_to_an_offset_is_entered_as_long_as_the_group_takes_it(failing: bool, tries: int) -> None:
    group = Group(failing=failing)
    run = way(group, {})
    run.record_passed({0: 5})
    assert isinstance(run.failure, Unreachable) is failing
    run.record_passed({0: 9})
    assert group.commits == tries


def test_that_nothing_is_stored_up_to_an_offset_is_not_written_over_what_another_run_has_entered() -> None:
    group = Group(another=True)
    way(group, {}).record_passed({0: 5})
    assert group.commits == 0
