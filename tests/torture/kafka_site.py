"""A trial's ground on Kafka: a topic of dead letters in the tiered convention, whose handled letters are known by its group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,  # type: ignore[attr-defined]  # exported without saying so
    ResourcePatternType,
    ResourceType,
)

from brokercli.backends.dead_letters import State
from brokercli.backends.envelope_values import encode_headers, text_or_base64
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.connect import SILENT
from brokercli.backends.kafka.handled_group import group_of
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError
from tests.brokers.server import HOST
from tests.torture.check import Content, Found
from tests.torture.letters import Seed
from tests.torture.site import HOMES, Ground, Site, identity_in, split_stamp

PATIENCE = 120.0
PARTITIONS = {"one partition": 1, "three partitions": 3}
UNPERMITTED = ", no transactions permitted"
OPEN_TO_ALL = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found": "true"}
"""Settings of a broker where everybody may do what nobody was denied."""


class KafkaGround(Ground):
    """A broker behind `address`, which is what it tells its clients."""

    exactly_once = True
    kinds = tuple(PARTITIONS)

    def __init__(self, address: str) -> None:
        self._address = address

    def make(self, run: str, kind: str) -> Site:
        site = KafkaSite(self._address, run, PARTITIONS[kind.removesuffix(UNPERMITTED)])
        if kind.endswith(UNPERMITTED):
            site.deny_transactions()
        return site

    def context(self, port: int) -> Mapping[str, str]:
        return {"url": f"kafka://{HOST}:{port}"}


class KafkaSite(Site):
    """Topics; the letters lie in several partitions, by their keys."""

    def __init__(self, address: str, run: str, partitions: int) -> None:
        self._address = address
        self._admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        self._partitions = partitions
        self._lanes: dict[str, str] = {}
        self._denied: AclBinding | None = None
        self.dlq = f"{run}.dlq"
        self.parking = f"{run}.parked"
        self.homes = [f"{run}.home.{number}" for number in range(HOMES)]
        self._gone = f"{run}.gone"
        topics = [NewTopic(name, partitions if name == self.dlq else 2, 1) for name in (self.dlq, self.parking, *self.homes)]
        for future in self._admin.create_topics(topics, operation_timeout=PATIENCE).values():
            future.result(PATIENCE)
        _retried(lambda: self._known(len(topics)))

    def _known(self, count: int) -> None:
        names = [name for name in self._admin.list_topics(timeout=PATIENCE).topics if name in (self.dlq, self.parking, *self.homes)]
        if len(names) < count:
            raise TimeoutError(f"{names} are known so far")

    def deny_transactions(self) -> None:
        """Have the broker refuse brokercli's transactions on these letters, and wait until it does."""
        self.permitted = False
        self._denied = AclBinding(ResourceType.TRANSACTIONAL_ID, group_of(self.dlq), ResourcePatternType.LITERAL, "User:*", "*",
                                  AclOperation.ALL, AclPermissionType.DENY)
        for future in self._admin.create_acls([self._denied]).values():
            future.result(PATIENCE)
        _retried(self._refused)

    def _refused(self) -> None:
        producer = Producer({"bootstrap.servers": self._address, "transactional.id": group_of(self.dlq), "log_level": 0}, logger=SILENT)
        try:
            producer.init_transactions(5)
        except KafkaException as problem:
            if problem.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                return
        raise TimeoutError("transactions are still permitted")

    def _headers(self, seed: Seed) -> list[tuple[str, bytes | None]]:
        origin = self.homes[seed.home] if seed.home >= 0 else self._gone
        return [("x-original-topic", origin.encode()), *seed.headers, ("x-attempts", b"3"), ("x-dlq-reason", b"timeout")]

    def bury(self, seeds: Sequence[Seed]) -> None:
        failed: list[Any] = []

        def judge(identity: str, error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error)
            else:
                self._lanes[identity] = str(message.partition())

        producer = Producer({"bootstrap.servers": self._address, "linger.ms": 5, "enable.idempotence": True, "max.in.flight": 1, "log_level": 0})
        for seed in seeds:
            producer.produce(self.dlq, seed.body, seed.key, headers=self._headers(seed), on_delivery=partial(judge, seed.identity))
        assert producer.flush(PATIENCE) == 0
        assert not failed, failed

    def lies(self, seed: Seed) -> Content:
        return Content(seed.body, seed.key, tuple(self._headers(seed)))

    def copy(self, seed: Seed) -> Content:
        return Content(seed.body, seed.key, (*seed.headers, "stamp"))

    def carried(self, seed: Seed) -> Content | None:
        return _on_nats(seed, seed.headers, "stamp")

    def replayed(self, seed: Seed) -> Content | None:
        return _on_nats(seed, self._headers(seed))

    def lane(self, seed: Seed) -> str:
        return self._lanes.get(seed.identity, "")

    def published(self, seed: Seed) -> Content:
        return Content(seed.body, seed.key, seed.headers)

    def envelope(self, seed: Seed) -> dict[str, Any]:
        return {"body": text_or_base64(seed.body), "key": text_or_base64(seed.key), "headers": encode_headers(seed.headers)}

    @property
    def target(self) -> str:
        return f"topic:{self.homes[0]}"

    def pending(self) -> list[Found]:
        # what is handled only brokercli knows; what is stored is read without it
        states = _retried(self._states)
        return [found for found, place in _retried(lambda: self._read([self.dlq])) if states.get(place) is State.PENDING]

    def _states(self) -> dict[tuple[str, int, int], State]:
        host, _, port = self._address.partition(":")
        states: dict[tuple[str, int, int], State] = {}
        with KafkaBackend(Connection("kafka", ((host, int(port)),), connect_timeout=20)) as backend, backend.look_letters(Address(self.dlq, "topic")) as look:
            while not look.finished:
                batch = look.read(10)
                for record in batch.records() if batch is not None else []:
                    states[self.dlq, int(str(record.place["partition"])), int(str(record.place["offset"]))] = look.state(record)
        return states

    def stored(self) -> dict[str, list[Found]]:
        places: dict[str, list[Found]] = {name: [] for name in (*self.homes, self.parking)}
        for found, (topic, _, _) in _retried(lambda: self._read(list(places))):
            places[topic].append(found)
        return places

    def _read(self, topics: Sequence[str]) -> list[tuple[Found, tuple[str, int, int]]]:
        """Return what is committed, by place; waits for transactions that are still open."""
        settings = {"bootstrap.servers": self._address, "group.id": "torture", "enable.auto.commit": False, "fetch.wait.max.ms": 10, "log_level": 0,
                    "auto.offset.reset": "error", "enable.partition.eof": True}
        # for those who read committed records only, the end is where the first transaction begins whose end is not written yet
        asking, consumer = Consumer({**settings, "isolation.level": "read_uncommitted"}), Consumer({**settings, "isolation.level": "read_committed"})
        try:
            places = [TopicPartition(topic, number, 0) for topic in topics for number in range(self._partitions if topic == self.dlq else 2)]
            ends = {(place.topic, place.partition): asking.get_watermark_offsets(place, 10)[1] for place in places}
            consumer.assign(places)
            found: list[tuple[Found, tuple[str, int, int]]] = []
            reached: dict[tuple[str, int], int] = {}
            deadline = monotonic() + PATIENCE
            while len(reached) < len(places):
                message = consumer.poll(1.0)
                if monotonic() > deadline:
                    raise TimeoutError(f"{sorted(set(ends) - set(reached))} could not be read to their ends")
                if message is None:
                    continue
                error, where = message.error(), (str(message.topic()), int(message.partition() or 0))
                if error is None:
                    found.append((_found(message), (*where, int(message.offset() or 0))))
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                elif int(message.offset() or 0) >= ends[where]:
                    reached[where] = int(message.offset() or 0)
            return sorted(found, key=lambda one: one[1])
        finally:
            asking.close()
            consumer.close()

    def clean(self) -> None:
        for future in self._admin.delete_topics([self.dlq, self.parking, *self.homes]).values():
            future.exception(PATIENCE)
        for group in self._admin.delete_consumer_groups([group_of(self.dlq)]).values():
            group.exception(PATIENCE)
        if self._denied is not None:
            denied = self._denied
            same = AclBindingFilter(denied.restype, denied.name, denied.resource_pattern_type, denied.principal, denied.host, denied.operation,
                                    denied.permission_type)
            for removed in self._admin.delete_acls([same]).values():
                removed.exception(PATIENCE)


def _on_nats(seed: Seed, headers: Sequence[tuple[str, bytes | None]], *behind: str) -> Content | None:
    # a header of NATS has one line and is never null, and its ends are trimmed by whoever reads it here
    if seed.body is None or b"\r" in (seed.key or b"") or b"\n" in (seed.key or b""):
        return None
    key = () if seed.key is None else ((b"x-message-key", seed.key.strip(b" ")),)
    return Content(seed.body, None, (*((name.encode(), value or b"") for name, value in headers), *key, *behind))


def _found(message: Any) -> Found:
    headers = message.headers() or []
    rest, stamp = split_stamp(headers)
    # what is stamped is stamped at its end, in this order
    whole = (*rest, "stamp") if stamp and not isinstance(stamp[0], tuple) and list(headers[:len(rest)]) == list(rest) else (*rest, *stamp)
    return Found(identity_in(headers), Content(message.value(), message.key(), whole), str(message.partition()))


def _retried(ask: Any) -> Any:
    """Ask again until a broker that comes back can answer."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (KafkaException, BrokercliError, TimeoutError):
            if monotonic() > deadline:
                raise
            sleep(0.2)
