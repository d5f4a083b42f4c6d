"""Groups for one test, on a broker that many tests share: members that work, and offsets that were committed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from brokercli.backends.consumers import Consumers
from brokercli.backends.kafka.failures import while_coming_back
from brokercli.backends.kafka.groups import Coordinators
from brokercli.backends.kafka.patience import Patience
from brokercli.model.address import Address
from tests.backends.kafka_topics import Topics
from tests.brokers.server import wait_until
from tests.native.kafka import listed_groups


class Groups:
    """Makes groups and forgets them at the end."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self._made: list[str] = []
        self._members: list[Any] = []
        self._configured: dict[str, dict[str, None]] = {}

    @property
    def consumers(self) -> Consumers:
        """The code under test."""
        return self.topics.backend().consumers()

    def name(self) -> str:
        """Return a name for a group that is made elsewhere; it is deleted too."""
        name = f"{self.topics.name()}-group"
        self._made.append(name)
        return name

    def commit(self, group: str, topic: Address, offsets: dict[int, int]) -> None:
        """Commit offsets, as a client that manages its partitions itself does."""
        self._made.append(group)
        consumer = self._consumer(group)
        wanted = [TopicPartition(topic.name, partition, offset) for partition, offset in offsets.items()]
        places = while_coming_back(lambda: consumer.commit(offsets=wanted, asynchronous=False), 60)
        consumer.close()
        assert [place.error for place in places if place.error is not None] == []

    def join(self, group: str, *topics: Address, client: str = "worker", kind: type[Any] = Consumer, **settings: Any) -> Any:
        """Join as a member and wait until partitions are assigned (of a share group: until the broker knows it)."""
        self._made.append(group)
        member = self._consumer(group, kind=kind, **{"client.id": client, **{name.replace("_", "."): value for name, value in settings.items()}})
        self._members.append(member)
        member.subscribe([topic.name for topic in topics])
        if kind is Consumer:
            # what comes may also be an error that is over in a moment
            wait_until(lambda: (member.poll(0.1), bool(member.assignment()))[1], 60, f"partitions of {group}")
        else:
            wait_until(lambda: (member.poll(0.1), group in Coordinators(self.topics.admin, Patience(10)).foreign(()))[1], 60, group)
        return member

    def _consumer(self, group: str, kind: type[Any] = Consumer, **settings: Any) -> Any:
        of_consumers = {"enable.auto.commit": False, "auto.offset.reset": "earliest"} if kind is Consumer else {}
        return kind({"bootstrap.servers": self.topics.address, "log_level": 0, "group.id": group, **of_consumers, **settings})

    def leave(self, member: Any) -> None:
        """End a member."""
        self._members.remove(member)
        member.close()

    def configure(self, group: str, **settings: str | None) -> None:
        """Set settings that the broker keeps for a group, with `_` for `.`; None takes one back."""
        entries = [ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET)
                   for name, value in settings.items()]
        resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
        self.topics.admin.incremental_alter_configs([resource])[resource].result(60)
        if set(settings.values()) != {None}:
            self._configured.setdefault(group, {}).update(dict.fromkeys(settings))

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """Return what the broker has, asked without the code under test."""
        places = self.topics.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(60).topic_partitions
        return {(place.topic, place.partition): place.offset for place in places}

    def exists(self, group: str) -> bool:
        """Whether the broker lists it."""
        return group in listed_groups(self.topics.admin)

    def close(self) -> None:
        """End members and delete groups."""
        for member in self._members:
            member.close()
        for group, settings in self._configured.items():
            self.configure(group, **settings)
        if self._made:
            for future in self.topics.admin.delete_consumer_groups(list(dict.fromkeys(self._made))).values():
                # a client whose broker was frozen meanwhile may have forgotten it; the groups go with their Kafka then
                with suppress(TimeoutError):
                    future.exception(10)
