"""Confirmed publishing: idempotent, acks=all, Java's partitioner."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from types import MethodType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.kafka.connect import Troubles, client_configuration, create
from brokercli.backends.kafka.convert import CannotCarry, to_kafka
from brokercli.backends.kafka.failures import judge
from brokercli.model.connection import Connection
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict

WINDOW = 100_000
# a broker takes no request larger than socket.request.max.bytes, 100 MiB, and hangs up on it
LARGEST_MESSAGE = 100_000_000
_SERVE_EVERY = 1024


class KafkaPublisher(Publisher):
    """One idempotent producer for one topic.

    Each message carries its index in its own delivery callback, which the client runs for failures only (for every
    message when positions are asked for), so a confirmed message costs no Python: confirmed = accepted - failed - queued.
    """

    def __init__(self, connection: Connection, topic: str, policy: PublishPolicy, settings: dict[str, Any], notes: Sequence[str] = ()) -> None:
        self._connection = connection
        self._topic = topic
        self._policy = policy
        self._settings = settings
        self.withheld: dict[str, int] = {}
        self.notes = list(notes)
        self._troubles = Troubles()
        self._accepted = 0
        self._settled = 0
        """Accepted messages of earlier producers: all of them have their verdict."""
        self._current = 0
        """Messages that are or were in this producer."""
        self._failed = 0
        """How many of those did not succeed."""
        self._reported = 0
        """How many of those were reported as confirmed."""
        self._news = Receipts()
        template = policy.template
        self._template = to_kafka(template)
        self._producer = self._open()

    def _open(self) -> Any:
        timeout = max(1, int(self._policy.delivery_timeout * 1000))
        return create(Producer, {
            "partitioner": "murmur2_random", "linger.ms": 5, "queue.buffering.max.kbytes": 65536,
            **client_configuration(self._connection), **self._settings,
            "enable.idempotence": True, "acks": "all", "delivery.report.only.error": not self._policy.positions,
            "message.timeout.ms": timeout, "socket.timeout.ms": max(1000, min(15_000, timeout // 2)),
            "queue.buffering.max.messages": min(self._policy.maximum_in_flight or WINDOW, WINDOW),
            "error_cb": self._troubles.note})

    def send(self, messages: Sequence[Message]) -> int:
        produce, report, topic = self._producer.produce, self._report, self._topic
        index = first = self._accepted
        for message in messages:
            try:
                value, key, headers, partition, timestamp = to_kafka(message)
                produce(topic, value, key, partition, MethodType(report, index), None, timestamp, headers)
                self._current += 1
            except BufferError:
                break
            except CannotCarry as problem:
                self._refuse(index, str(problem))
            except KafkaException as problem:
                self._refuse(index, judge(problem.args[0])[1])
            index += 1
            if not index % _SERVE_EVERY:
                self._accepted = index
                self._producer.poll(0)
        self._accepted = index
        return index - first

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        produce, report, topic = self._producer.produce, self._report, self._topic
        _, key, headers, partition, timestamp = self._template
        index = first = self._accepted
        for body in bodies:
            try:
                produce(topic, body, key, partition, MethodType(report, index), None, timestamp, headers)
                self._current += 1
            except BufferError:
                break
            except KafkaException as problem:
                self._refuse(index, judge(problem.args[0])[1])
            index += 1
            if not index % _SERVE_EVERY:
                self._producer.poll(0)
        self._accepted = index
        return index - first

    def _refuse(self, index: int, reason: str) -> None:
        self._news.count(Receipt(index, Verdict.REFUSED, reason=reason))

    def _report(self, index: int, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is None:
            self._news.confirmations.append(Receipt(index, Verdict.CONFIRMED, f"{message.partition()}:{message.offset()}"))
            return
        self._failed += 1
        verdict, reason = judge(error)
        self._news.count(Receipt(index, verdict, reason=reason))

    def collect(self, timeout: float) -> Receipts:
        self._producer.poll(0)
        news = self._take()
        deadline = monotonic() + timeout
        while not len(news) and self.in_flight and (remaining := deadline - monotonic()) > 0:
            self._producer.poll(min(remaining, 0.1))
            news = self._take()
        return news

    def _take(self) -> Receipts:
        # messages whose report is still to be served count in len(), so this never runs ahead of the broker
        confirmed = self._current - self._failed - len(self._producer)
        if confirmed > self._reported:
            self._news.confirmed += confirmed - self._reported
            self._reported = confirmed
        news, self._news = self._news, Receipts()
        return news

    def finish(self, timeout: float) -> Receipts:
        deadline = monotonic() + timeout
        while len(self._producer) and (remaining := deadline - monotonic()) > 0:
            self._producer.flush(min(remaining, 0.5))
        self._producer.poll(0)
        if len(self._producer):
            self._give_up()
        return self._take()

    def _give_up(self) -> None:
        self._producer.purge()
        while len(self._producer):
            self._producer.poll(0.1)

    @property
    def in_flight(self) -> int:
        return self._current - self._failed - self._reported

    def close(self) -> None:
        self._producer.purge()
        self._producer.poll(0)
