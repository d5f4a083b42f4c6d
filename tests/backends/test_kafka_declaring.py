"""Declaring topics: planned against what the broker has, applied only where that is still so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AclOperation, ConfigResource, ResourceType

from brokercli.backends.declaring import Declarer
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.settings import SETTINGS
from brokercli.backends.kafka.topic_state import TopicState, read_states
from brokercli.model.declaration import Action, Change, Declaration, Form, RetrySpecification
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable, Unsupported, UsageProblem
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_permissions import allow as permit
from tests.backends.kafka_permissions import as_reader
from tests.backends.kafka_topics import Topics, wait_until_named
from tests.brokers.kafka import Kafka
from tests.brokers.server import wait_until


def topic(name: str, **settings: object) -> Declaration:
    """Declare a topic; settings with `_` for `.`."""
    return Declaration("topic", name, {setting.replace("_", "."): value for setting, value in settings.items()})  # type: ignore[misc]


def only(changes: list[Change]) -> Change:
    assert len(changes) == 1
    return changes[0]


def configured(topics: Topics, name: str) -> dict[str, str]:
    """Return what the broker has, asked without the code under test."""
    resource = ConfigResource(ResourceType.TOPIC, name)
    return {setting: entry.value for setting, entry in topics.admin.describe_configs([resource])[resource].result(60).items()}


def partitions(topics: Topics, name: str) -> int:
    return len(topics.admin.list_topics(name, 10).topics[name].partitions)


def declare(declarer: Declarer, declaration: Declaration) -> Change:
    change = only(declarer.plan([declaration]))
    declarer.apply(change)
    return change


def test_the_settings_are_those_of_the_broker_in_its_own_forms(topics: Topics) -> None:
    """A setting that the broker has and the table lacks could not be declared, and the other way round."""
    broker = configured(topics, topics.make().name)
    table = {setting.name: setting for setting in SETTINGS["topic"]}
    assert set(table) - {"partitions", "replication.factor"} == set(broker)
    for name, text in broker.items():
        match table[name].form:
            case Form.WHOLE | Form.DURATION | Form.SIZE:
                int(text)
            case Form.REAL:
                float(text)
            case Form.FLAG:
                assert text in ("true", "false"), name
        if table[name].choices:
            assert set(text.split(",")) <= set(table[name].choices), name
        assert (table[name].form is Form.DURATION) == name.endswith(".ms"), name


def test_a_topic_that_the_broker_has_not_heard_of_yet_is_planned_as_it_is(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that was just made: for a moment the controller refuses to make it once more, and a broker does not show it."""
    name = topics.make(retention_ms="1000").name
    not_yet: list[list[TopicState]] = []

    def not_at_once(*asked: Any) -> Iterable[TopicState]:
        return not_yet.pop() if not_yet else read_states(*asked)

    monkeypatch.setattr("brokercli.backends.kafka.declaring.read_states", not_at_once)
    for retention, action in ((1000, Action.UNCHANGED), (500, Action.CHANGE)):
        not_yet.append([])
        assert only(topics.backend().declarer().plan([topic(name, retention_ms=retention)])).action is action
        assert not not_yet


def test_a_topic_is_planned_without_being_made_and_made_as_it_was_planned(topics: Topics) -> None:
    name = topics.name()
    declarer = topics.backend().declarer()
    declaration = topic(name, partitions=3, retention_ms=3_600_000, cleanup_policy=["delete", "compact"], min_cleanable_dirty_ratio=0.25)
    planned = only(declarer.plan([declaration]))
    assert planned.action is Action.CREATE
    assert {(difference.setting, difference.have) for difference in planned.differences} == {(setting, None) for setting in declaration.settings}
    assert name not in topics.admin.list_topics(timeout=10).topics, "planning made it"
    declarer.apply(planned)
    assert partitions(topics, name) == 3
    there = configured(topics, name)
    assert (there["retention.ms"], there["min.cleanable.dirty.ratio"]) == ("3600000", "0.25")
    assert set(there["cleanup.policy"].split(",")) == {"compact", "delete"}


def test_what_is_there_as_declared_is_unchanged_however_it_is_written(topics: Topics) -> None:
    name = topics.make(partitions=2, cleanup_policy="compact,delete", retention_ms="1000", preallocate="true", compression_type="lz4").name
    declarer = topics.backend().declarer()
    same = topic(name, partitions=2, replication_factor=1, cleanup_policy=["delete", "compact"], retention_ms=1000, preallocate=True, compression_type="lz4",
                 max_message_bytes=1_048_588, min_cleanable_dirty_ratio=0.5)
    assert only(declarer.plan([same])).action is Action.UNCHANGED
    assert only(declarer.plan([topic(name)])).action is Action.UNCHANGED
    assert only(declarer.plan([topic(name, partitions=-1, replication_factor=-1)])).action is Action.UNCHANGED, "-1 is as many as the cluster gives"


def test_a_change_touches_only_what_is_named(topics: Topics) -> None:
    name = topics.make(retention_ms="1000", segment_ms="70000").name
    planned = declare(topics.backend().declarer(), topic(name, retention_ms=500, max_message_bytes=2_000_000))
    assert planned.action is Action.CHANGE
    assert [(difference.setting, difference.have, difference.want) for difference in planned.differences] == [
        ("retention.ms", 1000, 500), ("max.message.bytes", 1_048_588, 2_000_000)]
    assert any("deleted" in remark for remark in planned.remarks)
    there = configured(topics, name)
    assert (there["retention.ms"], there["max.message.bytes"], there["segment.ms"]) == ("500", "2000000", "70000")


@pytest.mark.parametrize(("before", "after", "says"), [
    ({}, {"retention_bytes": 1000}, "deleted"), ({"retention_ms": "1000"}, {"retention_ms": 2000}, ""), ({}, {"max_message_bytes": 1000}, "refused"),
    ({"min_insync_replicas": "2"}, {"min_insync_replicas": 1}, "once 1 replica has it"), ({}, {"unclean_leader_election_enable": True}, "lost"),
    ({}, {"cleanup_policy": ["compact"]}, "without a key are refused"),
    ({"cleanup_policy": "compact"}, {"cleanup_policy": ["delete"]}, "older than retention.ms"),
    ({"cleanup_policy": "compact"}, {"cleanup_policy": None}, "the broker's own cleanup.policy")])
def test_a_change_says_what_it_does_to_messages(topics: Topics, before: dict[str, str], after: dict[str, object], says: str) -> None:
    planned = only(topics.backend().declarer().plan([topic(topics.make(**before).name, **after)]))
    assert [says in remark for remark in planned.remarks] == ([True] if says else [])


def test_what_is_unset_is_deleted_from_the_topic_though_it_was_the_default_itself(topics: Topics) -> None:
    name = topics.make(retention_ms="604800000", max_message_bytes="2000000").name
    with topics.backend() as backend:
        declarer = backend.declarer()
        change = declare(declarer, topic(name, retention_ms=None))
        assert [(one.setting, one.have, one.want) for one in change.differences] == [("retention.ms", 604_800_000, None)]
        assert "messages beyond the broker's own retention.ms are deleted soon after" in change.remarks
        assert only(declarer.plan([topic(name, retention_ms=None)])).action is Action.UNCHANGED
        (told,) = [one for one in declarer.declared() if one.name == name]
        assert told.settings == {"partitions": 1, "replication.factor": 1, "max.message.bytes": 2_000_000}
        with pytest.raises(UsageProblem, match="cannot be unset"):
            declarer.plan([topic(name, partitions=None)])


def test_partitions_are_added_with_a_warning_and_never_taken_away(topics: Topics) -> None:
    name = topics.make(partitions=2).name
    declarer = topics.backend().declarer()
    planned = declare(declarer, topic(name, partitions=4))
    assert planned.action is Action.CHANGE
    assert any("key" in remark for remark in planned.remarks)
    assert partitions(topics, name) == 4
    fewer = only(declarer.plan([topic(name, partitions=3, retention_ms=5)]))
    assert fewer.action is Action.CANNOT
    obstacles = {difference.setting: difference.obstacle for difference in fewer.differences}
    assert "new topic" in obstacles["partitions"]
    assert obstacles["retention.ms"] == ""
    with pytest.raises(Failed):
        declarer.apply(fewer)
    assert (partitions(topics, name), configured(topics, name)["retention.ms"]) == (4, "604800000")


def test_the_replication_factor_of_a_topic_that_is_there_cannot_be_changed(topics: Topics) -> None:
    name = topics.make().name
    planned = only(topics.backend().declarer().plan([topic(name, replication_factor=3)]))
    assert planned.action is Action.CANNOT
    assert "kafka-reassign-partitions" in planned.differences[0].obstacle


@pytest.mark.parametrize(("settings", "kind", "says"), [
    ({"retention_ms": "soon"}, UsageProblem, "retention.ms"), ({"retention_ms": -5}, UsageProblem, "at least -1"),
    ({"partitions": 0}, UsageProblem, "whole number"), ({"partitions": "many"}, UsageProblem, "whole number"),
    ({"partitions": -7}, UsageProblem, "whole number"),
    ({"replication_factor": 99}, Unsupported, "replication factor"), ({"remote_storage_enable": True}, UsageProblem, "Tiered Storage"),
    ({"no_such_setting": 1}, UsageProblem, "no.such.setting")])
def test_what_the_broker_would_refuse_is_refused_while_it_is_planned(
        topics: Topics, settings: dict[str, object], kind: type[BrokercliError], says: str) -> None:
    name, there = topics.name(), topics.make().name
    declarer = topics.backend().declarer()
    with pytest.raises(kind, match=says):
        declarer.plan([topic(name, **settings)])
    assert name not in topics.admin.list_topics(timeout=10).topics
    before = configured(topics, there)
    if kind is UsageProblem:
        with pytest.raises(kind, match=says):
            declarer.plan([topic(there, **settings)])
    assert configured(topics, there) == before


def test_a_setting_that_keeps_messages_from_being_confirmed_is_pointed_out(topics: Topics) -> None:
    declarer = topics.backend().declarer()
    for name in (topics.name(), topics.make().name):
        planned = only(declarer.plan([topic(name, replication_factor=1, min_insync_replicas=2)]))
        assert any("a broker before Kafka 3.7 confirms nothing" in remark for remark in planned.remarks)


def test_a_name_that_kafka_takes_for_another_ones_is_refused_while_it_is_planned(topics: Topics) -> None:
    name = topics.name()
    declarer = topics.backend().declarer()
    with pytest.raises(UsageProblem, match=f"{name}_new beside {name}.new") as both:
        declarer.plan([topic(f"{name}.new"), topic(f"{name}_new")])
    topics.make(called=f"{name}.old")
    with pytest.raises(UsageProblem, match=f"collides with existing topic: {name}.old") as one:
        declarer.plan([topic(f"{name}_old")])
    assert one.value.hint == both.value.hint
    assert "choose another name" in str(one.value.hint)
    # one that is there is declared beside whatever there is
    assert only(declarer.plan([topic(f"{name}.old")])).action is Action.UNCHANGED


def test_two_declarations_of_one_topic_have_to_agree(topics: Topics) -> None:
    name = topics.name()
    declarer = topics.backend().declarer()
    with pytest.raises(UsageProblem, match="twice"):
        declarer.plan([topic(name, partitions=1), topic(name, partitions=2)])
    first, second = declarer.plan([topic(name, partitions=1), topic(name, partitions=1)])
    assert (first.action, second.action) == (Action.CREATE, Action.UNCHANGED)


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(topics: Topics) -> None:
    name = topics.make(retention_ms="1000").name
    declarer = topics.backend().declarer()
    planned = only(declarer.plan([topic(name, retention_ms=500, segment_ms=70_000)]))
    declare(topics.backend().declarer(), topic(name, retention_ms=2000))
    with pytest.raises(Failed, match=r"retention\.ms"):
        declarer.apply(planned)
    there = configured(topics, name)
    assert (there["retention.ms"], there["segment.ms"]) == ("2000", "604800000")


def test_a_topic_that_came_or_went_or_was_made_anew_meanwhile_is_left_alone(topics: Topics) -> None:
    coming, gone, anew = topics.name(), topics.make(), topics.make()
    declarer = topics.backend().declarer()
    creation, change, removal = declarer.plan([topic(coming, partitions=2), topic(gone.name, retention_ms=1)]) + declarer.plan_removal([topic(anew.name)])
    declare(topics.backend().declarer(), topic(coming, partitions=1))
    topics.delete(gone)
    topics.delete(anew)
    declare(topics.backend().declarer(), topic(anew.name, partitions=1))
    with pytest.raises(Failed, match="meanwhile"):
        declarer.apply(creation)
    assert partitions(topics, coming) == 1
    with pytest.raises(NotFound, match="gone"):
        declarer.apply(change)
    with pytest.raises(Failed, match="made anew"):
        declarer.apply(removal)
    assert anew.name in topics.admin.list_topics(timeout=10).topics


def test_what_is_declared_is_listed_without_defaults_and_plans_to_no_changes(topics: Topics) -> None:
    name = topics.make(partitions=2, cleanup_policy="compact", segment_ms="70000", unclean_leader_election_enable="true").name
    declarer = topics.backend().declarer()
    declared = {declaration.name: declaration for declaration in declarer.declared(["topic"])}
    assert dict(declared[name].settings) == {
        "partitions": 2, "replication.factor": 1, "cleanup.policy": ["compact"], "segment.ms": 70_000, "unclean.leader.election.enable": True}
    assert list(declared) == sorted(declared)
    assert not [name for name in declared if name.startswith("__")]
    assert [change.action for change in declarer.plan([declared[name]])] == [Action.UNCHANGED]
    assert list(declarer.declared(["queue", "stream"])) == []


def test_a_removal_says_what_goes_with_the_topic_and_takes_only_what_is_there(topics: Topics) -> None:
    made = topics.make(partitions=2)
    topics.fill(made, [b"x"] * 10)
    group = made.name + "-group"
    consumer = Consumer({"bootstrap.servers": topics.address, "group.id": group, "log_level": 0})
    consumer.commit(offsets=[TopicPartition(made.name, 0, 4)], asynchronous=False)
    consumer.close()
    try:
        declarer = topics.backend().declarer()
        planned = only(declarer.plan_removal([topic(topics.name()), topic(made.name)]))
        assert (planned.action, planned.declaration.name) == (Action.DELETE, made.name)
        said = " ".join(planned.remarks)
        assert "10 messages" in said
        assert group in said
        assert "lag 6" in said
        assert made.name in topics.admin.list_topics(timeout=10).topics, "planning deleted it"
        declarer.apply(planned)
        assert made.name not in topics.admin.list_topics(timeout=10).topics
    finally:
        topics.admin.delete_consumer_groups([group])[group].exception(10)


def test_a_topic_that_was_empty_and_has_got_messages_since_is_not_deleted(topics: Topics) -> None:
    made = topics.make(partitions=2)
    declarer = topics.backend().declarer()
    planned = only(declarer.plan_removal([topic(made.name)]))
    assert not [remark for remark in planned.remarks if "go with it" in remark]
    topics.fill(made, [b"x"] * 3)
    with pytest.raises(Failed, match="has got 3 messages since it was looked at"):
        declarer.apply(planned)
    assert made.name in topics.admin.list_topics(timeout=10).topics
    declarer.apply(only(declarer.plan_removal([topic(made.name)])))
    assert made.name not in topics.admin.list_topics(timeout=10).topics


@pytest.mark.parametrize("plan", ["plan", "plan_removal"])
def test_the_brokers_own_topics_are_not_declared(topics: Topics, plan: str) -> None:
    declarer = topics.backend().declarer()
    with pytest.raises(UsageProblem, match="the broker's own"):
        getattr(declarer, plan)([topic("__consumer_offsets")])
    with pytest.raises(UsageProblem, match="queue"):
        getattr(declarer, plan)([Declaration("queue", "orders")])


@pytest.mark.parametrize("name", ["", "two words", "x" * 250, "..", "é", "a\0b"])
def test_what_no_topic_can_be_called_is_refused(topics: Topics, name: str) -> None:
    declarer = topics.backend().declarer()
    for asked in (lambda: declarer.plan([topic(name, partitions=1)]), lambda: declarer.plan_removal([topic(name)]),
                  lambda: declarer.retry(RetrySpecification(name, (1_000_000_000,), 2))):
        with pytest.raises(UsageProblem, match="name of a topic"):
            asked()


# --- permissions

def allow(topics: Topics, name: str, *operations: AclOperation) -> None:
    permit(topics.admin, ResourceType.TOPIC, name, *operations)


def test_who_may_only_look_gets_a_plan_and_is_told_that_it_was_not_checked(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    there, coming = guarded_topics.make(retention_ms="1000"), guarded_topics.name()
    for name in (there.name, coming):
        allow(guarded_topics, name, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    with as_reader(guarded_kafka) as backend:
        declarer = backend.declarer()
        change, creation = declarer.plan([topic(there.name, retention_ms=500), topic(coming, partitions=1)])
        assert (change.action, creation.action) == (Action.CHANGE, Action.CREATE)
        for planned in (change, creation):
            assert any("may not" in remark for remark in planned.remarks)
            with pytest.raises(NotAuthorised):
                declarer.apply(planned)
        with pytest.raises(NotAuthorised):
            declarer.apply(only(declarer.plan_removal([topic(there.name)])))
    assert configured(guarded_topics, there.name)["retention.ms"] == "1000"
    assert coming not in guarded_topics.admin.list_topics(timeout=10).topics


def test_who_may_not_see_a_topic_or_its_settings_is_told_so(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    hidden, secret = guarded_topics.make(), guarded_topics.make(partitions=2)
    allow(guarded_topics, secret.name, AclOperation.DESCRIBE)
    with as_reader(guarded_kafka) as backend:
        declarer = backend.declarer()
        with pytest.raises(NotAuthorised, match=hidden.name):
            declarer.plan([topic(hidden.name, partitions=1)])
        with pytest.raises(NotAuthorised, match=r"configuration of .* failed\.$"):
            declarer.plan([topic(secret.name, retention_ms=1)])
        assert only(declarer.plan([topic(secret.name, partitions=2)])).action is Action.UNCHANGED
        assert {declaration.name: dict(declaration.settings) for declaration in declarer.declared()}[secret.name] == {"partitions": 2, "replication.factor": 1}
        assert any(secret.name in note for note in declarer.notes)


def test_settings_are_put_back_where_partitions_may_not_be_added(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    own, inherited = guarded_topics.make(retention_ms="1000"), guarded_topics.make()
    for there in (own, inherited):
        allow(guarded_topics, there.name, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.ALTER_CONFIGS)
    with as_reader(guarded_kafka) as backend:
        declarer = backend.declarer()
        for there, retention in ((own, "1000"), (inherited, "604800000")):
            planned = only(declarer.plan([topic(there.name, partitions=2, retention_ms=500)]))
            with pytest.raises(NotAuthorised, match="adding partitions"):
                declarer.apply(planned)
            wait_until(lambda name=there.name, text=retention: configured(guarded_topics, name)["retention.ms"] == text, 20, "the settings")  # type: ignore[misc]
            assert partitions(guarded_topics, there.name) == 1
        settings = {declaration.name: dict(declaration.settings) for declaration in declarer.declared()}
        assert "retention.ms" not in settings[inherited.name], "a default became a setting of the topic's own"


# --- faults

def test_a_broker_that_does_not_answer_is_unreachable_and_what_it_did_is_not_claimed(private_kafka: Kafka) -> None:
    topics = Topics(private_kafka.address)
    made = topics.make(retention_ms="1000")
    name = made.name
    with KafkaBackend(topics.connection) as backend:
        planned = only(backend.declarer().plan([topic(name, retention_ms=500)]))
        backend._connection = replace(topics.connection, connect_timeout=2.0)
        declarer = backend.declarer()
        private_kafka.pause()
        try:
            with pytest.raises(Unreachable):
                declarer.apply(planned)
            with pytest.raises(Unreachable):
                declarer.plan([topic(name, retention_ms=500)])
        finally:
            private_kafka.resume()
        wait_until_named(private_kafka.address, made)
        backend._connection = topics.connection
        declarer = backend.declarer()

        def planned_again() -> bool:
            try:
                return only(declarer.plan([topic(name, retention_ms=500)])).action in (Action.CHANGE, Action.UNCHANGED)
            except Unreachable:
                return False

        # one broker that is its own controller took a minute to be let in again, once
        wait_until(planned_again, 180, "a plan")
    topics.close()
