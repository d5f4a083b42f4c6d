"""Partitions whose leader cannot read what it stores, from a remote storage for one: they are asked again, and that is said."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka import Message as KafkaMessage

from brokercli.backends.contract import Reader
from brokercli.backends.kafka import dead_letters, unreadable
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.lost_end import _first_records
from brokercli.backends.kafka.reading import Lent
from brokercli.backends.kafka.unreadable import PATIENT_SECONDS, SILENT_SECONDS, Unreadable
from brokercli.model.errors import Failed
from brokercli.model.position import End, Span, Start
from tests.backends.kafka_topics import Topics, bodies, everything

SAID = KafkaError(KafkaError.UNKNOWN, "Fetch from broker 1 failed.")


class Failing:
    """A client whose broker fails to read a partition so many times before it is asked in earnest."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self.left = times
        self._places: list[TopicPartition] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def assign(self, places: list[TopicPartition]) -> None:
        self._places = places
        self._client.assign(places)

    def poll(self, timeout: float) -> Any:
        if not self.left:
            return self._client.poll(timeout)
        self.left -= 1
        return KafkaMessage(topic=self._places[0].topic, partition=self._places[0].partition, offset=0, error=SAID)


def failing(topics: Topics, monkeypatch: pytest.MonkeyPatch, times: int) -> KafkaBackend:
    """Return a backend that looks with such a client."""
    backend = topics.backend()
    borrow = backend._borrow

    def borrow_failing() -> Lent:
        lent = borrow()
        return lent._replace(consumer=Failing(lent.consumer, times))

    monkeypatch.setattr(backend, "_borrow", borrow_failing)
    return backend


def test_what_cannot_be_read_for_a_moment_is_read_once_it_can_and_that_is_said_once(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.make()
    topics.fill(topic, [b"a", b"b"])
    with failing(topics, monkeypatch, 3).look(topic, Span(Start(), End())) as reader:
        assert bodies(everything(reader)) == [b"a", b"b"]
        assert list(reader.notes) == [f"partition 0 of {topic.name} cannot be read now (Fetch from broker 1 failed); it is asked again for 25 s"]


def test_what_cannot_be_read_for_long_ends_the_look_with_the_reason(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.make()
    topics.fill(topic, [b"a"])
    monkeypatch.setattr(unreadable, "PATIENT_SECONDS", 0.0)

    def read(reader: Reader) -> None:
        with reader:
            everything(reader)

    with pytest.raises(Failed, match=rf"Partition 0 of {topic.name} could not be read for 0 s: Fetch from broker 1 failed\.$") as told:
        read(failing(topics, monkeypatch, 2).look(topic, Span(Start(), End())))
    assert "the broker's log says why" in str(told.value.hint)


def test_where_handled_letters_end_is_asked_again(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, [b"a"])
    consumer = topics.consumer(topic)
    assert _first_records(Failing(consumer, 2), topic.name, {0: 0}, float("inf"), 20) == {0: (0, 0)}  # type: ignore[arg-type]
    with pytest.raises(Failed, match=r"Fetch from broker 1 failed"):
        _first_records(_NeverMore(consumer), topic.name, {0: 0}, 0.0, 20)  # type: ignore[arg-type]


class _NeverMore(Failing):
    """One whose broker fails once, and then says nothing."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, 1)

    def poll(self, timeout: float) -> Any:
        return super().poll(timeout) if self.left else None


def test_that_nothing_comes_is_said_once_until_something_does() -> None:
    told: list[str] = []
    seen = Unreadable("orders", told.append)
    for now in (0.0, SILENT_SECONDS - 1, SILENT_SECONDS, SILENT_SECONDS + 1):
        seen.nothing_came(now)
    assert [note.startswith("nothing of orders has come for 15 s, though its leaders answer") for note in told] == [True]
    seen.heard_of([0])
    seen.nothing_came(60.0)
    seen.nothing_came(60.0 + SILENT_SECONDS)
    assert len(told) == 2


def test_a_partition_that_could_be_read_meanwhile_is_asked_for_as_long_again() -> None:
    told: list[str] = []
    seen = Unreadable("orders", told.append)
    assert seen.failed(0, SAID, 0.0) is None
    seen.heard_of([0])
    assert seen.failed(0, SAID, PATIENT_SECONDS) is None
    assert seen.failed(0, SAID, 2 * PATIENT_SECONDS) is not None
    assert len(told) == 2


def test_which_letter_is_the_oldest_is_not_told_where_one_partition_says_nothing(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.make(2, called=f"{topics.name()}.DLT", retention_ms="-1")
    topics.fill(topic, [b"old"], times=[1_000_000])
    topics.fill(topic, [b"new"], partition=1, times=[2_000_000])
    source = next(one for one in topics.backend().dead_letter_sources() if one.address == topic)
    assert (source.pending, source.oldest, source.remarks) == (2, 1_000_000_000_000, ())
    first = dead_letters._first_records
    monkeypatch.setattr(dead_letters, "_first_records", lambda *asked: {place: record for place, record in first(*asked).items() if place[1]})
    source = next(one for one in topics.backend().dead_letter_sources() if one.address == topic)
    assert (source.pending, source.oldest, source.remarks) == (2, None, ("which is the oldest is not known: nothing of partition 0 came in time",))
