"""Reading a topic without a trace: partitions are assigned, no group is joined, nothing is committed."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka import Message as KafkaMessage

from brokercli.backends.contract import Reader
from brokercli.backends.kafka.failures import translate
from brokercli.backends.kafka.records import KafkaBatch
from brokercli.model.errors import BrokercliError

READING = {
    # a full local queue pauses fetching for this long; at its default of 1000 it decides the speed of a bulk read
    "fetch.queue.backoff.ms": 1, "fetch.wait.max.ms": 10, "queued.min.messages": 1_000_000, "queued.max.messages.kbytes": 16384}
PROMISED = {
    "group.id": "brokercli-look", "enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "error",
    "enable.partition.eof": True, "allow.auto.create.topics": False}
_BATCH = 5000
_error_of = KafkaMessage.error


class KafkaReader(Reader):
    """The records of some partitions, in order within each partition and as they come between them."""

    def __init__(self, consumer: Consumer, topic: str, starts: dict[int, int], ends: dict[int, int] | None, give_back: Callable[[], None]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._ends = ends
        self._give_back = give_back
        self._closed = False
        self._failure: BrokercliError | None = None
        self._open = {partition for partition in starts if ends is None or starts[partition] < ends[partition]}
        self.expected = None if ends is None else sum(ends[partition] - starts[partition] for partition in self._open)
        consumer.assign([TopicPartition(topic, partition, starts[partition]) for partition in sorted(self._open)])

    def read(self, timeout: float) -> KafkaBatch | None:
        deadline = monotonic() + timeout
        consumer = self._consumer
        while self._failure is None and not self.finished:
            first = consumer.poll(max(0.0, deadline - monotonic()))
            if first is None:
                return None
            messages = [first, *consumer.consume(_BATCH, 0)]
            if any(map(_error_of, messages)):
                messages = self._without_events(messages)
            if self._ends is not None and (messages or self._open):
                messages = self._up_to_the_end(messages)
            if messages:
                return KafkaBatch(messages)
        if self._failure is not None:
            raise self._failure
        return None

    def _without_events(self, messages: list[KafkaMessage]) -> list[KafkaMessage]:
        records: list[KafkaMessage] = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                if self._ends is not None and message.offset() >= self._ends[message.partition()]:
                    self._open.discard(message.partition())
            elif self._failure is None:
                self._failure = translate(error, "reading", self._topic)
        return records

    def _up_to_the_end(self, messages: list[KafkaMessage]) -> list[KafkaMessage]:
        ends = self._ends
        assert ends is not None
        beyond = False
        for place in self._consumer.position([TopicPartition(self._topic, partition) for partition in self._open]):
            if place.offset >= ends[place.partition]:
                self._open.discard(place.partition)
                beyond = True
        if beyond:
            return [message for message in messages if message.offset() < ends[message.partition()]]
        return messages

    @property
    def finished(self) -> bool:
        return self._ends is not None and not self._open and self._failure is None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._give_back()
