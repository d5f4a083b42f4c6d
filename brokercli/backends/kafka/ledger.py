"""What one run knows of the handled letters, and how it enters more of them into the group's committed offsets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.convert import Native
from brokercli.backends.kafka.failures import translate, while_coming_back
from brokercli.backends.kafka.handled_group import GroupLimits, HandledLetters, understand
from brokercli.backends.kafka.handled_set import HandledSet
from brokercli.backends.kafka.handled_text import Room, more_that_fit
from brokercli.backends.kafka.lost_end import count_what_came_since, count_what_later_leaders_stored
from brokercli.backends.kafka.span import Offsets, Range

_REMEMBERED_GAPS = 100_000
_RENEWED_BYTES = 500_000
"""So much of what is committed is there to be kept: what a broker writes at once of a group's offsets is one batch, of a megabyte by default."""
_EACH_BYTES = 64
_SCARCE = 1000


class Letter(NamedTuple):
    """One letter to handle. `number` is its place in what the operation gave; without a copy it is only marked."""

    number: int
    partition: int
    offset: int
    topic: str = ""
    native: Native | None = None
    size: int = 0


@dataclass(slots=True)
class Entry:
    """Letters that can be marked together, and what that takes."""

    letters: Sequence[Letter]
    without_room: Sequence[Letter]
    sets: dict[int, HandledSet]
    offsets: list[TopicPartition]


class Ledger:
    """The handled sets of a topic as the broker has them, changed only by `adopt` (after a commit) and `reread`."""

    def __init__(self, consumer: Consumer, offsets: Offsets, topic_tag: int, limits: GroupLimits, timeout: float) -> None:
        """Read what the broker has. `consumer` names the group and is no member of it."""
        self._consumer = consumer
        self._offsets = offsets
        self._topic_tag = topic_tag
        self._timeout = timeout
        self.room: Room = limits.room
        self._retention_minutes = limits.retention_minutes
        self._gaps: dict[tuple[int, int], int] = {}
        self._bridges: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._renewed: set[int] = set()
        """Partitions whose state was committed in this run."""
        self._seen: dict[int, tuple[int, str]] = {}
        self._read: dict[int, tuple[int, int]] = {}
        """Offset and leader's epoch of the last letter of each partition that was read."""
        self._lost: dict[int, tuple[int, int]] = {}
        """Which epoch a partition's state named, and where in it what later leaders stored began, when the run did."""
        self.handled = HandledLetters(offsets.topic, topic_tag)
        self.ranges: dict[int, Range] = {}
        """What each partition held when it was last asked what is handled in them."""

    def reread(self, partitions: Collection[int]) -> None:
        """Take what the broker has for the truth; waits for an open transaction of the group to end."""
        committed = self._committed(partitions)
        self.ranges = self._offsets.ranges(partitions)
        self.handled = understand(self._offsets.topic, self._topic_tag, committed, self.ranges)
        count_what_came_since(self.handled, self._offsets)
        for partition, (epoch, first) in self._lost.items():
            if self.handled.epochs.get(partition) == epoch:
                self.handled.sets[partition] = self.handled.sets[partition].up_to(first)
        self._seen = {place.partition: (place.offset, place.metadata or "") for place in committed}

    def find_lost_ends(self) -> None:
        """Have letters count as pending that came after the broker lost others. Reads, so nobody else may read with this consumer yet."""
        epochs = dict(self.handled.epochs)
        found = count_what_later_leaders_stored(self.handled, self.ranges, self._offsets, self._consumer, self._timeout)
        self._lost = {partition: (epochs[partition], first) for partition, first in found.items()}

    def is_of_a_later_leader(self, partition: int, epoch: int) -> bool:
        """Whether that is known to be a later leader's epoch than those of all letters that are handled."""
        known = self.handled.epochs.get(partition)
        return known is not None and epoch > known

    def note_read(self, partition: int, offset: int, epoch: int) -> None:
        """Remember the last letter of a partition that was read, and the epoch of the leader under which it was stored; below 0 where nobody tells."""
        if epoch >= 0:
            self._read[partition] = offset, epoch

    def _note_epochs(self, partitions: Collection[int]) -> None:
        handled = self.handled
        for partition in self._read.keys() & partitions:
            offset, epoch = self._read[partition]
            # of what was handled further on by who wrote no epoch nothing is known
            if partition in handled.epochs or handled.sets[partition].end <= offset + 1:
                handled.epochs[partition] = max(epoch, handled.epochs.get(partition, epoch))

    def changed_by_another(self) -> bool:
        """Whether the broker has something else than what was read or written here."""
        committed = self._committed(self.handled.sets)
        return any(self._seen.get(place.partition) != (place.offset, place.metadata or "") for place in committed)

    def _committed(self, partitions: Collection[int]) -> list[TopicPartition]:
        topic = self._offsets.topic
        try:
            asked = [TopicPartition(topic, partition) for partition in partitions]
            places = while_coming_back(lambda: self._consumer.committed(asked, self._timeout), self._timeout)
        except KafkaException as problem:
            raise translate(problem.args[0], "asking which letters are handled in", topic) from None
        for place in places:
            if place.error is not None:
                raise translate(place.error, "asking which letters are handled in", topic)
        return list(places)

    @property
    def group(self) -> Any:
        """What a transaction needs to commit offsets for the group."""
        return self._consumer.consumer_group_metadata()

    def state(self, partition: int, offset: int) -> State | None:
        """Say what became of a letter; None for a partition that there is not."""
        handled = self.handled.sets.get(partition)
        return None if handled is None else handled.state(offset)

    def is_stored(self, letter: Letter) -> bool:
        """Whether a letter had not been deleted when the broker was last asked; one that was counts as handled, whatever became of it."""
        return letter.offset >= self.ranges[letter.partition].low

    def has(self, entry: Entry) -> bool:
        """Whether the broker has just what an entry says."""
        return all(self._seen.get(place.partition) == (place.offset, place.metadata or "") for place in entry.offsets)

    def note_gap(self, partition: int, start: int, offset: int) -> None:
        """Remember that nothing is stored from `start` up to the letter at `offset`: handling that one handles the gap."""
        if self.state(partition, offset) is not State.PENDING:
            self._bridges[partition].append((start, offset))
            return
        if len(self._gaps) >= _REMEMBERED_GAPS:
            del self._gaps[next(iter(self._gaps))]
        self._gaps[partition, offset] = start

    def entry(self, letters: Sequence[Letter], state: State) -> Entry:
        """Prepare to mark letters: all of them, or as many of the first as there is room for."""
        entered = self._entered(letters, state)
        if entered is not None:
            return Entry(letters, (), *entered)
        fit, too_many, best = 0, len(letters), None
        while too_many - fit > 1:
            count = (fit + too_many) // 2
            entered = self._entered(letters[:count], state)
            if entered is None:
                too_many = count
            else:
                fit, best = count, entered
        return Entry(letters[:fit], letters[fit:], *(best or ({}, [])))

    def _entered(self, letters: Sequence[Letter], state: State) -> tuple[dict[int, HandledSet], list[TopicPartition]] | None:
        by_partition: dict[int, list[int]] = defaultdict(list)
        for letter in letters:
            by_partition[letter.partition].append(letter.offset)
        sets = {partition: self._bridged(partition).handled(self._runs(partition, sorted(found)), state, len(found))
                for partition, found in by_partition.items()}
        return self._written(sets)

    def _bridged(self, partition: int) -> HandledSet:
        handled, bridges = self.handled.sets[partition], self._bridges.get(partition)
        return handled.handled(bridges, State.REDRIVEN, 0) if bridges else handled

    def _written(self, sets: dict[int, HandledSet]) -> tuple[dict[int, HandledSet], list[TopicPartition]] | None:
        self._note_epochs(sets)
        offsets = self.handled.offsets(sets, sets, self.room)
        if offsets is None:
            return None
        return sets, offsets + self._to_renew(sets)

    def _to_renew(self, others: Collection[int]) -> list[TopicPartition]:
        """Return what is committed of other partitions once more: the broker forgets offsets that were committed long ago, partition by partition.
        What is too much for one commit comes with those that follow, the oldest first."""
        handled, left, offsets = self.handled, _RENEWED_BYTES, list[TopicPartition]()
        rest = [partition for partition in handled.sets if partition not in others and partition not in self._renewed
                and self._seen.get(partition, (-1, ""))[0] >= 0]
        for partition in sorted(rest, key=lambda partition: handled.written.get(partition, 0)):
            for place in handled.offsets([partition], handled.sets, self.room) or ():
                # the topic's name is there twice: the group has it, too
                left -= _EACH_BYTES + 2 * len(place.topic) + len((place.metadata or "").encode())
                if left < 0:
                    return offsets
                offsets.append(place)
        return offsets

    def _runs(self, partition: int, offsets: list[int]) -> list[tuple[int, int]]:
        gaps = self._gaps
        if not gaps and offsets[-1] - offsets[0] == len(offsets) - 1:
            return [(offsets[0], offsets[-1] + 1)]
        runs: list[tuple[int, int]] = []
        for offset in offsets:
            start = gaps.get((partition, offset), offset)
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], offset + 1)
            else:
                runs.append((start, offset + 1))
        return runs

    def adopt(self, entry: Entry) -> None:
        """Take an entry for true: the broker has committed it."""
        self.handled.sets.update(entry.sets)
        for partition in entry.sets:
            self._bridges.pop(partition, None)
        self._seen.update((place.partition, (place.offset, place.metadata or "")) for place in entry.offsets)
        self._renewed.update(place.partition for place in entry.offsets)

    def passed(self, ends: dict[int, int]) -> Entry | None:
        """Prepare to enter that nothing is stored between the floor and these offsets, and what the broker may forget before long; None when that
        is entered already."""
        sets = {}
        for partition, end in ends.items():
            handled = self._bridged(partition)
            if handled.floor < end and self._seen.get(partition, (-1, ""))[0] >= 0:
                sets[partition] = handled.handled([(handled.floor, end)], State.REDRIVEN, 0)
        old = any(self.handled.is_old(partition, self._retention_minutes) for partition in self.handled.sets.keys() - self._renewed)
        written = self._written(sets) if sets or old else None
        return None if written is None else Entry((), (), *written)

    def commit(self, entry: Entry) -> None:
        """Commit an entry by itself, outside any transaction, and wait for the answer."""
        topic = self._offsets.topic
        try:
            places = while_coming_back(lambda: self._consumer.commit(offsets=entry.offsets, asynchronous=False), self._timeout)
        except KafkaException as problem:
            raise translate(problem.args[0], "marking letters in", topic) from None
        for place in places or ():
            if place.error is not None:
                raise translate(place.error, "marking letters in", topic)

    def narrow(self) -> bool:
        """Write bytes instead of characters from now on; false when that was done already."""
        before, self.room = self.room.wide, Room(self.room.characters, wide=False)
        return before

    def scarcity(self) -> list[str]:
        """Say which partitions have little room left."""
        found = []
        for partition, handled in sorted(self.handled.sets.items()):
            left = more_that_fit(handled, self.room)
            if left < _SCARCE:
                found.append(f"partition {partition}: about {left} more letters out of order can be marked; the oldest pending ones, "
                             f"from {handled.floor} on, always can")
        return found
