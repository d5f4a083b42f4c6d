"""A leader that does not answer while a look waits is said to be silent, and nobody else is."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from brokercli.backends.kafka import mute as mute_module
from brokercli.backends.kafka.mute import MuteLeaders
from brokercli.model.position import End, Span
from tests.backends.kafka_topics import Topics
from tests.brokers.kafka import Kafka

MUTE = SimpleNamespace(offset=-1001, error=None)
"""What the client (2.16) gives for a leader that is mute, where another one has answered."""
LEADERLESS = SimpleNamespace(offset=-1001, error=KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
ANSWERED = SimpleNamespace(offset=7, error=None)
MOVING = SimpleNamespace(offset=-1001, error=KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))


class Cluster:
    """Answers as the client does; an error is what it raises where no partition has an answer."""

    def __init__(self, *answers: list[Any] | KafkaError) -> None:
        self._answers = list(answers)

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        answers = self._answers.pop(0)
        if isinstance(answers, KafkaError):
            raise KafkaException(answers)
        return [SimpleNamespace(partition=one.partition, **vars(answers[one.partition])) for one in asked]


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mute_module, "ASK_SECONDS", 0.0)


def told(*answers: list[Any] | KafkaError, heard_before: tuple[int, int] | None = None) -> list[str]:
    """Return what is told of partitions 0 and 1; `heard_before` says before which question something came of which partition."""
    cluster, leaders = Cluster(*answers), MuteLeaders("orders")
    said = []
    for number in range(len(answers)):
        if heard_before is not None and heard_before[0] == number:
            leaders.heard_of([heard_before[1]])
        said.append(leaders.ask(cast("Any", cluster), [0, 1]))
    return [one for one in said if one is not None]


@pytest.mark.parametrize("silence", [MUTE, LEADERLESS])
def test_a_leader_that_leaves_two_questions_unanswered_is_told_once(silence: Any) -> None:
    notes = told([ANSWERED, silence], [ANSWERED, silence], [ANSWERED, silence])
    assert notes == ["no leader of partition 1 of orders has answered for 0 s; what is stored there is shown once one does"]


def test_where_nobody_answers_the_topic_is_named() -> None:
    nobody = KafkaError(KafkaError._TIMED_OUT)
    assert told(nobody, nobody) == ["no leader of orders has answered for 0 s; what is stored there is shown once one does"]


@pytest.mark.parametrize("answers", [
    ([ANSWERED, MUTE],), ([ANSWERED, MUTE], [ANSWERED, ANSWERED], [ANSWERED, MUTE]), ([ANSWERED, MOVING], [ANSWERED, MOVING]),
    (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED),) * 2], ids=["once", "now and then", "which leader is being chosen", "not permitted to ask"])
def test_nothing_is_told_of_a_leader_that_may_well_answer(answers: Any) -> None:
    assert told(*answers) == []


def test_nothing_is_told_of_a_partition_of_which_something_came_in_between() -> None:
    assert told([ANSWERED, MUTE], [ANSWERED, MUTE], heard_before=(1, 1)) == []
    assert len(told([ANSWERED, MUTE], [ANSWERED, MUTE], heard_before=(1, 0))) == 1


def test_one_that_answered_and_is_silent_again_is_told_again() -> None:
    both = [ANSWERED, MUTE], [ANSWERED, MUTE]
    assert len(told(*both, [ANSWERED, ANSWERED], *both)) == 2


def test_a_tail_of_a_frozen_broker_says_so_and_shows_what_comes_when_it_goes_on(private_kafka: Kafka) -> None:
    topics = Topics(private_kafka.address)
    topic = topics.make()
    reader = topics.backend().look(topic, Span(End()))
    assert reader.read(0.3) is None
    assert not reader.notes
    private_kafka.pause()
    deadline = monotonic() + 60
    while not reader.notes:
        assert monotonic() < deadline
        assert reader.read(0.05) is None
    assert f"no leader of {topic.name} has answered for" in reader.notes[0]
    private_kafka.resume()
    topics.fill(topic, [b"after"])
    batch = None
    while batch is None:
        assert monotonic() < deadline
        batch = reader.read(0.05)
    assert (batch.bodies(), len(reader.notes)) == ([b"after"], 1)
    reader.close()
    topics.close()
