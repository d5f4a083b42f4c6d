"""Apache Kafka behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic, sleep
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from brokercli.backends.contract import ANSWER_SECONDS, Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.kafka import SUPPORT
from brokercli.backends.kafka.connect import Troubles, client_configuration, create, open_handle, sent_elsewhere
from brokercli.backends.kafka.failures import no_such_topic, translate
from brokercli.backends.kafka.last import newest
from brokercli.backends.kafka.look import LOST_SECONDS, KafkaReader
from brokercli.backends.kafka.reading import FOLLOWING, NOTHING_AHEAD, PROMISED, READING, Lent
from brokercli.backends.kafka.replicas import short_of_replicas
from brokercli.backends.kafka.retired import retire
from brokercli.backends.kafka.span import RETRY_SECONDS, LastOf, Offsets, Range, locate
from brokercli.backends.kafka.still_there import StillThere
from brokercli.backends.kafka.topic_name import check_topic_name
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Failed, NotFound, Unsupported, UsageProblem
from brokercli.model.message import Header, Place, Record, Unread
from brokercli.model.position import End, PerPartition, Span, Start

if TYPE_CHECKING:
    # what looks do not need is loaded when it is needed: a small replay is mostly start-up
    from confluent_kafka.admin import AdminClient

    from brokercli.backends.consumers import Consumers
    from brokercli.backends.dead_letters import DeadLetterSource, LetterReader, Repair, RepairPolicy
    from brokercli.backends.declaring import Declarer
    from brokercli.backends.kafka.header_bytes import HeaderBytes
    from brokercli.backends.kafka.topic_settings import TopicSettings
    from brokercli.model.checkup import Check
    from brokercli.model.description import Description, Listing
    from brokercli.model.flow import Flow


class KafkaBackend(Backend):
    """One connection to one cluster. Its consumer answers questions, and reads for the first look that is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.notes = [f"the login for {connection} travels without TLS"] if connection.password is not None and connection.tls is None else []
        self._troubles = Troubles()
        self._consumer: Consumer = self._open_consumer(self._troubles)
        self._administrator: AdminClient | None = None
        self._lent = False
        self._header_bytes: HeaderBytes | None = None
        self._closed = False

    def _open_consumer(self, troubles: Troubles, reading: Mapping[str, int] = READING) -> Consumer:
        # options of the user win over what is only for speed, never over what is promised
        settings = {**reading, **client_configuration(self._connection), **PROMISED, "error_cb": troubles.note,
                    "throttle_cb": lambda event: troubles.throttle(event.broker_id, event.throttle_time)}
        consumer: Consumer = open_handle(Consumer, self._connection, settings, troubles)
        return consumer

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        if address.kind not in (None, "topic"):
            raise UsageProblem(f"Kafka has topics; there is no {address.kind} {address.name} on it.", hint=f"topic:{address.name}")
        check_topic_name(address.name)
        self._topic(address.name, wanted=purpose == "publish")
        return address.of_kind("topic")

    def _metadata(self, name: str | None = None, seconds: float | None = None) -> Any:
        deadline = monotonic() + (self._connection.connect_timeout if seconds is None else seconds)
        while True:
            left = max(0.1, deadline - monotonic())
            try:
                return self._consumer.list_topics(name, timeout=left) if name else self._consumer.list_topics(timeout=left)
            except KafkaException as problem:
                error = problem.args[0]
                if elsewhere := self._sent_elsewhere(error):
                    raise elsewhere from None
                # a connection that breaks under a question, or a broker that its cluster does not name for a moment, ends it early
                if error.code() not in (KafkaError._TRANSPORT, KafkaError._DESTROY_BROKER) or monotonic() >= deadline:
                    raise translate(error, "asking for", name or "the list of topics") from None
            sleep(RETRY_SECONDS)

    def _sent_elsewhere(self, error: KafkaError) -> BrokercliError | None:
        if error.code() not in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
            return None
        if not self._lent:
            # what the client knows of its connections it tells now
            self._consumer.poll(0)
        return sent_elsewhere(self._troubles.specific, self._connection)

    def _topic(self, name: str, *, wanted: bool = False) -> Any:
        topic = self._metadata(name).topics[name]
        if topic.error is not None:
            failure = translate(topic.error, "looking at", name)
            raise no_such_topic(name, _names_in(self._metadata()), wanted=wanted) if isinstance(failure, NotFound) else failure
        return topic

    def _metadata_with(self, name: str) -> Any:
        """Return the metadata of all topics; raises NotFound where this one is not, or no more, among them."""
        self._topic(name)
        metadata = self._metadata()
        if name not in metadata.topics:
            raise no_such_topic(name, _names_in(metadata))
        return metadata

    def resource(self, address: Address) -> str:
        return "topic"

    def require_answer(self) -> None:
        self._metadata(seconds=ANSWER_SECONDS)

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        if policy.fire_and_forget:
            raise Unsupported(f"{SUPPORT['topic'][Capability.FIRE_AND_FORGET].note}.")
        from brokercli.backends.kafka.publish import KafkaPublisher
        from brokercli.backends.kafka.topic_settings import read_settings, request_settings

        answer = request_settings(self._admin(), destination.name, self._connection.connect_timeout)
        partitions = self._topic(destination.name).partitions
        settings = read_settings(answer, self._connection.connect_timeout)
        notes = [*self.notes, *self._check_replicas(destination.name, partitions, settings)]
        kind: Callable[[Connection, str, PublishPolicy, TopicSettings], KafkaPublisher] = KafkaPublisher
        if policy.bodies_only:
            from brokercli.backends.kafka.publish_bodies import KafkaBodyPublisher, are_plain

            if are_plain(policy, self._connection, settings):
                kind = partial(KafkaBodyPublisher, partitions=len(partitions))
        publisher = kind(self._connection, destination.name, policy, settings)
        publisher.find_topic = partial(self._check_there, destination.name)
        publisher.notes[:0] = notes
        return publisher

    def _check_there(self, name: str) -> None:
        """Raise NotFound where a topic was deleted; does not wait for a broker that is away."""
        try:
            error = self._consumer.list_topics(name, timeout=1).topics[name].error
        except KafkaException:
            return
        if error is not None and isinstance(failure := translate(error, "publishing to", name), NotFound):
            raise failure

    def _check_replicas(self, name: str, partitions: dict[int, Any], settings: TopicSettings) -> list[str]:
        short = short_of_replicas(partitions, settings.minimum_in_sync)
        if short and len(short) == len(partitions):
            in_sync = max(len(partitions[number].isrs) for number in short)
            raise Failed(f"{name} takes no confirmed message: {in_sync} of its replicas are in sync and min.insync.replicas wants {settings.minimum_in_sync}.",
                         hint=f"brokercli describe topic:{name}")
        return [f"too few replicas of partition {', '.join(map(str, short))} are in sync; messages for them will not be confirmed"] if short else []

    def _admin(self) -> AdminClient:
        if self._administrator is None:
            from confluent_kafka.admin import AdminClient

            self._administrator = create(AdminClient, client_configuration(self._connection), self._connection)
        return self._administrator

    def look(self, source: Address, span: Span) -> Reader:
        if span.end is not None:
            return self._look(source, span, self._borrow, self._with_nothing_ahead)
        with self._borrowed() as lent:
            _, starts, ends = self._located(source, span, lent, self._with_nothing_ahead)
            if lent.consumer.assignment():
                # it read to find the place, and would go on asking
                lent.consumer.unassign()
        with _given_back_where_it_fails(self._another(FOLLOWING)) as lent:
            return self._read_from(lent, self._with_nothing_ahead, self._offsets_by(lent, source.name), starts, ends,
                                   only_these=isinstance(span.start, PerPartition))

    def look_bodies(self, source: Address, span: Span) -> Reader:
        from brokercli.backends.kafka.straight import are_many, is_plain

        if span.end is None or not is_plain(self._connection):
            return self.look(source, span)
        with _given_back_where_it_fails(self._borrow()) as lent:
            offsets, starts, ends = self._located(source, span, lent, self._with_nothing_ahead)
            read = partial(self._read_from, lent, self._with_nothing_ahead, offsets)
            if ends is None or not are_many(starts, ends):
                return read(starts, ends)
            from brokercli.backends.kafka.look_bodies import KafkaBodyReader, leaders_of

            leaders = leaders_of(self._metadata(source.name), source.name, starts)
            return KafkaBodyReader(source.name, starts, ends, leaders, min(self._connection.connect_timeout, LOST_SECONDS), read, lent.give_back)

    def _look(self, source: Address, span: Span, borrow: Callable[[], Lent], nothing_ahead: Callable[[], Lent] | None) -> KafkaReader:
        with _given_back_where_it_fails(borrow()) as lent:
            return self._read_from(lent, nothing_ahead, *self._located(source, span, lent, nothing_ahead))

    def _located(self, source: Address, span: Span, lent: Lent,
                 nothing_ahead: Callable[[], Lent] | None) -> tuple[Offsets, dict[int, int], dict[int, int] | None]:
        partitions = sorted(self._topic(source.name).partitions)
        offsets = self._offsets_by(lent, source.name)
        last = partial(newest, lent=lent, offsets=offsets, nothing_ahead=nothing_ahead, patience=LOST_SECONDS)
        return offsets, *locate(span, partitions, offsets, last)

    def _offsets_by(self, lent: Lent, name: str) -> Offsets:
        return Offsets(lent.consumer, name, self._connection.connect_timeout)

    def _read_from(self, lent: Lent, nothing_ahead: Callable[[], Lent] | None, offsets: Offsets, starts: dict[int, int], ends: dict[int, int] | None,
                   number: int | None = None, epochs: Mapping[int, int] = MappingProxyType({}), *, only_these: bool = False) -> KafkaReader:
        """`number` is the topic's (`topic_ids`), where it is known; `epochs` and `only_these` as of `KafkaReader`."""
        made_anew = Failed(f"{offsets.topic} was deleted and made anew while it was being read: what came last may be of the new one, which was not "
                           "read from its start.", hint="the same command reads the new one")
        reader = KafkaReader(lent, offsets, starts, ends, self._read_anew, nothing_ahead=nothing_ahead,
                             still_there=StillThere(self._admin, offsets.topic, self._connection.connect_timeout, made_anew, number), epochs=epochs,
                             only_these=only_these)
        reader.notes += self.notes
        return reader

    def _read_anew(self, place: tuple[str, int, int]) -> tuple[Header, ...]:
        if self._header_bytes is None:
            from brokercli.backends.kafka.header_bytes import HeaderBytes

            self._header_bytes = HeaderBytes(self._connection)
        return self._header_bytes.read(place)

    def incarnation(self, source: Address) -> str:
        from brokercli.backends.kafka.topic_ids import id_of

        return id_of(self._admin(), source.name, self._connection.connect_timeout)

    def _borrow(self) -> Lent:
        """Return a consumer to read with: the one that is connected, or a new one while that is reading."""
        if self._lent:
            return self._another(READING)
        self._lent = True
        return Lent(self._consumer, self._troubles, self._take_back)

    @contextmanager
    def _borrowed(self) -> Iterator[Lent]:
        lent = self._borrow()
        try:
            yield lent
        finally:
            lent.give_back()

    def _another(self, reading: Mapping[str, int]) -> Lent:
        troubles = Troubles()
        consumer = self._open_consumer(troubles, reading)
        return Lent(consumer, troubles, partial(retire, consumer))

    def _with_nothing_ahead(self) -> Lent:
        return self._another(NOTHING_AHEAD)

    def _take_back(self) -> None:
        # unassigning costs 10 ms; the next look assigns anew, and what is fetched ahead until then is bounded
        self._lent = False

    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        if kinds and "topic" not in kinds:
            return iter(())
        from brokercli.backends.kafka.listing import list_topics

        return list_topics(self._admin(), self._metadata(), self._connection.connect_timeout)

    def not_shown(self) -> str:
        from brokercli.backends.kafka.not_shown import topics_not_shown

        return topics_not_shown(lambda name: self._metadata(name, ANSWER_SECONDS).topics[name])

    def describe(self, address: Address) -> Description:
        from brokercli.backends.kafka.describe import describe_topic

        return describe_topic(address.name, self._metadata_with(address.name), self._admin(), self._connection.connect_timeout)

    def flow(self, address: Address) -> Flow:
        from brokercli.backends.kafka.flowing import flow_of

        return flow_of(address.name, self._metadata_with(address.name), self._admin(), self._connection.connect_timeout)

    def dead_letter_sources(self, patterns: Sequence[str] = (), unseen: MutableSequence[str] | None = None) -> Iterable[DeadLetterSource]:
        from brokercli.backends.kafka.dead_letters import find_sources

        missing = [] if unseen is None else unseen
        with self._borrowed() as lent:
            nothing = True
            for source in find_sources(patterns, self._metadata(), lent.consumer, self._admin(), self._connection.connect_timeout, missing):
                nothing = False
                yield source
        if nothing and (why := self.not_shown()):
            missing.append(why)

    def look_letters(self, source: Address, patterns: Sequence[str] = ()) -> LetterReader:
        from brokercli.backends.kafka.leaderless import FURTHEST, led_partitions
        from brokercli.backends.kafka.letters import open_letters

        timeout = self._connection.connect_timeout
        led, left_out = led_partitions(source.name, partial(self._topic, source.name), timeout)
        end = End() if left_out is None else PerPartition(tuple((partition, FURTHEST) for partition in led))
        with self._borrowed() as lent:
            reader = self._look(source, Span(Start(), end), self._with_nothing_ahead, None)
            return open_letters(reader, source.name, self._admin(), lent.consumer, partial(self._any_node, source.name), timeout, left_out)

    def repair(self, source: Address, policy: RepairPolicy, patterns: Sequence[str] = ()) -> Repair:
        from brokercli.backends.kafka.open_repair import Cluster, open_repair

        cluster = Cluster(self._connection, self._admin(), self._named_topic, partial(self._any_node, source.name), self._read_anew, self.publisher,
                          self.look)
        repair = open_repair(cluster, source.name, policy)
        repair.notes += self.notes
        return repair

    def _any_node(self, topic: str) -> int | None:
        """Return the number of a broker; None while the metadata of the topic name none."""
        return min(self._metadata(topic).brokers, default=None)

    def _named_topic(self, name: str) -> Any:
        """Return the metadata of a topic by a name that anybody may have written."""
        return self._topic(self.resolve(Address(name), "publish").name)

    def fetch(self, places: Sequence[Place]) -> Sequence[Record | Unread | None]:
        from brokercli.backends.kafka.fetch import fetch

        with self._borrowed() as lent:
            return fetch(places, lambda name: self._named_topic(name).partitions, lent, self._with_nothing_ahead, self._connection.connect_timeout,
                         self._read_anew, self._admin)

    def declarer(self) -> Declarer:
        from brokercli.backends.kafka.declaring import KafkaDeclarer

        return KafkaDeclarer(self._admin(), self._metadata, self._connection.connect_timeout)

    def consumers(self) -> Consumers:
        from brokercli.backends.kafka.consuming import KafkaConsumers
        from brokercli.backends.kafka.seeking import Seeker

        return KafkaConsumers(self._admin(), self._metadata, Seeker(self._admin(), self._offsets_of, self._connection.connect_timeout),
                              self._connection.connect_timeout)

    def _offsets_of(self, name: str) -> tuple[Sequence[int], Offsets, LastOf]:
        """Return a topic's partitions, and how to find positions in them."""
        offsets = Offsets(self._consumer, name, self._connection.connect_timeout)

        def last(count: int, ranges: dict[int, Range]) -> dict[int, int]:
            with self._borrowed() as lent:
                return newest(count, ranges, lent, offsets, self._with_nothing_ahead, LOST_SECONDS)

        return sorted(self._topic(name).partitions), offsets, last

    def checkup(self) -> Iterable[Check]:
        from brokercli.backends.kafka.checkup import check_up

        return check_up(self._metadata(), bool(self.not_shown()), self._admin(), self.notes, self._connection.connect_timeout)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._header_bytes is not None:
                self._header_bytes.close()
            retire(self._consumer)


@contextmanager
def _given_back_where_it_fails(lent: Lent) -> Iterator[Lent]:
    """Whoever is made within this has the consumer from then on."""
    try:
        yield lent
    except BaseException:
        lent.give_back()
        raise


def _names_in(metadata: Any) -> list[str]:
    from brokercli.backends.kafka.listing import is_internal

    return [name for name in metadata.topics if not is_internal(name)]
