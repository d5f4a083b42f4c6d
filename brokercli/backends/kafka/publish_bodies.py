"""Confirmed publishing of nothing but bodies: as `publish.py`, in parts of a thousand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.kafka.bulk_producer import PART, BulkProducer, Failed, library
from brokercli.backends.kafka.connect import open_handle
from brokercli.backends.kafka.convert import CannotCarry, to_kafka
from brokercli.backends.kafka.failures import judge
from brokercli.backends.kafka.publish import KafkaPublisher
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.connection import Connection
from brokercli.model.message import Message
from brokercli.model.receipt import Verdict

_BATCH = 9000
"""Messages in a request, at most: short lines of about a megabyte, which is what a broker takes at once."""


def are_plain(policy: PublishPolicy, connection: Connection, settings: TopicSettings) -> bool:
    """Whether bodies can be published in parts: with a key and a partition at most, and where only failures are to be told."""
    try:
        _, key, headers, _, timestamp = to_kafka(policy.template)
    except CannotCarry:
        return False
    plain = not headers and not timestamp and (key is not None or not settings.needs_key)
    # a token is asked for by a callback, which only the Python client has
    return plain and not policy.positions and connection.token is None and library() is not None


class KafkaBodyPublisher(KafkaPublisher):
    """One idempotent producer for one topic and one template.

    The accounts are those of `KafkaPublisher`; `send` is not there. A second Ctrl-C while a part is handed over leaves all of that
    part in doubt.
    """

    window = 2 * _BATCH
    """One request on its way, and the next."""

    def __init__(self, connection: Connection, topic: str, policy: PublishPolicy, settings: TopicSettings, partitions: int) -> None:
        """As of `KafkaPublisher`; `partitions` is how many the topic has."""
        self._alone = partitions == 1
        super().__init__(connection, topic, policy, settings)

    def _open(self, settings: dict[str, Any]) -> Any:
        _, key, _, number, _ = self._template
        settings |= {"batch.num.messages": _BATCH, "delivery.report.only.error": False}
        producer = partial(BulkProducer, topic=self._topic, key=key, partition=number, alone=self._alone, report=self._report)
        return open_handle(producer, self._connection, settings, self._troubles, self._topic)

    def send(self, messages: Sequence[Message]) -> int:
        raise TypeError("this publisher was made for bodies only")

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        producer = self._ready()
        index = first = self._accepted
        withheld = self._withheld
        handed_over = 0
        try:
            for start in range(0, 0 if self._neighbours.too_many else len(bodies), PART):
                part = bodies[start:start + PART]
                handed_over = len(part)
                done, refused = producer.produce_bodies(part, index)
                for at, error in refused:
                    self._withhold(index + at, Verdict.REFUSED, judge(error)[1])
                # in one statement, between whose parts no signal is heard
                index, handed_over = index + done, 0
                if done < len(part):
                    break
        except BaseException:
            for doubtful in range(index, index + handed_over):
                self._doubt(doubtful)
            index += handed_over
            raise
        finally:
            self._accepted = index
            self._produced += index - first - (self._withheld - withheld)
        return index - first

    def _repeat(self, index: int, time: int, message: Failed) -> None:
        done, refused = self._producer.produce_bodies([message.value()], index)
        if not done:
            raise BufferError
        for _, error in refused:
            raise KafkaException(error)

    def close(self) -> None:
        super().close()
        self._producer.close()
