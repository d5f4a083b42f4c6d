"""What `ls` and `describe` say about Kafka topics."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from brokercli.backends.kafka import descriptor
from brokercli.backends.kafka.listing import list_topics
from brokercli.model.address import Address
from brokercli.model.description import Description
from brokercli.model.errors import NotFound
from tests.backends.kafka_topics import Topics


def section(description: Description, title: str) -> list[dict[str, object]]:
    return next(list(map(dict, section.rows)) for section in description.sections if section.title == title)


def test_topics_are_listed_by_name_with_what_they_hold_and_the_brokers_own_are_left_out(topics: Topics) -> None:
    full, empty = topics.make(partitions=3), topics.make()
    for partition in range(3):
        topics.fill(full, [b"x"] * (partition + 1), partition)
    listed = {listing.name: listing for listing in topics.backend().list()}
    assert (listed[full.name].messages, listed[full.name].facts["partitions"]) == (6, 3)
    assert (listed[empty.name].messages, listed[empty.name].facts["partitions"]) == (0, 1)
    assert listed[full.name].kind == "topic"
    assert listed[full.name].resource in descriptor.support
    assert list(listed) == sorted(listed)
    assert not [name for name in listed if name.startswith("__")]


def test_only_what_was_deleted_is_not_counted(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, [b"x"] * 10)
    topics.delete_before(topic, 7)
    assert {listing.name: listing.messages for listing in topics.backend().list(["topic"])}[topic.name] == 3


def test_a_topic_that_is_deleted_while_many_are_asked_about_hides_no_other(topics: Topics) -> None:
    topic, deleted = topics.make(), topics.make()
    topics.fill(topic, [b"x"] * 3)
    there = topics.admin.list_topics(timeout=30).topics
    topics.delete(deleted)
    metadata = SimpleNamespace(topics={name: there[name] for name in (deleted.name, topic.name)})
    assert {listing.name: listing.messages for listing in list_topics(topics.admin, metadata, 10)} == {topic.name: 3, deleted.name: None}


class OneIsMute:
    """What lists offsets while the broker that leads partition 1 of `b` is frozen, and still its leader by the metadata of the others."""

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata

    def list_topics(self, timeout: float) -> Any:
        return self.metadata

    def list_offsets(self, asked: Mapping[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        answers = {place: Future[Any]() for place in asked}
        for place, answer in answers.items():
            if (place.topic, place.partition) == ("b", 1):
                # as the client has it (2.16)
                answer.set_result(SimpleNamespace(offset=OFFSET_INVALID))
            else:
                answer.set_result(SimpleNamespace(offset=0 if type(asked[place]).__name__ == "EarliestSpec" else 5))
        return answers


def test_a_partition_that_does_not_answer_hides_no_topic_and_is_counted() -> None:
    metadata = SimpleNamespace(topics={name: SimpleNamespace(error=None, partitions={number: SimpleNamespace(leader=leader, replicas=[1, 2])
                                                                                      for number, leader in enumerate(leaders)})
                                       for name, leaders in (("a", (1,)), ("b", (1, 2, -1)))})
    one, other = list_topics(OneIsMute(metadata), metadata, 0.1)  # type: ignore[arg-type]
    assert (one.name, one.messages, one.facts) == ("a", 5, {"partitions": 1, "replicas": 2})
    assert (other.name, other.messages) == ("b", None)
    assert other.facts == {"partitions": 3, "replicas": 2, "without leader": 1, "without answer": 1}


def test_there_are_no_queues_to_list(topics: Topics) -> None:
    topics.make()
    assert list(topics.backend().list(["queue", "stream"])) == []


def test_a_topic_is_described_with_its_partitions_and_what_was_set_on_it(topics: Topics) -> None:
    topic = topics.make(partitions=2, retention_ms="3600000", cleanup_policy="compact,delete")
    producer = topics.producer()
    producer.produce(topic.name, b"x", key=b"k", partition=1)
    assert producer.flush(60) == 0
    description = topics.backend().describe(topic)
    assert (description.kind, description.name, description.resource) == ("topic", topic.name, "topic")
    assert description.facts["partitions"] == 2
    assert description.facts["offsets held"] == 1
    assert description.facts["cleanup.policy"] == "compact,delete"
    assert description.facts["retention.ms"] == 3_600_000
    rows = section(description, "partitions")
    assert [(row["partition"], row["low"], row["high"]) for row in rows] == [(0, 0, 0), (1, 0, 1)]
    assert rows[0]["leader"] is not None
    assert section(description, "set on the topic") == [
        {"setting": "cleanup.policy", "value": "compact,delete"}, {"setting": "retention.ms", "value": "3600000"}]
    assert description.missing == []


def test_groups_that_consume_a_topic_are_described_with_their_lag(topics: Topics) -> None:
    topic, other = topics.make(partitions=2), topics.make()
    topics.fill(topic, [b"x"] * 10, 0)
    topics.fill(topic, [b"x"] * 5, 1)
    group = topic.name + "-group"
    consumer = Consumer({"bootstrap.servers": topics.address, "group.id": group, "log_level": 0})
    consumer.commit(offsets=[TopicPartition(topic.name, 0, 4), TopicPartition(topic.name, 1, 5)], asynchronous=False)
    consumer.close()
    try:
        assert section(topics.backend().describe(topic), "consumer groups") == [
            {"group": group, "kind": "classic group", "state": "Empty", "members": 0, "partitions": 2, "lag": 6}]
        assert "consumer groups" not in [section.title for section in topics.backend().describe(other).sections]
        committed = topics.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(60).topic_partitions
        assert sorted((place.partition, place.offset) for place in committed) == [(0, 4), (1, 5)], "describing moved the group"
    finally:
        topics.admin.delete_consumer_groups([group])[group].result(60)


def test_describing_what_is_not_there_is_an_error(topics: Topics) -> None:
    with pytest.raises(NotFound):
        topics.backend().describe(Address(topics.name(), "topic"))


def test_where_a_new_topic_is_to_be_published_to_the_command_that_makes_it_is_named(topics: Topics) -> None:
    name = topics.make().name
    backend = topics.backend()
    with pytest.raises(NotFound) as refused:
        backend.resolve(Address(f"{name}-parked"), "publish")
    assert str(refused.value.hint).startswith(f"did you mean {name}")
    assert str(refused.value.hint).endswith(f"? brokercli declare topic {name}-parked makes it")
    with pytest.raises(NotFound) as refused:
        backend.resolve(Address(f"{name}-parked"), "look")
    assert "declare" not in str(refused.value.hint)


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._DESTROY_BROKER])
def test_a_question_whose_connection_breaks_or_whose_broker_is_forgotten_is_asked_again(topics: Topics, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    topic = topics.make(partitions=2)
    backend = topics.backend()
    connected = backend._consumer
    broken = iter((True, True, False))

    class Breaks:
        def list_topics(self, *asked: Any, **options: Any) -> Any:
            if next(broken):
                raise KafkaException(KafkaError(code, "Failed to get metadata"))
            return connected.list_topics(*asked, **options)

        def poll(self, timeout: float) -> None:
            pass

    monkeypatch.setattr(backend, "_consumer", Breaks())
    assert backend.resolve(topic, "describe") == topic
    assert next(broken, None) is None
    monkeypatch.setattr(backend, "_consumer", connected)
