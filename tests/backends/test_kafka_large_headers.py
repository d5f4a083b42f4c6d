"""Kafka's client does not bound the headers that it reads ahead: where they are large a look goes on with nothing ahead, and loses nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NoReturn

import pytest
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition

from brokercli.backends.kafka.look import KafkaReader
from brokercli.model.address import Address
from brokercli.model.errors import Unreachable
from brokercli.model.message import Record
from brokercli.model.position import Last, PerPartition
from tests.backends.kafka_topics import PATIENCE, Topics, bodies, everything
from tests.backends.test_kafka_open_transactions import transaction

LARGE = bytes(9000)


def store(topics: Topics, topic: Address, partition: int, numbers: Sequence[int], header: bytes | None = None) -> None:
    producer = topics.producer()
    for number in numbers:
        producer.produce(topic.name, b"%d" % number, partition=partition, headers=None if header is None else [("trace", header)])
    assert producer.flush(60) == 0


@pytest.fixture
def topic(topics: Topics) -> Address:
    """Aborted transactions between the records of partition 0 and at its end; large headers from the 20th record of partition 1 on; 3,000
    small records in partition 2."""
    topic = topics.make(3)
    transaction(topics, topic, [b"0", b"1", b"2"], commit=True)
    transaction(topics, topic, [b"gone"] * 5, commit=False)
    transaction(topics, topic, [b"3"], commit=True)
    transaction(topics, topic, [b"gone"] * 5, commit=False)
    store(topics, topic, 1, range(20))
    store(topics, topic, 1, range(20, 60), LARGE)
    store(topics, topic, 2, range(3000))
    return topic


def numbers_in(records: Sequence[Record]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for record in records:
        found[int(record.place["partition"] or 0)].append(int(record.message.body or b""))
    return found


@pytest.mark.parametrize("batch", [1, 7, 2500])
def test_each_record_is_read_once_and_in_its_order(topics: Topics, topic: Address, batch: int) -> None:
    reader = topics.look(topic)
    assert isinstance(reader, KafkaReader)
    reader._batch, before = batch, reader._consumer
    assert numbers_in(everything(reader)) == {0: [*range(4)], 1: [*range(60)], 2: [*range(3000)]}
    # of a batch some are looked at, and which records come in one is the client's
    assert reader._consumer is not before or batch > 1


def test_records_that_come_later_are_followed(topics: Topics, topic: Address) -> None:
    reader = topics.look(topic, PerPartition(((0, 0), (1, 30), (2, 2990))), follow=True)
    records: list[Record] = []
    expected = {0: [*range(4)], 1: [*range(30, 60)], 2: [*range(2990, 3000)]}
    for _ in range(2):
        while len(records) < sum(map(len, expected.values())):
            batch = reader.read(PATIENCE)
            assert batch is not None
            records += batch.records()
        assert numbers_in(records) == expected
        store(topics, topic, 2, [3000])
        expected[2].append(3000)


def test_the_newest_are_found_among_large_ones(topics: Topics) -> None:
    topic = topics.make()
    store(topics, topic, 0, range(50), LARGE)
    assert bodies(everything(topics.look(topic, Last(30)))) == [b"%d" % number for number in range(20, 50)]


def test_where_no_second_client_gets_in_the_first_goes_on(topics: Topics, topic: Address) -> None:
    def turned_away() -> NoReturn:
        raise Unreachable("too many connections")

    reader = topics.look(topic)
    assert isinstance(reader, KafkaReader)
    reader._nothing_ahead, before = turned_away, reader._consumer
    assert numbers_in(everything(reader)) == {0: [*range(4)], 1: [*range(60)], 2: [*range(3000)]}
    assert reader._consumer is before


def test_the_second_client_is_told_who_stored_what_was_read_so_that_it_finds_out_whether_that_is_there_still(
        topics: Topics, topic: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, tuple[int, int | None]] = {}

    def note(reader: KafkaReader, places: Iterable[TopicPartition]) -> None:
        asked.update({place.partition: (place.offset, place.leader_epoch) for place in places})

    monkeypatch.setattr(KafkaReader, "_find_out_what_lies_before", note)
    reader = topics.look(topic)
    assert isinstance(reader, KafkaReader)
    reader._batch, before = 1, reader._consumer
    last: dict[int, KafkaMessage] = {}
    while reader._consumer is before:
        batch = reader.read(PATIENCE)
        assert batch is not None
        last.update({message.partition() or 0: message for message in batch._messages})
    behind = {partition: ((message.offset() or 0) + 1, message.leader_epoch()) for partition, message in last.items()}
    assert asked
    assert {partition: behind[partition] for partition in asked} == asked
