"""A partition whose brokers are away: Kafka's client calls it unknown, and it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from brokercli.backends.kafka.span import Offsets
from brokercli.model.errors import Failed, Unreachable

UNKNOWN = KafkaError(KafkaError._UNKNOWN_PARTITION, "Failed to get offsets: Local: Unknown partition")
"""What the client (2.16.1) says of the one partition of a topic whose broker was killed, in a cluster of three."""


NO_LEADER = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
"""What it says of one of two partitions, where the leader of the other answers (seen on 4.4 with one of two brokers frozen)."""


class Cluster:
    """Answers as the client does. `leaders` are those of the topic's partitions, one list for each time the metadata are asked for."""

    def __init__(self, *leaders: list[int]) -> None:
        self._leaders = list(leaders)
        self._now = self._leaders.pop(0)

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        if all(self._now[one.partition] < 0 for one in asked):
            raise KafkaException(UNKNOWN)
        return [SimpleNamespace(partition=one.partition, offset=7, error=NO_LEADER if self._now[one.partition] < 0 else None) for one in asked]

    def list_topics(self, topic: str, timeout: float) -> Any:
        self._now = self._leaders.pop(0) if self._leaders else self._now
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={number: SimpleNamespace(leader=leader) for number, leader in enumerate(self._now)})})


def offsets(cluster: Any, seconds: float) -> dict[int, int]:
    return Offsets(cluster, "one", seconds).ends([0])


def test_a_partition_without_a_leader_is_said_to_have_none() -> None:
    with pytest.raises(Unreachable, match="Partition 0 of one has no leader: the brokers that keep it are away"):
        offsets(Cluster([-1]), 0.2)


def test_one_of_several_partitions_without_a_leader_is_said_to_have_none() -> None:
    with pytest.raises(Unreachable, match="Partition 1 of one has no leader: the brokers that keep it are away"):
        Offsets(cast("Any", Cluster([2, -1])), "one", 0.2).ends([0, 1])


def test_a_partition_that_is_choosing_its_leader_is_waited_for() -> None:
    assert offsets(Cluster([-1], [-1], [2]), 20.0) == {0: 7}


def test_a_partition_that_does_not_exist_is_not_waited_for() -> None:
    with pytest.raises(Failed, match="Unknown partition"):
        offsets(Cluster([-1], []), 600.0)


class OneIsMute:
    """Answers for the first of two partitions; the leader of the other one says nothing."""

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        return [SimpleNamespace(partition=one.partition, offset=-1001 if one.partition else 7, error=None) for one in asked]

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: SimpleNamespace(leader=1), 1: SimpleNamespace(leader=2)})})


def test_a_leader_that_is_mute_is_not_taken_for_one_that_holds_nothing() -> None:
    with pytest.raises(Unreachable, match="partition 1 of"):
        Offsets(cast("Any", OneIsMute()), "one", 0.2).ranges([0, 1])


def test_that_there_is_nothing_at_a_time_is_an_answer() -> None:
    class Empty(OneIsMute):
        def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
            return [SimpleNamespace(partition=one.partition, offset=-1, error=None) for one in asked]

    assert Offsets(cast("Any", Empty()), "one", 0.2).at_time([0, 1], 5) == {0: -1, 1: -1}
