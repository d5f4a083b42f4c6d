"""Moving a group: by every position, only while nobody is at work, and only from where it was planned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from brokercli.backends.kafka.groups import Coordinators, Group
from brokercli.model.address import Address
from brokercli.model.consumption import Seek
from brokercli.model.errors import Failed, NotAuthorised, NotFound, OutOfRange, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Start
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_permissions import allow, as_reader
from tests.backends.kafka_redrive import numbered
from tests.backends.kafka_topics import Topics
from tests.brokers.server import wait_until

MILLISECOND = 1_000_000
NOON = 1_790_000_000_000


@pytest.fixture
def topic(topics: Topics) -> Address:
    """Two partitions with ten records each, a second apart, those of the second partition half a second later; the first two
    of the first are gone."""
    made = topics.make(partitions=2, retention_ms="-1")
    topics.fill(made, numbered(10), 0, [NOON + 1000 * number for number in range(10)])
    topics.fill(made, numbered(10), 1, [NOON + 500 + 1000 * number for number in range(10)])
    topics.delete_before(made, 2, 0)
    return made


@pytest.fixture
def group(topic: Address, consumer_groups: Groups) -> str:
    """A group that is at 5 and at 5."""
    name = consumer_groups.name()
    consumer_groups.commit(name, topic, {0: 5, 1: 5})
    return name


def steps(planned: Seek) -> list[tuple[int | None, int | None, int, int | None]]:
    return [(step.partition, step.have, step.want, step.skipped) for step in planned.steps]


@pytest.mark.parametrize(("position", "wanted"), [
    (Start(), [(0, 5, 2, -3), (1, 5, 0, -5)]), (End(), [(0, 5, 10, 5), (1, 5, 10, 5)]), (Number(7), [(0, 5, 7, 2), (1, 5, 7, 2)]),
    (PerPartition(((1, 3),)), [(1, 5, 3, -2)]), (Last(3), [(0, 5, 9, 4), (1, 5, 8, 3)]),
    (Moment((NOON + 6000) * MILLISECOND), [(0, 5, 6, 1), (1, 5, 6, 1)]), (Moment((NOON + 9_000_000) * MILLISECOND), [(0, 5, 10, 5), (1, 5, 10, 5)])])
def test_a_group_is_moved_to_every_kind_of_position(
        topic: Address, group: str, consumer_groups: Groups, position: Position, wanted: list[tuple[int, int, int, int]]) -> None:
    consumers = consumer_groups.consumers
    planned = consumers.plan_seek(group, position)
    assert steps(planned) == wanted
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 5}, "planning moved it"
    consumers.seek(planned)
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 5} | {(topic.name, step[0]): step[2] for step in wanted}


def test_a_seek_can_be_undone_by_what_its_plan_says(topic: Address, group: str, consumer_groups: Groups) -> None:
    consumers = consumer_groups.consumers
    planned = consumers.plan_seek(group, End())
    consumers.seek(planned)
    back = PerPartition(tuple((step.partition, step.have) for step in planned.steps if step.partition is not None and step.have is not None))
    consumers.seek(consumers.plan_seek(group, back))
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 5}


def test_where_no_seek_leads_back_is_said_before(topics: Topics, topic: Address, group: str, consumer_groups: Groups) -> None:
    consumers = consumer_groups.consumers
    assert consumers.plan_seek(group, End()).remarks == ()
    topics.delete_before(topic, 7, 0)
    planned = consumers.plan_seek(group, End())
    assert steps(planned) == [(0, 5, 10, 3), (1, 5, 10, 5)]
    assert ["partition 0: no seek leads back" in remark for remark in planned.remarks] == [True]


def test_a_group_goes_on_where_it_was_moved_to(topic: Address, group: str, consumer_groups: Groups) -> None:
    consumers = consumer_groups.consumers
    consumers.seek(consumers.plan_seek(group, PerPartition(((0, 8), (1, 10)))))
    member = consumer_groups.join(group, topic)
    read: list[int] = []

    def next_one() -> bool:
        message = member.poll(0.1)
        if message is not None and message.error() is None:
            read.append(message.offset())
        return 9 in read

    wait_until(next_one, 20, "the last record")
    assert set(read) <= {8, 9}


@pytest.mark.parametrize("position", [Number(11), Number(1), PerPartition(((0, 1),)), PerPartition(((1, 4), (0, 99)))])
def test_what_is_not_stored_is_out_of_range(topic: Address, group: str, consumer_groups: Groups, position: Position) -> None:
    with pytest.raises(OutOfRange, match="0:2 to 0:10"):
        consumer_groups.consumers.plan_seek(group, position)


def test_a_partition_that_there_is_not_is_refused(group: str, consumer_groups: Groups) -> None:
    with pytest.raises(UsageProblem, match="no partition 7"):
        consumer_groups.consumers.plan_seek(group, PerPartition(((7, 0),)))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_at_work_is_not_moved_and_its_members_are_named(topic: Address, consumer_groups: Groups, protocol: str) -> None:
    group = consumer_groups.name()
    consumers = consumer_groups.consumers
    consumer_groups.commit(group, topic, {0: 5, 1: 5})
    planned_before = consumers.plan_seek(group, Start())
    member = consumer_groups.join(group, topic, client="billing-7", group_protocol=protocol)
    wait_until(lambda: consumers.plan_seek(group, Start()).active == ("billing-7 at 127.0.0.1",), 20, "the member")
    for planned in (planned_before, consumers.plan_seek(group, Start())):
        with pytest.raises(Failed, match="billing-7"):
            consumers.seek(planned)
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 5}
    consumer_groups.leave(member)
    wait_until(lambda: not consumers.plan_seek(group, Start()).active, 20, "the end of the member")
    consumers.seek(consumers.plan_seek(group, Start()))
    assert consumer_groups.committed(group) == {(topic.name, 0): 2, (topic.name, 1): 0}


def test_a_group_that_moved_meanwhile_is_left_where_it_is(topic: Address, group: str, consumer_groups: Groups) -> None:
    consumers = consumer_groups.consumers
    planned = consumers.plan_seek(group, Start())
    consumer_groups.commit(group, topic, {1: 9})
    with pytest.raises(Failed, match="no longer where it was"):
        consumers.seek(planned)
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 9}


def test_a_group_that_is_gone_meanwhile_is_not_made_again(group: str, consumer_groups: Groups) -> None:
    consumers = consumer_groups.consumers
    planned = consumers.plan_seek(group, Start())
    consumers.remove(group)
    with pytest.raises(Failed, match="gone"):
        consumers.seek(planned)
    assert not consumer_groups.exists(group)


def test_of_several_topics_one_is_moved_or_all_where_the_position_means_the_same(
        topics: Topics, topic: Address, group: str, consumer_groups: Groups) -> None:
    other = topics.make()
    topics.fill(other, numbered(4))
    consumer_groups.commit(group, other, {0: 1})
    consumers = consumer_groups.consumers
    for position in (Number(3), Last(2), PerPartition(((0, 3),))):
        with pytest.raises(UsageProblem, match="2 topics"):
            consumers.plan_seek(group, position)
    assert {step.source for step in consumers.plan_seek(group, End()).steps} == {str(topic), str(other)}
    consumers.seek(consumers.plan_seek(group, Number(3), other))
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 5, (other.name, 0): 3}


def test_a_group_can_be_placed_in_a_topic_it_has_not_read_yet(topics: Topics, group: str, consumer_groups: Groups) -> None:
    other = topics.make()
    topics.fill(other, numbered(4))
    consumers = consumer_groups.consumers
    planned = consumers.plan_seek(group, Number(2), other)
    assert steps(planned) == [(0, None, 2, None)]
    assert any("not read" in remark for remark in planned.remarks)
    consumers.seek(planned)
    assert consumer_groups.committed(group)[other.name, 0] == 2
    with pytest.raises(NotFound):
        consumers.plan_seek(group, Start(), Address(topics.name(), "topic"))


def test_a_member_that_joins_at_the_last_moment_is_not_moved(
        topic: Address, group: str, consumer_groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen a moment ago is old; then the broker refuses, and nothing has changed."""
    consumers = consumer_groups.consumers
    planned = consumers.plan_seek(group, Start())
    seen = Coordinators.find
    consumer_groups.join(group, topic, client="billing-7")

    def as_before(self: Coordinators, name: str) -> Group | None:
        now = seen(self, name)
        return replace(now, members=()) if now is not None else None

    monkeypatch.setattr(Coordinators, "find", as_before)
    with pytest.raises(Failed, match="billing-7"):
        consumers.seek(planned)
    assert consumer_groups.committed(group) == {(topic.name, 0): 5, (topic.name, 1): 5}


def test_where_one_topic_may_not_be_moved_the_other_is_put_back(guarded_kafka: GuardedKafka, guarded_topics: Topics, guarded_groups: Groups) -> None:
    mine, theirs = guarded_topics.make(), guarded_topics.make()
    group = guarded_groups.name()
    for topic in (mine, theirs):
        guarded_topics.fill(topic, numbered(5))
        guarded_groups.commit(group, topic, {0: 2})
    for kind, name, operation in ((ResourceType.GROUP, group, AclOperation.READ), (ResourceType.TOPIC, mine.name, AclOperation.READ),
                                  (ResourceType.TOPIC, theirs.name, AclOperation.DESCRIBE)):
        allow(guarded_topics.admin, kind, name, operation)
    with as_reader(guarded_kafka) as backend:
        consumers = backend.consumers()
        planned = consumers.plan_seek(group, Start())
        assert {step.source for step in planned.steps} == {str(mine), str(theirs)}
        with pytest.raises(NotAuthorised, match="Nothing was moved"):
            consumers.seek(planned)
        assert guarded_groups.committed(group) == {(mine.name, 0): 2, (theirs.name, 0): 2}
        consumers.seek(consumers.plan_seek(group, Start(), mine))
    assert guarded_groups.committed(group) == {(mine.name, 0): 0, (theirs.name, 0): 2}
