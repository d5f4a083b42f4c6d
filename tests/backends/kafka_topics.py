"""Topics for one test, on a broker that many tests share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from time import monotonic
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from brokercli.backends.contract import Publisher, PublishPolicy, Reader
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.handled_group import group_of
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.message import Message, Record
from brokercli.model.position import End, Position, Span, Start
from brokercli.model.receipt import Receipts, Verdict
from tests.brokers.server import wait_until
from tests.native.kafka import wait_until_closed

IN_PARTS = pytest.mark.parametrize("in_parts", [False, True], ids=["one by one", "in parts"])
"""The two ways in which bodies are published."""

PATIENCE = 60.0
"""Seconds that a busy machine may take to answer."""
_LATEST = -1
_UNANSWERED = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_CONTROLLER)
_FORGOTTEN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


class Topics:
    """Makes topics with unnamed-by-anyone-else names and forgets them at the end; publishes and reads through the backend."""

    def __init__(self, address: str) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self.connection = Connection("kafka", ((host, int(port)),), connect_timeout=PATIENCE)
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        # a consumer's questions create no topics
        self._asking = Consumer({"bootstrap.servers": address, "group.id": "tests", "log_level": 0})
        self._made: list[str] = []
        self._opened: list[KafkaBackend | Publisher | Reader | Consumer] = []

    def name(self) -> str:
        """Return a name for a topic that is made elsewhere; it is deleted too."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self._made.append(name)
        return name

    def make(self, partitions: int = 1, called: str | None = None, **settings: str) -> Address:
        """Create a topic; settings with `_` for `.`. One that is given messages with old times wants `retention_ms="-1"`: every five minutes
        the broker deletes what is older than its retention."""
        name = called or self.name()
        if name not in self._made:
            self._made.append(name)
        config = {setting.replace("_", "."): value for setting, value in settings.items()}
        self._create(NewTopic(name, partitions, 1, config=config))
        self.wait_led(Address(name, "topic"), partitions)
        return Address(name, "topic")

    def _create(self, topic: NewTopic) -> None:
        """Create it. The test before may have frozen the broker: a question that was under way while it lost and won its own election
        is never answered (seen on 4.4), so it is asked again."""
        deadline = monotonic() + 4 * PATIENCE
        unanswered = False
        while True:
            try:
                self.admin.create_topics([topic], request_timeout=PATIENCE)[topic.topic].result(2 * PATIENCE)
                return
            except KafkaException as problem:
                if unanswered and problem.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return
                if problem.args[0].code() not in _UNANSWERED or monotonic() >= deadline:
                    raise
                unanswered = True

    def wait_led(self, topic: Address, partitions: int) -> None:
        """Wait until a topic has so many partitions and each of them answers: the controller confirms before the broker's metadata
        show it, and those show it before its partitions are there."""
        wait_until(lambda: len(self._asking.list_topics(topic.name, timeout=PATIENCE).topics[topic.name].partitions) == partitions, 60, f"{topic}")
        wait_until(lambda: self._trouble(topic, partitions) is None, 60, f"the partitions of {topic.name}")

    def add_partitions(self, topic: Address, total: int) -> None:
        """Grow a topic."""
        self.admin.create_partitions([NewPartitions(topic.name, total)])[topic.name].result(60)
        self.wait_led(topic, total)

    def delete_before(self, topic: Address, offset: int, partition: int = 0) -> None:
        """Delete the records below an offset."""
        place = TopicPartition(topic.name, partition, offset)
        for future in self.admin.delete_records([place]).values():
            future.result(60)

    def delete(self, topic: Address) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic.name])[topic.name].result(60)
        # the controller answers before the broker has heard of it, and its partitions answer for a moment longer
        wait_until(lambda: topic.name not in self.admin.list_topics(timeout=PATIENCE).topics, 60, f"the end of the topic {topic.name}")
        wait_until(lambda: self._trouble(topic, 1) in _FORGOTTEN, 60, f"the end of the partitions of {topic.name}")

    def _trouble(self, topic: Address, partitions: int) -> int | None:
        """Return what the leader of a partition answers instead of an offset; None where each gives one. An admin client would look into
        the metadata that it has, and not ask there."""
        try:
            places = self._asking.offsets_for_times([TopicPartition(topic.name, partition, _LATEST) for partition in range(partitions)], timeout=PATIENCE)
        except KafkaException as problem:
            code: int = problem.args[0].code()
            return code
        return next((place.error.code() for place in places if place.error is not None), None)

    def backend(self) -> KafkaBackend:
        """Open the backend under test; closed at the end."""
        backend = KafkaBackend(self.connection)
        self._opened.append(backend)
        return backend

    def publisher(self, topic: Address, **policy: Any) -> Publisher:
        """Open a publisher; closed at the end."""
        publisher = self.backend().publisher(topic, PublishPolicy(**policy))
        self._opened.append(publisher)
        return publisher

    def look(self, topic: Address, start: Position | None = None, end: Position | None = None, *, follow: bool = False) -> Reader:
        """Open a look, from the start to the end unless said otherwise; closed at the end."""
        reader = self.backend().look(topic, Span(start or Start(), None if follow else end or End()))
        self._opened.append(reader)
        return reader

    def fill(self, topic: Address, bodies: Sequence[bytes], partition: int = 0, times: Sequence[int] | None = None) -> None:
        """Store bodies without the code under test; times in milliseconds."""
        producer = self.producer()
        failed: list[Any] = []
        for index, body in enumerate(bodies):
            producer.produce(topic.name, body, partition=partition, timestamp=times[index] if times else 0,
                             on_delivery=lambda error, _: failed.append(error) if error is not None else None)
        assert producer.flush(60) == 0
        assert not failed, failed[0]

    def producer(self, **settings: Any) -> Producer:
        """Return a client of our own, for what the backend cannot do (transactions). It keeps the order, also where it has to try again."""
        return Producer({"bootstrap.servers": self.address, "log_level": 0, "message.max.bytes": 50_000_000, "enable.idempotence": True, "max.in.flight": 1,
                         **{name.replace("_", "."): value for name, value in settings.items()}})

    def consumer(self, topic: Address) -> Consumer:
        """Return a client of our own that reads the first partition from its start; closed at the end."""
        consumer = Consumer({"bootstrap.servers": self.address, "log_level": 0, "group.id": "tests", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic.name, 0, 0)])
        self._opened.append(consumer)
        return consumer

    def wait_closed(self, topic: Address) -> None:
        """Wait until no transaction is open: its end shows a moment after it is confirmed. Waits for a broker that comes back."""
        wait_until_closed(self.address, topic.name)

    def read(self, topic: Address) -> list[Record]:
        """Return everything that is stored, through the backend."""
        return everything(self.look(topic))

    def forget_letters(self) -> None:
        """Delete the groups that keep the state of the topics' letters."""
        for future in self.admin.delete_consumer_groups([group_of(name) for name in self._made]).values():
            future.exception(10)

    def close(self) -> None:
        """Close what was opened and delete what was made."""
        for opened in reversed(self._opened):
            opened.close()
        self._asking.close()
        if self._made:
            for future in self.admin.delete_topics(self._made, request_timeout=5).values():
                future.exception(10)


def wait_until_named(address: str, topic: Address) -> None:
    """Wait until a broker that was frozen is told of again, by the metadata and as the leader of a topic: one that was away for longer
    than its session is fenced for a moment."""
    def named() -> bool:
        # a new client each time: what one knows already it does not ask for
        metadata = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(topic.name, timeout=5)
        return bool(metadata.brokers) and all(partition.leader in metadata.brokers for partition in metadata.topics[topic.name].partitions.values())

    def named_or_away() -> bool:
        try:
            return named()
        except KafkaException:
            return False

    wait_until(named_or_away, 60, f"the broker that leads {topic.name}")


def everything(reader: Reader) -> list[Record]:
    """Read to the end."""
    records: list[Record] = []
    while not reader.finished:
        batch = reader.read(20)
        assert batch is not None or reader.finished, "nothing came for 20 s"
        records += batch.records() if batch is not None else []
    return records


def bodies(records: Sequence[Record]) -> list[bytes | None]:
    """Return the bodies."""
    return [record.message.body for record in records]


def publish(publisher: Publisher, messages: Sequence[Message] | Sequence[bytes]) -> Receipts:
    """Send everything, messages or bodies, and wait for every verdict."""
    send: Any = publisher.send_bodies if isinstance(messages[0], bytes) else publisher.send
    total, sent = Receipts(), 0
    while sent < len(messages):
        sent += send(messages[sent:])
        total.add(publisher.collect(0.1 if sent < len(messages) else 0))
    total.add(publisher.finish(30))
    return total


def of_verdict(receipts: Receipts, verdict: Verdict) -> list[int]:
    """Return the indices of the messages with a verdict that is not plain confirmation."""
    return sorted(receipt.index for receipt in receipts.problems if receipt.verdict is verdict)
