"""Reading a topic without a trace: partitions are assigned, no group is joined, nothing is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic, sleep
from types import MappingProxyType

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from brokercli.backends.contract import Reader
from brokercli.backends.kafka.failures import connection_lost, translate
from brokercli.backends.kafka.mute import MuteLeaders
from brokercli.backends.kafka.odd_headers import OddHeaders, ReadAnew, Stored
from brokercli.backends.kafka.reading import Lent
from brokercli.backends.kafka.records import KafkaBatch
from brokercli.backends.kafka.span import NOT_STORED, RETRY_SECONDS, Offsets, out_of_range
from brokercli.backends.kafka.still_there import StillThere
from brokercli.backends.kafka.unreadable import Unreadable
from brokercli.backends.kafka.waiting import take
from brokercli.model.errors import BrokercliError, Failed
from brokercli.model.position import PerPartition, Span

LARGE_HEADERS = 8192
"""Bytes of one record's headers from which nothing is read ahead: 6,000 times that is what memory there is for."""
NEW_PARTITIONS_SECONDS = 10.0
"""How often a look to which nothing comes asks whether partitions were added, the topic deleted, or what comes is held back; one that follows
asks also while something comes of other partitions."""
IDENTITY_SECONDS = 3.0
"""How often a look that lasts asks whether its topic is still the one it was. One that is over sooner does not ask: nobody deletes a topic,
makes it anew and fills it beyond where we read in the meantime."""
LOST_SECONDS = 30.0
"""How long all brokers may be away before a look is given up; a restart takes less."""
_LETTING_GO_SECONDS = 5.0
_BATCH = 2500
# the client looks for the coordinator of the group that it must name and never joins: reading needs no permission for it
_NOT_OURS = (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR, KafkaError._TRANSPORT,
             KafkaError._ALL_BROKERS_DOWN)
_error_of = KafkaMessage.error


class KafkaReader(Reader):
    """The records of some partitions: in order within each partition, as the brokers answer between them.

    Committed records only, unless the connection's options say `isolation.level=read_uncommitted`. Offsets that no
    reader ever sees (aborted transactions, markers, what compaction removed) are passed over; the end is reached all
    the same, because the client says so when it has passed the last of them. Following, partitions that are added to
    the topic are read from their start.
    """

    def __init__(self, lent: Lent, offsets: Offsets, starts: dict[int, int], ends: dict[int, int] | None, read_anew: ReadAnew,
                 batch: int = _BATCH, nothing_ahead: Callable[[], Lent] | None = None, still_there: StillThere | None = None,
                 epochs: Mapping[int, int] = MappingProxyType({}), only_these: bool = False) -> None:
        """`read_anew` reads headers that the client cannot read, once somebody asks for them. A read returns at most `batch` records and
        one more, fewer where they are large. `nothing_ahead` makes a consumer that goes on where headers turn out to be large; None where
        this is one. Without `still_there` whoever reads asks that himself, or is done before it matters. `epochs` are those of the leaders who
        stored what lies before the starts, where that was read: the client finds out whether it lies there still. `only_these`: no other partitions
        are read that there are or come to be."""
        self._still_there = still_there
        self._identity_due = monotonic() + IDENTITY_SECONDS
        self._read_anew = read_anew
        self._batch = batch
        self._nothing_ahead = nothing_ahead
        self._consumer, self._troubles, give_back = lent
        self._give_back = [give_back]
        self._offsets = offsets
        self._topic = offsets.topic
        self._ends = ends
        self._starts = dict(starts)
        self._closed = False
        self._failure: BrokercliError | None = None
        self.notes: list[str] = []
        self._known = set(starts)
        self._takes_new = ends is None and not only_these
        self._mute = MuteLeaders(self._topic)
        self._unreadable = Unreadable(self._topic, lambda note: self.notes.append(note))
        self._told_of_quota = False
        self._look_for_partitions = monotonic() + NEW_PARTITIONS_SECONDS
        self._passed: set[int] = set()
        """Partitions of which the client said, since the last batch, that it has passed the end."""
        self._held_back: set[int] = set()
        """Partitions of which an open transaction was told."""
        self._stable: dict[int, int] = {}
        """Where what may be read ended in partitions that hold more, when that was last asked; the client says only once that it is at an end."""
        # also those of which nothing is wanted: what they hold may all lie behind an open transaction, and the client says so with their end
        self._open = set(starts)
        self.expected = None if ends is None else sum(ends[partition] - starts[partition] for partition in self._open)
        self.bounds = None if ends is None else Span(PerPartition(tuple(sorted(starts.items()))), PerPartition(tuple(sorted(ends.items()))))
        self._begin(starts, epochs)

    def read(self, timeout: float) -> KafkaBatch | None:
        deadline = monotonic() + timeout
        while self._failure is None and not self.finished:
            # in pieces, so that a lost connection and new partitions show while nothing comes
            first = self._consumer.poll(min(1.0, max(0.0, deadline - monotonic())))
            if first is None:
                self._while_idle()
                if monotonic() >= deadline:
                    return None
                continue
            odd = OddHeaders(self._read_anew)
            messages = take(self._consumer, first, self._batch, odd)
            if any(map(_error_of, messages)):
                messages = self._without_events(messages)
            if self._ends is not None:
                messages = self._up_to_the_end(messages, self._ends)
            if odd.largest > LARGE_HEADERS and self._nothing_ahead is not None and self._open:
                self._go_on_with_nothing_ahead(self._nothing_ahead)
            if messages:
                self._troubles.down_since = None
                self._mute.heard_of(message.partition() for message in messages)
                self._unreadable.heard_of(message.partition() for message in messages)
                self._check_identity()
                if self._failure is None:
                    if self._ends is None:
                        # it may never be idle
                        self._look_around(monotonic())
                    return KafkaBatch(messages, odd)
        if self._failure is not None:
            raise self._failure
        return None

    def _begin(self, offsets: Mapping[int, int], epochs: Mapping[int, int]) -> None:
        """Have the client read what is open from these offsets on, behind what leaders of these epochs had stored, where that is known."""
        self._consumer.assign([TopicPartition(self._topic, partition, offsets[partition]) for partition in sorted(self._open)])
        self._find_out_what_lies_before([TopicPartition(self._topic, partition, offsets[partition], leader_epoch=epochs[partition])
                                         for partition in self._open & epochs.keys()])

    def _find_out_what_lies_before(self, places: Iterable[TopicPartition]) -> None:
        """Have the client ask whether what leaders of these epochs had stored there is there still, and fail where it is not. It asks where it is sent
        to a place; where it begins at one it does not, once it knows the leader (2.16)."""
        give_up = monotonic() + _LETTING_GO_SECONDS
        for place in places:
            while True:
                try:
                    self._consumer.seek(place)
                except KafkaException as problem:
                    # of what was read before it is still letting go
                    if problem.args[0].code() == KafkaError._STATE and monotonic() < give_up:
                        sleep(RETRY_SECONDS / 10)
                        continue
                break

    def _go_on_with_nothing_ahead(self, another: Callable[[], Lent]) -> None:
        """Let go of what the client has read ahead, whose own bounds leave headers out, and read that once more with one that does not."""
        self._nothing_ahead = None
        try:
            consumer, troubles, give_back = another()
        except BrokercliError:
            return  # a broker that lets nobody else in; this client is still connected
        read = [place for place in self._consumer.position(self._places()) if place.offset >= 0]
        self._consumer.unassign()
        self._consumer, self._troubles = consumer, troubles
        self._give_back.append(give_back)
        self._begin(self._starts | {place.partition: place.offset for place in read},
                    {place.partition: place.leader_epoch for place in read if place.leader_epoch is not None})

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in sorted(self._open)]

    def _without_events(self, messages: list[Stored]) -> list[Stored]:
        records: list[Stored] = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif message.topic() not in (None, self._topic):
                # of the look before this one
                continue
            elif error.code() == KafkaError._PARTITION_EOF:
                self._troubles.down_since = None
                self._at_end_of(message.partition(), message.offset())
            elif error.code() == KafkaError.UNKNOWN:
                self._failure = self._failure or self._unreadable.failed(message.partition(), error, monotonic())
            elif self._failure is None and error.code() not in _NOT_OURS:
                self._failure = self._failure_of(error)
        return records

    def _at_end_of(self, partition: int, offset: int) -> None:
        self._unreadable.heard_of([partition])
        if self._ends is None:
            self._note_open_transaction(partition, offset)
        elif offset >= self._ends[partition]:
            self._passed.add(partition)

    def _failure_of(self, error: KafkaError) -> BrokercliError:
        if error.code() in NOT_STORED:
            try:
                held = self._offsets.ranges(sorted(self._open))
            except Failed:
                # partitions are never taken away
                if self._open <= self._consumer.list_topics(self._topic, timeout=1).topics[self._topic].partitions.keys():
                    raise
                return Failed(f"{self._topic} was deleted and made anew, with fewer partitions, while it was being read.",
                              hint="the same command reads the new one")
            return out_of_range(held, "are not stored any more: they were deleted, or the broker lost them, while they were being read")
        return translate(error, "reading", self._topic)

    def _up_to_the_end(self, messages: list[Stored], ends: dict[int, int]) -> list[Stored]:
        if not self._passed and messages and len(self._open) == 1 and messages[-1].offset() + 1 < ends[messages[-1].partition()]:
            return messages  # of the one partition that is left, and not its last
        done, self._passed = self._passed & self._open, set()
        done.update(place.partition for place in self._consumer.position(self._places()) if place.offset >= ends[place.partition])
        if not done:
            return messages
        self._open -= done
        if self._open:
            # they would fill the queue with what comes after the end; a pause would outlive this look, and stop the next one
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition) for partition in done])
        for partition in done:
            self._note_open_transaction(partition, ends[partition])
        return [message for message in messages if message.offset() < ends[message.partition()]]

    def _note_open_transaction(self, partition: int, offset: int) -> None:
        if partition in self._held_back:
            return
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            # the last fetch saw more than we may read; it is a transaction if what we may read still ends here
            if high <= offset or self._offsets.ends([partition])[partition] > offset:
                return
        except (KafkaException, BrokercliError):
            return
        self._tell_of_open_transaction(partition, offset, high)

    def _look_for_open_transactions(self) -> None:
        """Tell of transactions that began since the end was reached, and that are open for as long as between two looks."""
        try:
            highs = {place.partition: self._consumer.get_watermark_offsets(place, cached=True)[1] for place in self._places()}
            held = [place.partition for place in self._consumer.position(self._places())
                    if place.partition not in self._held_back and place.offset < highs[place.partition]]
            # what comes of the other partitions does not wait for a leader that is away
            stable = Offsets(self._consumer, self._topic, 1).ends(held) if held else {}
        except (KafkaException, BrokercliError):
            return
        before, self._stable = self._stable, {partition: offset for partition, offset in stable.items() if offset < highs[partition]}
        for partition, offset in self._stable.items():
            if before.get(partition) == offset:
                self._tell_of_open_transaction(partition, offset, highs[partition])

    def _tell_of_open_transaction(self, partition: int, offset: int, high: int) -> None:
        self._held_back.add(partition)
        self.notes.append(held_back(partition, offset, high))

    def _check_identity(self) -> None:
        asks = self._still_there
        if asks is None or not (monotonic() >= self._identity_due or (asks.known and self.finished)):
            return
        self._identity_due = monotonic() + IDENTITY_SECONDS
        asks.ask()
        try:
            asks.check()
        except Failed as problem:
            self._failure = problem

    def _while_idle(self) -> None:
        now = monotonic()
        if self._troubles.down_since is not None and now - self._troubles.down_since > LOST_SECONDS:
            self._check_connection()
        elif throttled := self._troubles.throttled:
            # who is asked now does not answer either
            if not self._told_of_quota:
                self._told_of_quota = True
                self.notes.append(throttled)
        elif (told := self._mute.ask(self._consumer, self._open)) is not None:
            self.notes.append(told)
        else:
            if self._ends is not None and not self._mute.any:
                self._unreadable.nothing_came(now)
            self._look_around(now)

    def _look_around(self, now: float) -> None:
        if now < self._look_for_partitions:
            return
        self._look_for_partitions = now + NEW_PARTITIONS_SECONDS
        self._ask_for_partitions()
        if self._ends is None and self._failure is None:
            self._look_for_open_transactions()

    def _check_connection(self) -> None:
        # an idle topic says nothing when its broker is back, so ask before giving up
        try:
            self._consumer.list_topics(self._topic, timeout=2)
            self._troubles.clear()
        except KafkaException as problem:
            self._failure = connection_lost(self._troubles.specific or problem.args[0], self._topic, LOST_SECONDS)

    def _ask_for_partitions(self) -> None:
        # the client says nothing of a topic that is deleted (2.16)
        try:
            topic = self._consumer.list_topics(self._topic, timeout=1).topics[self._topic]
        except KafkaException:
            return
        if topic.error is not None:
            if topic.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                self._failure = translate(topic.error, "reading", self._topic)
            return
        new = sorted(set(topic.partitions) - self._known) if self._takes_new else []
        if new:
            self._known.update(new)
            self._open.update(new)
            lows = self._offsets.starts(new)
            self._starts.update(lows)
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, lows[partition]) for partition in new])

    @property
    def finished(self) -> bool:
        return self._ends is not None and not self._open and self._failure is None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for give_back in self._give_back:
                give_back()


def held_back(partition: int, offset: int, high: int) -> str:
    """Say that what lies between two offsets of a partition cannot be read yet."""
    return f"partition {partition}: a transaction that is still open holds back {high - offset} offsets from {offset} on"
