"""Kafka through confluent-kafka's own classes, each used the plain way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # exported without saying so
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from brokercli.backends.kafka.coordinators import await_coordinators
from brokercli.backends.kafka.failures import while_coming_back
from brokercli.model.address import Address
from brokercli.model.connection import Connection, Secret
from tests.brokers.kafka import USER, Kafka
from tests.brokers.server import HOST, wait_until
from tests.faults.proxy import Proxy
from tests.native.harness import Broker, Resource, Stored

SECONDS = 30.0


class KafkaBroker(Broker):
    """One Kafka."""

    name = "kafka"
    scheme = "kafka"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._bootstrap = f"{host}:{port}"
        # a client that lives as long as a run asks every five minutes for each topic it has written to, which makes those anew that were deleted
        both = {"bootstrap.servers": self._bootstrap, "log_level": 0, "allow.auto.create.topics": False}
        self.admin = AdminClient(both)
        # with several requests on their way, what a new topic turned away at first is lost and called delivered
        self.producer = Producer({**both, "linger.ms": 0, "enable.idempotence": True, "max.in.flight": 1})
        self.leaving: list[Future[Any]] = []
        """Topics that are being deleted."""

    def consumer(self, **settings: Any) -> Consumer:
        """Return a consumer that belongs to no group."""
        return Consumer({"bootstrap.servers": self._bootstrap, "log_level": 0, "group.id": "tests", "enable.auto.commit": False, "fetch.wait.max.ms": 10,
                         "auto.offset.reset": "error", "allow.auto.create.topics": False, **settings})

    def make_resource(self, row: str, partitions: int) -> Resource:
        return {"topic": Topic}[row](self, partitions)

    def missing(self, row: str) -> Address:
        return Address(f"missing-{uuid.uuid4().hex}", "topic")

    def impossible_names(self, row: str) -> list[str]:
        return ["orders.*", "two words", "x" * 250, ".."]

    def oversized(self) -> bytes:
        # above message.max.bytes, 1,048,588 unless the topic says otherwise
        return b"x" * 1_100_000

    def messages(self, row: str) -> SearchStrategy[Stored]:
        # the client writes names as C strings
        names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
        headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=50)), max_size=5).map(tuple)
        return st.builds(Stored, st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=50), headers)

    def wrong_login(self, fixture: Callable[[str], Any]) -> Connection:
        host, _, port = fixture("kafka_login_address").partition(":")
        return Connection("kafka", ((host, int(port)),), user=USER, password=Secret("not-the-password"))

    def behind(self, proxy: Proxy, fixture: Callable[[str], Any]) -> KafkaBroker:
        # its clients go where it tells them to, so it has to tell them the proxy's port
        server: Kafka = fixture("servers")(Kafka, advertised=proxy.port, wait=False)
        proxy.swap((HOST, server.port))
        server.wait_ready()
        return KafkaBroker(*proxy.address)

    def close(self) -> None:
        self.producer.flush(SECONDS)
        for future in self.leaving:
            with suppress(TimeoutError):
                future.exception(SECONDS)

    def topic_exists(self, name: str) -> bool:
        """Whether a topic is there; asking does not create it."""
        return name in self.admin.list_topics(timeout=SECONDS).topics


def listed_groups(admin: AdminClient) -> list[str]:
    """Return the names of all classic and consumer groups; waits while the broker still loads some."""
    found: list[str] = []

    def listed() -> bool:
        answer = admin.list_consumer_groups(request_timeout=SECONDS).result(SECONDS)
        found[:] = [group.group_id for group in answer.valid]
        return not answer.errors

    wait_until(listed, SECONDS, "the list of groups")
    return found


def wait_until_closed(address: str, topic: str) -> None:
    """Wait until no transaction is open in a topic: who reads committed records only sees its end a moment after it is confirmed. Waits
    for a broker that comes back."""
    def closed() -> bool:
        # a new client each time: one that knows an older leader epoch asks with it for ever
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        try:
            places = {TopicPartition(topic, number): OffsetSpec.latest() for number in admin.list_topics(topic, timeout=10).topics[topic].partitions}
            committed, every = ([future.result(10).offset for future in admin.list_offsets(places, isolation_level=level, request_timeout=5).values()]
                                for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED))
        except (KafkaException, TimeoutError):
            return False
        return bool(places) and committed == every

    wait_until(closed, 2 * SECONDS, f"the end of the transactions in {topic}")


def stable_offset(admin: AdminClient, group: str, topic: str, partition: int = 0) -> int:
    """Return what a group has committed, once no transaction is open any more that commits something for it; negative: nothing."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
    found: list[int] = []

    def stable() -> bool:
        await_coordinators(admin, [group], SECONDS)
        answer = while_coming_back(lambda: admin.list_consumer_group_offsets([asked], require_stable=True)[group].result(SECONDS), SECONDS)
        (place,) = answer.topic_partitions
        found.append(place.offset)
        return place.error is None

    wait_until(stable, 2 * SECONDS, f"a stable offset of {group} in {topic}")
    return found[-1]


class Topic(Resource):
    """A topic."""

    row = "topic"

    def __init__(self, broker: KafkaBroker, partitions: int, settings: dict[str, str] | None = None) -> None:
        self._broker = broker
        self.name = f"test-{uuid.uuid4().hex}"
        self.address = self.destination = Address(self.name, "topic")
        self.partitions = partitions
        # messages may have any time, and what is older than its retention is deleted every five minutes
        config = {"retention.ms": "-1"} | (settings or {})
        broker.admin.create_topics([NewTopic(self.name, partitions, 1, config=config)], operation_timeout=SECONDS)[self.name].result(SECONDS)
        # created is not yet known to the broker that is asked next, and what its metadata show is not yet led
        wait_until(lambda: len(broker.admin.list_topics(self.name, timeout=SECONDS).topics[self.name].partitions) == partitions, 2 * SECONDS, self.name)
        wait_until(self._is_led, 2 * SECONDS, f"the partitions of {self.name}")

    def _is_led(self) -> bool:
        latest = {TopicPartition(self.name, partition): OffsetSpec.latest() for partition in range(self.partitions)}
        try:
            return all(future.result(SECONDS) for future in self._broker.admin.list_offsets(latest, request_timeout=SECONDS).values())
        except KafkaException:
            return False

    def put_messages(self, messages: Sequence[Stored]) -> None:
        failed: list[Any] = []

        def judge(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error)

        for message in messages:
            partition = int(message.position.partition(":")[0]) if message.position else 0
            self._broker.producer.produce(self.name, message.body, message.key, partition, headers=list(message.headers) or None,
                                          timestamp=(message.time or 0) // 1_000_000, on_delivery=judge)
        assert self._broker.producer.flush(SECONDS) == 0
        assert not failed, failed

    def stored(self, at_least: int = 0) -> list[Stored]:
        consumer = self._broker.consumer(**{"enable.partition.eof": True, "isolation.level": "read_committed"})
        try:
            ends = {partition: consumer.get_watermark_offsets(TopicPartition(self.name, partition), SECONDS) for partition in range(self.partitions)}
            open_ends = {partition for partition, (low, high) in ends.items() if low < high}
            consumer.assign([TopicPartition(self.name, partition, ends[partition][0]) for partition in open_ends])
            found: list[Stored] = []
            while open_ends:
                message = consumer.poll(SECONDS)
                assert message is not None, f"{self.name} could not be read to its end"
                if (error := message.error()) is not None:
                    if error.name() != "_PARTITION_EOF":
                        raise KafkaException(error)
                    open_ends.discard(message.partition())
                    continue
                found.append(Stored(message.value(), message.key(), tuple(message.headers() or ()), position=f"{message.partition()}:{message.offset()}",
                                    time=message.timestamp()[1] * 1_000_000))
            return sorted(found, key=lambda stored: [int(number) for number in stored.position.split(":")])
        finally:
            consumer.close()

    def state(self) -> Any:
        consumer = self._broker.consumer()
        try:
            marks = [consumer.get_watermark_offsets(TopicPartition(self.name, partition), SECONDS) for partition in range(self.partitions)]
        finally:
            consumer.close()
        return {"marks": marks, "groups": self._groups()}

    def _groups(self) -> list[str]:
        """Names of the groups that ever committed or are reading here."""
        admin = self._broker.admin
        names = listed_groups(admin)
        descriptions = admin.describe_consumer_groups(names, request_timeout=SECONDS) if names else {}
        found = []
        for name, future in descriptions.items():
            try:
                members = future.result(SECONDS).members
            except KafkaException as problem:
                # another test's, which has deleted it meanwhile
                if problem.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise
                continue
            if self.name in {partition.topic for member in members if member.assignment is not None for partition in member.assignment.topic_partitions}:
                found.append(name)
        return sorted(found)

    def finish(self, count: int) -> None:
        """The first partition's; the others are read from their start on."""
        self.consumer = self.consumer or f"group-{uuid.uuid4().hex}"
        first = (self.consumer_state() or [0])[0] + count
        consumer = self._broker.consumer(**{"group.id": self.consumer})
        try:
            offsets = [TopicPartition(self.name, partition, 0 if partition else first) for partition in range(self.partitions)]
            # a coordinator may still be loading its groups
            places = while_coming_back(lambda: consumer.commit(offsets=offsets, asynchronous=False), SECONDS)
            assert [place.error for place in places if place.error is not None] == []
        finally:
            consumer.close()

    @contextmanager
    def attend(self) -> Iterator[None]:
        consumer = self._broker.consumer(**{"group.id": self.consumer, "client.id": "worker-1"})
        try:
            consumer.subscribe([self.name])
            wait_until(lambda: consumer.poll(0.1) is None and consumer.assignment(), SECONDS, "its partitions")
            yield
        finally:
            consumer.close()

    def consumer_state(self) -> Any:
        partitions = [TopicPartition(self.name, partition) for partition in range(self.partitions)]
        if self.consumer is None:
            return None
        name, asked, admin = self.consumer, ConsumerGroupTopicPartitions(self.consumer, partitions), self._broker.admin
        await_coordinators(admin, [name], SECONDS)
        answer = while_coming_back(lambda: admin.list_consumer_group_offsets([asked], request_timeout=SECONDS)[name].result(SECONDS), SECONDS)
        found = [partition.offset for partition in answer.topic_partitions]
        return None if all(offset < 0 for offset in found) else found

    def forget_before(self, number: int) -> None:
        self._broker.admin.delete_records([TopicPartition(self.name, 0, number)])[TopicPartition(self.name, 0)].result(SECONDS)

    def delete(self) -> None:
        # first: with the topic its offsets go, and it would be left behind without any
        if self.consumer is not None and self.consumer_state() is not None:
            self._broker.admin.delete_consumer_groups([self.consumer], request_timeout=SECONDS)[self.consumer].result(SECONDS)
        self._broker.leaving += self._broker.admin.delete_topics([self.name], operation_timeout=SECONDS).values()
