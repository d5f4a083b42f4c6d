"""A topic's id tells what was handled in it from what was handled in an older topic of the same name, also when the broker is slow to say it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from brokercli.backends.dead_letters import RepairPolicy, State
from brokercli.backends.kafka import dead_letters, topic_ids
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.handled_text import read
from brokercli.backends.kafka.span import PATIENCE_SECONDS
from brokercli.model.address import Address
from brokercli.model.errors import NotFound, Unreachable
from tests.backends.kafka_answers import answered
from tests.backends.kafka_redrive import letters, numbered, redrive, repair, to
from tests.backends.kafka_topics import Topics, everything

pytestmark = pytest.mark.kafka

UNANSWERED = KafkaException(KafkaError(KafkaError._TIMED_OUT))
NOT_YET = KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))


class Describing:
    """An administrator whose questions about topics come to something else so many times, and to what the broker says from then on."""

    def __init__(self, admin: AdminClient, times: int, instead: Exception | None) -> None:
        self._admin, self._times, self._instead = admin, times, instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    def describe_topics(self, topics: Any, **more: Any) -> dict[str, Future[Any]]:
        self._times -= 1
        answers: dict[str, Future[Any]] = self._admin.describe_topics(topics, **more)
        return answers if self._times < 0 else {name: answered(self._instead or SimpleNamespace(topic_id=None)) for name in answers}


def backend(topics: Topics, times: int, instead: Exception | None = None) -> KafkaBackend:
    """Open a backend that is told something else so often; without `instead` that topics have no ids, as before Kafka 2.8."""
    opened = topics.backend()
    opened._administrator = cast("AdminClient", Describing(opened._admin(), times, instead))
    return opened


def ask_for_ids_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on ids after a second, and on nothing else: what the broker is really asked may take its time on a busy machine."""
    whole = topic_ids.ids_of
    monkeypatch.setattr(topic_ids, "ids_of", lambda admin, topics, seconds: whole(admin, topics, min(seconds, 1.0)))


def committed(topics: Topics, dlq: Address) -> TopicPartition:
    """Return what is committed for the letters, with its metadata."""
    asking = Consumer({"bootstrap.servers": topics.address, "group.id": group_of(dlq.name), "log_level": 0})
    try:
        place: TopicPartition = asking.committed([TopicPartition(dlq.name, 0)], 20)[0]
        return place
    finally:
        asking.close()


def handled_and_made_anew(topics: Topics, new: Sequence[bytes]) -> tuple[Address, Address]:
    """Return a topic that was made anew since letters were handled in it, with new ones, and its home: the state outlives the topic,
    as a mirror or a restored backup leaves it."""
    dlq, home = topics.make(), topics.make()
    topics.fill(dlq, numbered(5))
    with repair(topics, dlq) as run:
        redrive(run, home)
    old = committed(topics, dlq)
    topics.delete(dlq)
    topics.make(called=dlq.name)
    topics.fill(dlq, new)
    writing = Consumer({"bootstrap.servers": topics.address, "group.id": group_of(dlq.name), "enable.auto.commit": False, "log_level": 0})
    writing.commit(offsets=[old], asynchronous=False)
    writing.close()
    return dlq, home


@pytest.mark.parametrize("instead", [UNANSWERED, NOT_YET], ids=["unanswered", "not yet"])
def test_a_topic_whose_id_is_not_told_at_once_is_asked_for_again(groups: Topics, instead: Exception) -> None:
    dlq, home = handled_and_made_anew(groups, [b"new %d" % number for number in range(7)])
    with backend(groups, 2, instead).look_letters(dlq) as look:
        assert {look.state(record) for record in everything(look)} == {State.PENDING}
    with backend(groups, 2, instead).repair(dlq, RepairPolicy()) as run:
        assert redrive(run, home).confirmed == 7


def test_without_an_id_that_there_is_nothing_is_said_of_letters_and_nothing_done(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MANY_TOPICS", 10_000)
    dlq, _ = handled_and_made_anew(groups, [b"new"])
    before = committed(groups, dlq)
    ask_for_ids_briefly(monkeypatch)
    for attempt in (lambda: backend(groups, 1_000, UNANSWERED).look_letters(dlq), lambda: backend(groups, 1_000, UNANSWERED).repair(dlq, RepairPolicy())):
        with pytest.raises(Unreachable, match=f"the id of {dlq.name}"):
            attempt()
    (found,) = [source for source in backend(groups, 1_000, UNANSWERED).dead_letter_sources([dlq.name]) if source.address == dlq]
    assert found.pending is None
    assert "what was handled cannot be told" in found.remarks[0]
    after = committed(groups, dlq)
    assert (after.offset, after.metadata) == (before.offset, before.metadata)


def test_without_an_id_no_lag_is_told_of_the_group_that_keeps_the_letters(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, _ = handled_and_made_anew(groups, numbered(7))
    group = group_of(dlq.name)
    assert [(lag.position, lag.end, lag.lag) for lag in groups.backend().consumers().lag(group)] == [(5, 7, 7)]
    ask_for_ids_briefly(monkeypatch)
    assert [(lag.position, lag.end, lag.lag) for lag in backend(groups, 1_000, UNANSWERED).consumers().lag(group)] == [(5, 7, None)]
    description = backend(groups, 1_000, UNANSWERED).consumers().describe(group)
    assert description.facts["lag"] is None
    assert f"lag of topic:{dlq.name} 0: whether this is still the topic" in " ".join(description.missing)


def test_a_topic_that_is_not_there_is_asked_for_a_moment_only(topics: Topics) -> None:
    began = monotonic()
    with pytest.raises(NotFound):
        topics.backend().incarnation(Address(topics.name(), "topic"))
    assert PATIENCE_SECONDS <= monotonic() - began < topics.connection.connect_timeout


def test_a_run_keeps_the_number_of_a_topic_that_it_is_told_no_id_of(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(5))
    run = repair(groups, dlq)
    assert run.settle(to(home, letters(run)[:2])).confirmed == 2
    run.close()
    before = committed(groups, dlq)
    tag = read(before.offset, before.metadata or "").topic_tag
    assert tag
    with backend(groups, 1_000).repair(dlq, RepairPolicy()) as run_without:
        assert redrive(run_without, home).confirmed == 3
    after = committed(groups, dlq)
    assert (after.offset, read(after.offset, after.metadata or "").topic_tag) == (5, tag)
