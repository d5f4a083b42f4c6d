"""Groups: who they are and how far they are, without joining; and which may not be touched."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, ConsumerGroupType, KafkaError, KafkaException, ShareConsumer
from confluent_kafka.admin import AclOperation, AdminClient, ResourceType

from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.groups import Coordinators, without_coordinator
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.patience import Patience
from brokercli.model.consumption import Consumption, Lag
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable, Unsupported
from brokercli.model.position import End, Start
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_permissions import allow, as_reader
from tests.backends.kafka_redrive import letters, numbered, repair, to
from tests.backends.kafka_topics import Topics, wait_until_named
from tests.brokers.kafka import Kafka
from tests.brokers.server import wait_until


def found(groups: Groups, name: str) -> Consumption:
    return next(one for one in groups.consumers.find() if one.name == name)


def test_a_group_is_found_with_its_lag_and_what_it_reads(topics: Topics, consumer_groups: Groups) -> None:
    orders, payments = topics.make(partitions=2), topics.make()
    topics.fill(orders, numbered(10), 0)
    topics.fill(orders, numbered(4), 1)
    topics.fill(payments, numbered(3))
    group = consumer_groups.name()
    consumer_groups.commit(group, orders, {0: 7})
    assert (found(consumer_groups, group).lag, found(consumer_groups, group).facts) == (3, {"remark": "lag as far as known: not that of 1 of 2 partitions"})
    consumer_groups.commit(group, orders, {1: 4})
    consumer_groups.commit(group, payments, {0: 1})
    one = found(consumer_groups, group)
    assert (one.kind, one.state, one.members, one.lag, one.facts) == ("classic group", "Empty", 0, 5, {})
    assert set(one.reads) == {str(orders), str(payments)}
    assert [narrowed.name for narrowed in consumer_groups.consumers.find([f"{group[:-2]}*"])] == [group]
    assert list(consumer_groups.consumers.find([f"{group}-not"])) == []
    assert group in consumer_groups.consumers.names()


def test_lag_is_told_for_each_partition_also_those_without_an_offset(topics: Topics, consumer_groups: Groups) -> None:
    topic = topics.make(partitions=3)
    topics.fill(topic, numbered(10), 0)
    topics.fill(topic, numbered(6), 1)
    topics.delete_before(topic, 4, 1)
    group = consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 3, 1: 1})
    assert list(consumer_groups.consumers.lag(group)) == [
        Lag(str(topic), 0, 3, 10, 0, 7), Lag(str(topic), 1, 1, 6, 4, 2), Lag(str(topic), 2, None, 0, 0, None)]


def test_the_lag_of_an_offset_beyond_the_end_is_not_called_none(topics: Topics, consumer_groups: Groups) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(2))
    group = consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 9})
    assert [(lag.position, lag.end, lag.lag) for lag in consumer_groups.consumers.lag(group)] == [(9, 2, None)]
    assert any("beyond the end" in missing for missing in consumer_groups.consumers.describe(group).missing)


@pytest.mark.parametrize(("protocol", "kind"), [("classic", "classic group"), ("consumer", "consumer group")])
def test_members_are_told_with_where_they_run_and_what_they_read(topics: Topics, consumer_groups: Groups, protocol: str, kind: str) -> None:
    topic = topics.make(partitions=2)
    group = consumer_groups.name()
    consumer_groups.join(group, topic, client="billing-7", group_protocol=protocol)
    wait_until(lambda: found(consumer_groups, group).state == "Stable", 20, "a stable group")
    one = found(consumer_groups, group)
    assert (one.kind, one.members, one.reads) == (kind, 1, (str(topic),))
    description = consumer_groups.consumers.describe(group)
    assert description.facts["state"] == "Stable"
    members = next(section.rows for section in description.sections if section.title == "members")
    assert [(row["client"], row["reads"]) for row in members] == [("billing-7", f"{topic.name} 0,1")]
    assert members[0]["host"] == "127.0.0.1"
    assert [lag.member for lag in consumer_groups.consumers.lag(group)] == ["billing-7 at 127.0.0.1"] * 2
    with pytest.raises(Failed, match="billing-7"):
        consumer_groups.consumers.remove(group)
    assert consumer_groups.exists(group)


def test_a_share_group_is_named_and_nothing_is_claimed_about_it(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.join(group, topic, kind=ShareConsumer)
    one = found(consumer_groups, group)
    assert (one.kind, one.lag, one.members) == ("share or streams group", None, None)
    assert consumer_groups.consumers.describe(group).missing
    for refused in (lambda: consumer_groups.consumers.lag(group), lambda: consumer_groups.consumers.plan_seek(group, Start())):
        with pytest.raises(Unsupported, match="share"):
            refused()


def test_a_share_group_says_when_it_gives_up_and_where_its_letters_go(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    dead = topics.make(called=f"dlq.{topic.name}", errors_deadletterqueue_group_enable="true")
    consumer_groups.join(group, topic, kind=ShareConsumer)
    described = consumer_groups.consumers.describe(group)
    assert str(described.facts["gives a message up"]).startswith("if it is a share group, after 5 deliveries")
    assert str(described.facts["dead letters"]).startswith("if it is a share group, none")
    elsewhere = topics.make(called=f"{topic.name}.dlq", errors_deadletterqueue_group_enable="true")
    consumer_groups.configure(group, errors_deadletterqueue_topic_name=elsewhere.name)
    lost = f"what is given up is skipped for good; {elsewhere} takes none of it: its name does not begin with dlq. "
    wait_until(lambda: str(consumer_groups.consumers.describe(group).facts["dead letters"]).startswith(f"none: {lost}"), 20, "the setting")
    flow = topics.backend().flow(topic)
    assert [note[:len(lost)] for note in flow.nodes[f"consumer {group}"].notes] == [lost]
    assert [edge for edge in flow.edges if edge.source == f"consumer {group}"] == []
    consumer_groups.configure(group, errors_deadletterqueue_topic_name=dead.name, share_delivery_count_limit="2")
    wait_until(lambda: str(consumer_groups.consumers.describe(group).facts["dead letters"]).startswith(str(dead)), 20, "the setting")
    assert str(consumer_groups.consumers.describe(group).facts["gives a message up"]).startswith("after 2 deliveries")
    flow = topics.backend().flow(topic)
    assert [edge.why for edge in flow.edges if (edge.source, edge.target) == (f"consumer {group}", str(dead))] == [
        "given up after 2 deliveries, or when it is rejected"]
    assert any(group in missing for missing in flow.missing)
    assert group in str(topics.backend().describe(topic).facts["perhaps read by"])


def test_groups_whose_coordinator_is_gone_are_missed() -> None:
    """On three brokers, one of them killed, Kafka 4.4 left the groups out whose offsets only that one had, and said nothing."""
    for leaders, says in (([1, 3, 1], []), ([1, -1, 3], ["1 of the 3"])):
        partitions = {number: SimpleNamespace(leader=leader) for number, leader in enumerate(leaders)}
        told = without_coordinator(SimpleNamespace(topics={"__consumer_offsets": SimpleNamespace(partitions=partitions)}))
        assert [part in note for part, note in zip(says, told, strict=True)] == [True] * len(says)
    assert without_coordinator(SimpleNamespace(topics={})) == [], "nobody has committed anything yet"


def test_looking_at_groups_changes_nothing(topics: Topics, consumer_groups: Groups) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(5))
    group = consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 2})
    before = set(consumer_groups.consumers.names())
    consumer_groups.consumers.lag(group)
    consumer_groups.consumers.describe(group)
    consumer_groups.consumers.plan_seek(group, Start())
    assert list(consumer_groups.consumers.find([group]))
    assert consumer_groups.committed(group) == {(topic.name, 0): 2}
    assert not [name for name in set(consumer_groups.consumers.names()) - before if "brokercli" in name and "dlq" not in name]


def test_a_group_that_is_not_there_is_not_found(consumer_groups: Groups) -> None:
    name = consumer_groups.name()
    consumers = consumer_groups.consumers
    for asked in (lambda: consumers.lag(name), lambda: consumers.describe(name), lambda: consumers.remove(name), lambda: consumers.plan_seek(name, Start())):
        with pytest.raises(NotFound, match=name):
            asked()
    assert not consumer_groups.exists(name)


def test_the_beginning_of_a_name_is_not_taken_for_the_name(topics: Topics, consumer_groups: Groups) -> None:
    """The client reads names up to a NUL, which an address may hold, and crashes over a lone surrogate."""
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 0})
    consumers = consumer_groups.consumers
    for name in (f"{group}\0rest", "", "\udcff"):
        for asked in (consumers.lag, consumers.remove, consumers.describe):
            with pytest.raises(NotFound):
                asked(name)
    assert list(consumers.find([f"{group[:-1]}[p]"])) == [], "only * and ? are patterns"
    assert consumer_groups.exists(group)


def test_the_group_of_letters_that_are_gone_can_go(groups: Topics, consumer_groups: Groups) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(2))
    run = repair(groups, dlq)
    run.settle(to(home, letters(run)[:1]))
    run.close()
    name = group_of(dlq.name)
    wait_until(lambda: consumer_groups.exists(name), 20, name)
    groups.delete(dlq)
    consumer_groups.consumers.remove(name)
    assert not consumer_groups.exists(name)


def test_a_group_without_members_is_removed_with_its_offsets(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 0})
    consumer_groups.consumers.remove(group)
    assert not consumer_groups.exists(group)
    with pytest.raises(NotFound):
        consumer_groups.consumers.lag(group)


def test_nobody_can_pause_a_group(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 0})
    for asked in (lambda: consumer_groups.consumers.pause(group, 0), lambda: consumer_groups.consumers.resume(group)):
        with pytest.raises(Unsupported, match="pause"):
            asked()


def test_the_group_of_handled_letters_says_what_it_keeps_counts_what_is_pending_and_is_left_alone(groups: Topics, consumer_groups: Groups) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(6))
    run = repair(groups, dlq)
    records = letters(run)
    run.settle(to(home, [records[0], records[3]]))
    name = group_of(dlq.name)
    wait_until(lambda: sum(lag.lag or 0 for lag in consumer_groups.consumers.lag(name)) == 4, 20, "four pending letters")
    one = found(consumer_groups, name)
    assert (one.kind, one.lag) == ("handled letters", 4)
    assert dlq.name in str(one.facts["remark"])
    assert dlq.name in str(consumer_groups.consumers.describe(name).facts["keeps"])
    before = consumer_groups.committed(name)
    consumers = consumer_groups.consumers
    for asked in (lambda: consumers.goes_with(name), lambda: consumers.remove(name), lambda: consumers.plan_seek(name, Start())):
        with pytest.raises(Failed, match="put back") as refused:
            asked()
        assert "dlq inspect" in str(refused.value.hint)
    assert consumer_groups.committed(name) == before


# --- permissions and faults

def test_who_may_only_describe_a_group_sees_its_lag_and_cannot_remove_it(guarded_kafka: GuardedKafka, guarded_topics: Topics, guarded_groups: Groups) -> None:
    topic = guarded_topics.make()
    guarded_topics.fill(topic, numbered(5))
    group, hidden = guarded_groups.name(), guarded_groups.name()
    guarded_groups.commit(group, topic, {0: 2})
    guarded_groups.commit(hidden, topic, {0: 2})
    allow(guarded_topics.admin, ResourceType.TOPIC, topic.name, AclOperation.DESCRIBE)
    allow(guarded_topics.admin, ResourceType.GROUP, group, AclOperation.DESCRIBE)
    with as_reader(guarded_kafka) as backend:
        consumers = backend.consumers()
        assert [one.lag for one in consumers.find([group])] == [3]
        assert hidden not in consumers.names()
        with pytest.raises(NotAuthorised, match=hidden):
            consumers.lag(hidden)
        with pytest.raises(NotAuthorised, match=group):
            consumers.remove(group)
        planned = consumers.plan_seek(group, Start())
        with pytest.raises(NotAuthorised, match=group):
            consumers.seek(planned)
    assert guarded_groups.committed(group) == {(topic.name, 0): 2}


LOADING = KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))


class StillLoading:
    """A broker that answers a few times that it still loads its groups. On a real one that lasts a hundredth of a second."""

    def __init__(self, answers: int) -> None:
        self.answers = answers

    def list_consumer_groups(self, request_timeout: float) -> Future[Any]:
        self.answers -= 1
        there = SimpleNamespace(group_id="billing", type=ConsumerGroupType.CLASSIC)
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(valid=[there], errors=[]) if self.answers < 0 else SimpleNamespace(valid=[], errors=[LOADING]))
        return answer

    def list_groups(self, timeout: float) -> list[Any]:
        self.answers -= 1
        if self.answers >= 0:
            raise LOADING
        return []


def test_groups_that_a_broker_still_loads_are_waited_for() -> None:
    groups = Coordinators(cast("AdminClient", StillLoading(2)), Patience(20))
    assert groups.listed() == {"billing": "classic group"}
    groups = Coordinators(cast("AdminClient", StillLoading(2)), Patience(20))
    assert groups.foreign(()) == {}
    assert groups.notes == []


def test_groups_that_a_broker_does_not_come_to_load_are_a_failure_and_not_none() -> None:
    groups = Coordinators(cast("AdminClient", StillLoading(1_000)), Patience(0.3))
    with pytest.raises(BrokercliError, match="load in progress"):
        groups.listed()
    assert groups.foreign(()) == {}
    assert "share groups are missing" in groups.notes[0]


class LoadingAgain:
    """A client whose coordinator answers twice that it still loads its groups to what would change one, and then does it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._answers = 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _is_loading(self) -> bool:
        self._answers -= 1
        return self._answers >= 0

    def alter_consumer_group_offsets(self, requests: list[Any], **more: Any) -> dict[str, Future[Any]]:
        return self._refused(requests[0].group_id) or self._client.alter_consumer_group_offsets(requests, **more)  # type: ignore[no-any-return]

    def delete_consumer_groups(self, names: list[str], **more: Any) -> dict[str, Future[Any]]:
        return self._refused(names[0]) or self._client.delete_consumer_groups(names, **more)  # type: ignore[no-any-return]

    def _refused(self, group: str) -> dict[str, Future[Any]]:
        answer: Future[Any] = Future()
        answer.set_exception(LOADING)
        return {group: answer} if self._is_loading() else {}

    def commit(self, **what: Any) -> Any:
        if self._is_loading():
            raise LOADING
        return self._client.commit(**what)


def test_a_group_is_moved_and_removed_once_its_coordinator_has_loaded_it(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    topics.fill(topic, numbered(3))
    consumer_groups.commit(group, topic, {0: 0})
    backend = topics.backend()
    backend._administrator = cast("AdminClient", LoadingAgain(backend._admin()))
    consumers = backend.consumers()
    consumers.seek(consumers.plan_seek(group, End()))
    assert consumer_groups.committed(group) == {(topic.name, 0): 3}
    backend._administrator = cast("AdminClient", LoadingAgain(topics.admin))
    backend.consumers().remove(group)
    assert not consumer_groups.exists(group)


def test_letters_are_marked_once_the_coordinator_has_loaded_their_group(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(3))
    run = repair(groups, dlq, guarantee="at-least-once")
    run._ledger._consumer = cast("Consumer", LoadingAgain(run._ledger._consumer))
    receipts = run.settle(to(home, letters(run)))
    assert (receipts.confirmed, receipts.unknown) == (3, 0)


def test_a_broker_that_does_not_answer_is_unreachable(private_kafka: Kafka) -> None:
    topics = Topics(private_kafka.address)
    topic = topics.make()
    made = Groups(topics)
    group = made.name()
    made.commit(group, topic, {0: 0})
    with KafkaBackend(topics.connection) as backend:
        planned = backend.consumers().plan_seek(group, Start())
        backend._connection = replace(topics.connection, connect_timeout=2.0)
        consumers = backend.consumers()
        private_kafka.pause()
        try:
            for asked in (lambda: consumers.lag(group), lambda: list(consumers.find()), lambda: consumers.seek(planned)):
                with pytest.raises(Unreachable):
                    asked()
        finally:
            private_kafka.resume()
        wait_until_named(private_kafka.address, topic)
        backend._connection = topics.connection
        consumers = backend.consumers()

        def answers() -> bool:
            try:
                return [lag.position for lag in consumers.lag(group)] == [0]
            except Unreachable:
                return False

        wait_until(answers, 60, "the broker")
    made.close()
    topics.close()
