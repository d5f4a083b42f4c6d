"""Where the handled state lives: the committed offsets, and their metadata, of a group that nobody is a member of.

The committed offset of a partition is the floor below which every letter is handled; its metadata say which ones above it.
So the state belongs to the broker, and everybody who works on these letters shares it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic, sleep, time
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._resource import ResourceType

from brokercli.backends.kafka.configurations import values_of
from brokercli.backends.kafka.coordinators import await_coordinators
from brokercli.backends.kafka.failures import COMING_BACK_SECONDS, NO_SUCH_GROUP, is_coming_back, translate
from brokercli.backends.kafka.handled_set import HandledSet
from brokercli.backends.kafka.handled_text import CHARACTERS, FromTheFuture, NotOurs, Room, read, write
from brokercli.backends.kafka.span import Range
from brokercli.model.errors import BrokercliError, Failed

_PREFIX = "brokercli.dlq."
_ASKING = "asking which letters are handled in"
_UNSTABLE_SECONDS = 1.0
_AGAIN_SECONDS = 0.005
_OLD = 0.1
"""After this share of the time for which a broker keeps a state it is worth writing once more."""
RETENTION_MINUTES = 10_080
"""What a broker's offsets.retention.minutes is unless set."""
_LONGEST, TRANSACTION_SECONDS = "transaction.max.timeout.ms", 900
"""How long a transaction may last, by what a broker calls that and unless it is set."""


def group_of(topic: str) -> str:
    """Return the group, and the transactional id, under which a topic's letters are handled."""
    return _PREFIX + topic


def topic_of(group: str) -> str | None:
    """Return the topic whose letters are handled under a group; None where it is no such group."""
    return group.removeprefix(_PREFIX) if group.startswith(_PREFIX) and group != _PREFIX else None


@dataclass(slots=True)
class HandledLetters:
    """The handled sets of a topic's partitions, and what the user should know about them."""

    topic: str
    topic_tag: int
    """What its id makes it (`topic_ids`); 0 where the broker gives topics none."""
    sets: dict[int, HandledSet] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)
    """When each partition's state was written, minutes since 1970."""
    tags: dict[int, int] = field(default_factory=dict)
    """The topic's number in each partition's state, where one was written."""
    epochs: dict[int, int] = field(default_factory=dict)
    """The epoch of the leader under which the last letter was stored that had been read when a partition's state was written, where that says so."""
    without_end: set[int] = field(default_factory=set)
    """Partitions that end before what was handled in them."""
    notes: list[str] = field(default_factory=list)
    known: bool = False
    """Whether the broker keeps anything at all about them."""

    def pending(self, ranges: dict[int, Range]) -> int:
        """Count the offsets that are stored and not handled."""
        return sum(held.high - held.low - self.sets[partition].handled_between(held.low, held.high) for partition, held in ranges.items())

    def offsets(self, partitions: Collection[int], sets: dict[int, HandledSet], room: Room) -> list[TopicPartition] | None:
        """Return what to commit for some partitions; None when one of them has no room for its set."""
        minutes = int(time()) // 60
        found = []
        for partition in partitions:
            # whoever asks a broker that tells no id does not make others forget it
            text = write(sets[partition], self.topic_tag or self.tags.get(partition, 0), minutes, room)
            if text is None:
                return None
            found.append(TopicPartition(self.topic, partition, sets[partition].floor, text, self.epochs.get(partition, -1)))
        return found

    def is_old(self, partition: int, retention_minutes: int) -> bool:
        """Whether a partition's state was written so long ago that it is worth writing once more, of a broker that forgets it after a time."""
        written = self.written.get(partition)
        return written is not None and int(time()) // 60 - written > retention_minutes * _OLD


def understand(topic: str, topic_tag: int, committed: Iterable[TopicPartition], ranges: dict[int, Range]) -> HandledLetters:
    """Make sense of the committed offsets of a topic that holds `ranges`.

    What is said of another topic of the same name, or of offsets that the log does not have (any more), is left out.
    Raises Failed for a state that only a newer version can read.
    """
    found = HandledLetters(topic, topic_tag)
    for place in committed:
        held = ranges.get(place.partition)
        if held is not None and place.offset >= 0:
            found.known = True
            found.sets[place.partition] = _understand(found, place, held).from_offset(held.low)
    for partition, held in ranges.items():
        found.sets.setdefault(partition, HandledSet(held.low))
    return found


def _understand(found: HandledLetters, place: TopicPartition, held: Range) -> HandledSet:
    where = f"partition {place.partition} of {found.topic}"
    tag = 0
    try:
        said = read(place.offset, place.metadata or "")
    except FromTheFuture:
        raise Failed(f"Which letters in {where} are handled was written by a newer brokercli, which this one cannot read.",
                     hint="pip install --upgrade brokercli") from None
    except NotOurs:
        handled = HandledSet(place.offset)
        found.notes.append(f"the offset committed for {where} was not written by brokercli: everything below {place.offset} counts as handled")
    else:
        handled, tag = said.handled, said.topic_tag
        found.written[place.partition], found.tags[place.partition] = said.minutes, tag
    if tag and found.topic_tag and tag != found.topic_tag:
        found.notes.append(f"{where} was made anew since letters were handled there: all of its letters count as pending")
        return HandledSet(held.low)
    if tag and found.topic_tag and place.leader_epoch is not None and place.leader_epoch >= 0:
        found.epochs[place.partition] = place.leader_epoch
    if handled.end > held.high:
        if handled.floor > held.high and not (tag and found.topic_tag):
            found.notes.append(f"{where} ends at {held.high}, before the {handled.floor} up to which letters were handled: all of its letters count as pending")
            return HandledSet(held.low)
        found.notes.append(f"{where} ends at {held.high}, and letters beyond that were handled: the broker has lost the end of this partition")
        found.without_end.add(place.partition)
        # where the epoch tells what came since (`lost_end`), nothing is forgotten because of a leader that is merely behind
        return handled if place.partition in found.epochs else handled.up_to(held.high)
    return handled


class CommittedOffsets:
    """Asks for the committed offsets of a topic's partitions when it is made, and waits for the answer when that is wanted. `ask_committed`
    makes them, once their coordinators are there."""

    def __init__(self, admin: AdminClient, topic: str, partitions: Collection[int], seconds: float) -> None:
        self._admin = admin
        self._topic = topic
        self._places = [TopicPartition(topic, partition) for partition in partitions]
        self._seconds = seconds
        self._answer = self._ask(stable=True)

    def _ask(self, *, stable: bool) -> Future[Any]:
        group = group_of(self._topic)
        future: Future[Any] = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, self._places)], require_stable=stable, request_timeout=self._seconds)[group]
        return future

    def read(self) -> tuple[list[TopicPartition], list[str]]:
        """Return the offsets, and what is to be said about them. Raises what the broker says against it.

        A transaction is confirmed a moment before its offsets show; one that stays open does not hold this up.
        """
        notes: list[str] = []
        deadline, give_up = monotonic() + _UNSTABLE_SECONDS, monotonic() + self._seconds
        while True:
            try:
                places: list[TopicPartition] = self._answer.result(self._seconds).topic_partitions
            except (KafkaException, TimeoutError) as problem:
                if isinstance(problem, KafkaException) and is_coming_back(problem.args[0]) and monotonic() < give_up:
                    sleep(COMING_BACK_SECONDS)
                    await_coordinators(self._admin, [group_of(self._topic)], give_up - monotonic())
                    self._answer = self._ask(stable=True)
                    continue
                raise _failure(problem, _ASKING, self._topic) from None
            errors = [place.error for place in places if place.error is not None]
            if any(error.code() != KafkaError.UNSTABLE_OFFSET_COMMIT for error in errors):
                raise translate(errors[0], _ASKING, self._topic)
            if not errors:
                return places, notes
            stable = monotonic() < deadline
            if stable:
                sleep(_AGAIN_SECONDS)
            else:
                notes = ["a redrive is in the middle of a transaction, or was killed there: what it handles is not counted yet"]
            self._answer = self._ask(stable=stable)


def ask_committed(admin: AdminClient, topics: Mapping[str, Collection[int]], seconds: float) -> dict[str, CommittedOffsets]:
    """Ask for the committed offsets of the partitions of topics, all at once, of coordinators that are there."""
    await_coordinators(admin, [group_of(topic) for topic in topics], seconds)
    return {topic: CommittedOffsets(admin, topic, partitions, seconds) for topic, partitions in topics.items()}


def check_stable(admin: AdminClient, topic: str, partitions: Collection[int], seconds: float) -> None:
    """Raise Failed where a transaction over a topic's letters is open, though whoever had it is fenced: a broker that was away for longer than a
    transaction lasts may take it for ended while it starts, and write no marker (seen on 4.4.0). What the next one commits would
    commit its marks as well."""
    _, notes = ask_committed(admin, {topic: partitions}, seconds)[topic].read()
    if notes:
        group = group_of(topic)
        raise Failed(f"A transaction of {group} was cut off, and the broker has left it open in the group's offsets.",
                     hint="kafka-transactions.sh find-hanging names it, and abort ends it, in __consumer_offsets and where its letters went; "
                          "then the same command goes on")


def members_of(admin: AdminClient, topic: str, seconds: float) -> int:
    """Count the consumers that are members of the group."""
    group = group_of(topic)
    give_up = monotonic() + seconds
    while True:
        try:
            return len(admin.describe_consumer_groups([group], request_timeout=seconds)[group].result(seconds).members)
        except (KafkaException, TimeoutError) as problem:
            # before 4.0 a group that is not there is described as dead, since then it may be an error
            error = problem.args[0] if isinstance(problem, KafkaException) else None
            if error is not None and error.code() in NO_SUCH_GROUP:
                return 0
            if error is None or not is_coming_back(error) or monotonic() >= give_up:
                raise _failure(problem, "asking who is a member of the group", group) from None
            sleep(COMING_BACK_SECONDS)


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What the broker keeps for a group, and how long a transaction of it may last; its defaults where we may not ask."""

    room: Room = field(default_factory=Room)
    retention_minutes: int = RETENTION_MINUTES
    transaction_seconds: float = TRANSACTION_SECONDS


def limits_of(admin: AdminClient, node: int | None, seconds: float) -> GroupLimits:
    """Ask a broker for its limits; its defaults are taken to hold where we may not ask, or where there is none to ask now."""
    if node is None:
        return GroupLimits()
    values = values_of(admin, ResourceType.BROKER, str(node), seconds)
    try:
        # the protocol's strings end at 32,767 bytes, and each of our wide characters takes three
        characters = min(int(values["offset.metadata.max.bytes"]) - 1, 8 * CHARACTERS // 3)
        return GroupLimits(Room(characters), int(values["offsets.retention.minutes"]), int(values.get(_LONGEST, 1000 * TRANSACTION_SECONDS)) / 1000)
    except (KeyError, ValueError):
        return GroupLimits()


def _failure(problem: KafkaException | TimeoutError, doing: str, where: str) -> BrokercliError:
    error = problem.args[0] if isinstance(problem, KafkaException) else KafkaError(KafkaError._TIMED_OUT)
    return translate(error, doing, where)
