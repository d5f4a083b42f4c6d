"""Apache Kafka behind the contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException

from brokercli.backends.contract import Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.kafka.connect import Troubles, open_consumer
from brokercli.backends.kafka.failures import no_such_topic, translate
from brokercli.backends.kafka.look import PROMISED, READING, KafkaReader
from brokercli.backends.kafka.publish import LARGEST_MESSAGE, KafkaPublisher
from brokercli.backends.kafka.span import Offsets, locate
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.description import Description, Listing
from brokercli.model.errors import UsageProblem
from brokercli.model.position import Span

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class KafkaBackend(Backend):
    """One connection to one cluster. Its consumer answers questions, and reads for the first look that is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._troubles = Troubles()
        self._consumer: Consumer = self._open_consumer(self._troubles)
        self._lent = False
        self._closed = False

    def _open_consumer(self, troubles: Troubles) -> Consumer:
        # options of the user win over what is only for speed, never over what is promised
        return open_consumer(self._connection, READING, PROMISED, troubles)

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        if address.kind not in (None, "topic"):
            raise UsageProblem(f"Kafka has topics; there is no {address.kind} {address.name} on it.", hint=f"topic:{address.name}")
        if not _NAME.fullmatch(address.name) or address.name in (".", ".."):
            raise UsageProblem(f"{address.name[:300]!r} cannot be the name of a topic.", hint="up to 249 letters, digits, dots, underscores and hyphens")
        self._partitions(address.name)
        return address.of_kind("topic")

    def _metadata(self, name: str | None = None) -> Any:
        try:
            return self._consumer.list_topics(name, timeout=self._connection.connect_timeout) if name else \
                self._consumer.list_topics(timeout=self._connection.connect_timeout)
        except KafkaException as problem:
            raise translate(problem.args[0], "asking for", name or "the list of topics") from None

    def _partitions(self, name: str) -> list[int]:
        topic = self._metadata(name).topics[name]
        if topic.error is not None:
            failure = translate(topic.error, "looking at", name)
            raise no_such_topic(name, list(self._metadata().topics)) if failure.exit_code == 1 else failure
        return sorted(topic.partitions)

    def resource(self, address: Address) -> str:
        return "topic"

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        return KafkaPublisher(self._connection, destination.name, policy, {"message.max.bytes": LARGEST_MESSAGE})

    def look(self, source: Address, span: Span) -> Reader:
        troubles = self._troubles
        consumer = self._consumer
        partitions = self._partitions(source.name)
        starts, ends = locate(span, partitions, Offsets(consumer, source.name, self._connection.connect_timeout))
        if self._lent:
            consumer = self._open_consumer(troubles)
            return KafkaReader(consumer, source.name, starts, ends, consumer.close)
        self._lent = True
        return KafkaReader(consumer, source.name, starts, ends, self._take_back)

    def _take_back(self) -> None:
        self._consumer.unassign()
        self._lent = False

    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        return []

    def describe(self, address: Address) -> Description:
        return Description("topic", address.name, "topic")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close()
