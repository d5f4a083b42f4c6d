"""What is known of the topics that letters go to, so that a message which cannot arrive is refused before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.convert import Native
from brokercli.backends.kafka.failures import REFUSED, not_permitted_to_write
from brokercli.backends.kafka.held_back import held_back_for_long, told_of
from brokercli.backends.kafka.neighbours import BATCH_BYTES, BATCH_OVERHEAD
from brokercli.backends.kafka.partitioner import partition_of
from brokercli.backends.kafka.replicas import short_of_replicas
from brokercli.backends.kafka.topic_settings import TopicSettings, read_settings, request_settings
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound, UsageProblem

# the header of a batch with one record in it (Kafka's record format, version 2)
_LEAST_OVERHEAD = 61
# what lengths and counts take beyond what `least_size` counts
_FRAMING = 512
GONE = "the topic does not exist any more"
DENIED = REFUSED[KafkaError.TOPIC_AUTHORIZATION_FAILED]
SHORT = REFUSED[KafkaError.NOT_ENOUGH_REPLICAS]


@dataclass(slots=True)
class Destination:
    """One topic; `refusal` is why it takes nothing."""

    partitions: Mapping[int, Any] = field(default_factory=dict)
    settings: TopicSettings = field(default_factory=TopicSettings)
    short: Collection[int] = ()
    """Partitions with too few replicas in sync. A transaction that touched one cannot even be given up: the broker writes the mark that
    ends it under the same rule, and until then there is no other (seen on 4.4)."""
    refusal: str = ""


class Destinations:
    """Asks about each topic once."""

    def __init__(self, partitions_of: Callable[[str], Mapping[int, Any]], admin: AdminClient, source: str, timeout: float, say: Callable[[str], None], *,
                 compressed: bool) -> None:
        """`partitions_of` returns their metadata; raises NotFound, NotAuthorised, and UsageProblem for what cannot be a topic's name. `say` is told what
        somebody should know before anything is put into a topic.
        `compressed`: messages shrink on their way, so their size is the broker's to judge."""
        self._partitions_of = partitions_of
        self._admin = admin
        self._source = source
        self._timeout = timeout
        self._say = say
        self._compressed = compressed
        self._known: dict[str, Destination] = {}
        self.batch_bytes = BATCH_BYTES
        """How large a batch may be for every topic met so far."""
        self.denial: NotAuthorised | None = None
        """Where this login turned out not to be allowed to write, in a sentence; None where nothing of the kind is known."""

    def placed(self, address: Address, native: Native) -> Native:
        """Return a message with the partition that it goes to, where there are some that take nothing: one without a key goes to another."""
        destination = self._of(address)
        if destination.refusal or not destination.short or native.partition >= 0:
            return native
        return native._replace(partition=partition_of(native.key, len(destination.partitions), destination.short))

    def refusal(self, address: Address, native: Native, size: int) -> str:
        """Say why a message of at least so many bytes cannot be stored there, as far as can be told; empty when nothing speaks against it."""
        destination = self._of(address)
        if destination.refusal:
            return destination.refusal
        if address.kind not in (None, "topic"):
            return f"Kafka has topics; there is no {address.kind}"
        if native.partition >= len(destination.partitions):
            return f"the topic {address.name} has no partition {native.partition}; it has {len(destination.partitions)}"
        if native.partition in destination.short:
            return SHORT
        settings = destination.settings
        if native.key is None and settings.needs_key:
            return f"the topic {address.name} is compacted and takes no message without a key"
        limit = settings.maximum_batch_bytes
        if size + _FRAMING > limit and settings.known and not self._compressed and size_alone(native) > limit:
            return f"it is larger than the broker takes (max.message.bytes of the topic: {limit})"
        return ""

    def _of(self, address: Address) -> Destination:
        return self._known.get(address.name) or self._ask(address.name)

    def close_to_us(self, topic: str, reason: str) -> None:
        """Remember that a topic takes nothing from us."""
        if reason == DENIED:
            self.denial = self.denial or not_permitted_to_write(topic)
        self._known.setdefault(topic, Destination()).refusal = reason

    def look_again(self, topics: Collection[str]) -> Collection[str]:
        """Ask once more which partitions of topics take nothing, after letters have waited for them in vain: those behind would wait as long again.
        Return the topics that have any."""
        for name in topics:
            destination = self._known.setdefault(name, Destination())
            try:
                self._note_partitions(destination, self._partitions_of(name))
            except BrokercliError:
                continue
        return {name for name in topics if self._known[name].short}

    def gone(self, topics: Collection[str]) -> Sequence[str]:
        """Return those that do not exist any more, as far as the broker can be asked now."""
        return [name for name in topics if self._is_gone(name)]

    def _is_gone(self, name: str) -> bool:
        try:
            self._partitions_of(name)
        except NotFound:
            return True
        except BrokercliError:
            # nobody answers: that is not known
            return False
        return False

    def _ask(self, name: str) -> Destination:
        destination = self._known[name] = Destination()
        if name == self._source:
            destination.refusal = "it would go where it lies now"
            return destination
        answer = request_settings(self._admin, name, self._timeout)
        try:
            destination.partitions = self._partitions_of(name)
        except (NotFound, UsageProblem, NotAuthorised) as problem:
            if isinstance(problem, NotAuthorised):
                self.denial = self.denial or problem
            destination.refusal = str(problem).rstrip(".")
            return destination
        destination.settings = read_settings(answer, self._timeout)
        self._note_partitions(destination, destination.partitions)
        places = [(name, number) for number, partition in destination.partitions.items() if partition.leader >= 0]
        if not destination.refusal and (held := held_back_for_long(self._admin, places, self._timeout)):
            self._say(told_of(name, held))
        self.batch_bytes = max(1, min(self.batch_bytes, destination.settings.maximum_batch_bytes - BATCH_OVERHEAD))
        return destination

    def _note_partitions(self, destination: Destination, partitions: Mapping[int, Any]) -> None:
        destination.partitions = partitions
        destination.short = short_of_replicas(partitions, destination.settings.minimum_in_sync)
        if len(destination.short) == len(partitions):
            destination.refusal = SHORT


def least_size(native: Native) -> int:
    """Return how many bytes a message takes at least, uncompressed; with up to 50 headers, `_FRAMING` more at most."""
    value, key, headers, _, _ = native
    size = _LEAST_OVERHEAD + len(value or b"") + len(key or b"")
    for name, content in headers or ():
        size += len(name) + 2 + len(content or b"")
    return size


def size_alone(native: Native) -> int:
    """Return how many bytes a message takes in a batch of its own, uncompressed: what the broker compares with its limit
    (Kafka's record format, version 2)."""
    value, key, headers, _, _ = native
    # attributes, and the distances of time and offset to the batch's, which are 0
    size = 3 + _length(value) + _length(key) + _varint(len(headers or ()))
    for name, content in headers or ():
        size += _length(name.encode(errors="surrogateescape")) + _length(content)
    return _LEAST_OVERHEAD + _varint(size) + size


def _length(part: bytes | None) -> int:
    return _varint(-1) if part is None else _varint(len(part)) + len(part)


def _varint(number: int) -> int:
    """Return how many bytes a number takes: seven bits each, the sign first."""
    return max(1, -(-(2 * abs(number) - (number < 0)).bit_length() // 7))
