"""Groups that the client can only name: what a share group does is not said of a streams group that looks like one."""

from __future__ import annotations

import pytest
from confluent_kafka import ShareConsumer

from brokercli.model.errors import Failed, Unsupported
from brokercli.model.position import Start
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_topics import Topics
from tests.backends.kafka_wire import streams_heartbeat
from tests.brokers.server import wait_until

JOINS, LEAVES = 0, -1


EITHER = "share or streams group"


def kind_of(groups: Groups, name: str) -> str:
    """Return which kind is listed, and described."""
    listed, described = next(one.kind for one in groups.consumers.find([name])), groups.consumers.describe(name).resource
    return listed if listed == described else f"{listed} and {described}"


def wait_for_kind(groups: Groups, name: str, kind: str) -> None:
    """Wait until a broker knows what was set for a group: its controller confirms that a moment earlier."""
    wait_until(lambda: kind_of(groups, name) == kind, 60, f"{name} to be a {kind}")


def test_a_streams_group_that_has_committed_nothing_is_not_said_to_lose_what_it_gives_up(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    wait_until(lambda: streams_heartbeat(topics.address, group, "one", JOINS, topic.name)[0] == 0, 60, "the coordinator")
    try:
        assert kind_of(consumer_groups, group) == EITHER
        facts = consumer_groups.consumers.describe(group).facts
        assert str(facts["dead letters"]).startswith("if it is a share group, none: ")
        assert str(facts["gives a message up"]).startswith("if it is a share group, after ")
        consumer_groups.configure(group, streams_num_standby_replicas="0")
        wait_for_kind(consumer_groups, group, "streams group")
        assert not {"dead letters", "gives a message up"} & consumer_groups.consumers.describe(group).facts.keys()
        with pytest.raises(Unsupported, match="is a streams group"):
            consumer_groups.consumers.lag(group)
    finally:
        streams_heartbeat(topics.address, group, "one", LEAVES, topic.name)


def test_a_streams_group_that_has_committed_something_tells_how_far_it_is_and_not_that_it_is_dead(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    topics.fill(topic, [b"x"] * 5)
    wait_until(lambda: streams_heartbeat(topics.address, group, "one", JOINS, topic.name)[0] == 0, 60, "the coordinator")
    # a commit without a member is taken while there is none
    streams_heartbeat(topics.address, group, "one", LEAVES, topic.name)
    consumer_groups.commit(group, topic, {0: 2})
    assert streams_heartbeat(topics.address, group, "one", JOINS, topic.name)[0] == 0
    try:
        assert kind_of(consumer_groups, group) == "streams group"
        one = next(iter(consumer_groups.consumers.find([group])))
        assert (one.state, one.members, one.lag, one.reads) == ("", None, 3, (str(topic),))
        described = consumer_groups.consumers.describe(group)
        assert (described.facts["state"], described.facts.get("members"), described.facts["lag"]) == (None, None, 3)
        assert [lag.lag for lag in consumer_groups.consumers.lag(group)] == [3]
        backend = topics.backend()
        readers = next(section.rows for section in backend.describe(topic).sections if section.title == "consumer groups")
        assert [row for row in readers if row["group"] == group] == [
            {"group": group, "kind": "streams group", "state": None, "members": None, "partitions": 1, "lag": 3}]
        assert group not in str(backend.describe(topic).facts.get("perhaps read by", ""))
        with pytest.raises(Failed, match="is at work"):
            consumer_groups.consumers.seek(consumer_groups.consumers.plan_seek(group, Start()))
        with pytest.raises(Failed, match="is at work"):
            consumer_groups.consumers.remove(group)
    finally:
        streams_heartbeat(topics.address, group, "one", LEAVES, topic.name)


def test_a_share_group_is_known_by_what_was_set_for_it(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.join(group, topic, kind=ShareConsumer)
    assert kind_of(consumer_groups, group) == EITHER
    consumer_groups.configure(group, share_delivery_count_limit="3")
    wait_for_kind(consumer_groups, group, "share group")
    assert consumer_groups.consumers.describe(group).facts["gives a message up"] == "after 3 deliveries, or when it is rejected"
    # somebody has set something of both: nothing tells
    consumer_groups.configure(group, streams_num_standby_replicas="0")
    wait_for_kind(consumer_groups, group, EITHER)
