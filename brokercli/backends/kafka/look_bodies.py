"""Reading the bodies of a topic that has many, straight from its brokers: the client makes an object for each, which takes most of the time.

This reads what most topics hold, from brokers that are well. Whatever else comes up (compression, transactions, a leader that moves, a broker that
is slow to answer, records that are gone) is left to `KafkaReader`, which goes on at the first record that was not handed out yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from select import select
from struct import unpack
from time import monotonic
from typing import Any, NoReturn

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.kafka.look import IDENTITY_SECONDS, KafkaReader, held_back
from brokercli.backends.kafka.record_batches import Bodies, RecordBatch, Unreadable, batches_in
from brokercli.backends.kafka.topic_ids import tag
from brokercli.backends.kafka.wire import Fetched, Known, Wire, WireFailed
from brokercli.model.message import Record
from brokercli.model.position import PerPartition, Span

_TOGETHER = 2500
"""Small batches are handed out together until they have so many records."""
_BYTES, _LEAST_BYTES = 8 << 20, 1 << 20
"""How much is on its way at most, of all brokers; and of one, however many they are."""
_WAIT_MILLISECONDS = 500
_FRUITLESS, _PATIENCE_SECONDS = 10, 3.0
"""How many answers may bring nothing, and how long none may come, before the client is asked, which knows what to do about it."""
Leaders = dict[tuple[str, int], list[int]]
"""Host and port → the partitions that are led there."""
GoOn = Callable[[dict[int, int], dict[int, int], int | None, dict[int, int]], KafkaReader]
"""Makes a reader of what is left: from offsets, up to offsets, of the topic that has this number (`topic_ids`), where it is known, and behind what
leaders of these epochs have stored."""


def leaders_of(metadata: Any, topic: str, partitions: Iterable[int]) -> Leaders:
    """Return who leads each partition; nothing where one of them is led by nobody, or by a broker that is not told."""
    leaders: Leaders = {}
    for partition in partitions:
        about = metadata.topics[topic].partitions.get(partition)
        broker = None if about is None else metadata.brokers.get(about.leader)
        if broker is None:
            return {}
        leaders.setdefault((broker.host, broker.port), []).append(partition)
    return leaders


class BodyBatch(Batch):
    """Bodies of one partition, and nothing else of them."""

    __slots__ = ("_bodies",)

    def __init__(self, bodies: list[bytes]) -> None:
        self._bodies = bodies

    def __len__(self) -> int:
        return len(self._bodies)

    def bodies(self) -> list[bytes]:
        return self._bodies

    def envelopes(self) -> NoReturn:
        raise TypeError("this was read for its bodies only")

    def records(self) -> list[Record]:
        raise TypeError("this was read for its bodies only")

    def select(self, indices: Sequence[int]) -> BodyBatch:
        return BodyBatch([self._bodies[index] for index in indices])


class KafkaBodyReader(Reader):
    """As `KafkaReader` for a span that ends, except that its batches have bodies only."""

    def __init__(self, topic: str, starts: dict[int, int], ends: dict[int, int], leaders: Leaders, seconds: float, go_on: GoOn,
                 give_back: Callable[[], None]) -> None:
        """A leader that does not answer within `seconds` is left to what `go_on` makes. `give_back` is called once, at the end, unless that was made."""
        self._ends = ends
        self._positions = dict(starts)
        """What is to be handed out next."""
        self._epochs: dict[int, int] = {}
        """Of the leaders who stored what was handed out last."""
        self._ahead = dict(starts)
        """What is to be asked for next."""
        self._open = set(starts)
        self._go_on, self._give_back = go_on, give_back
        self._closed = False
        self._client: KafkaReader | None = None
        self._topic: Known | None = None
        self._wires: dict[Wire, set[int]] = {}
        self._most = max(_LEAST_BYTES, _BYTES // max(1, len(leaders)))
        self._bodies = Bodies()
        self._answer = memoryview(b"")
        self._waiting: list[tuple[int, RecordBatch]] = []
        """Batches of the last answer that were not handed out, with their partition; the next one is the last."""
        self._over = False
        """Whether what comes after those is for the client."""
        self._well = True
        """Whether no broker has said that something is wrong."""
        self._fruitless = 0
        """How many answers in a row brought nothing."""
        self._waited = 0.0
        self._began = monotonic()
        self.expected = sum(ends[partition] - starts[partition] for partition in starts)
        self.bounds = Span(PerPartition(tuple(sorted(starts.items()))), PerPartition(tuple(sorted(ends.items()))))
        self.notes: list[str] = []
        try:
            if not leaders:
                raise WireFailed("no leader")
            for (host, port), partitions in leaders.items():
                wire = Wire(host, port, seconds)
                self._wires[wire] = set(partitions)
                if self._topic is None:
                    self._topic = wire.learn(topic, seconds)
                self._ask(wire)
        except WireFailed:
            self._leave_to_client(self._topic)

    def read(self, timeout: float) -> Batch | None:
        deadline = monotonic() + timeout
        while self._client is None and self._open:
            if bodies := self._handed_out():
                return BodyBatch(bodies)
            if self._over or not self._bodies.pays:
                # whoever reads on after a while may come to another topic of that name
                soon = monotonic() - self._began < IDENTITY_SECONDS
                self._leave_to_client(None if self._well and soon else self._topic)
            elif self._open:
                try:
                    if not self._next_answer(deadline):
                        return None
                except WireFailed:
                    self._leave_to_client(self._topic)
        return None if self._client is None else self._client.read(max(0.0, deadline - monotonic()))

    def _handed_out(self) -> list[bytes]:
        """Return bodies that are there, in parts that are not small unless there are no more."""
        bodies: list[bytes] = []
        while self._waiting and len(bodies) < _TOGETHER:
            partition, batch = self._waiting.pop()
            end = self._ends[partition]
            try:
                found = self._bodies.of(self._answer, batch, self._positions[partition], end)
            except Unreadable:
                self._waiting.clear()
                self._over = True
                break
            if bodies:
                bodies += found
            else:
                bodies = found
            self._positions[partition], self._epochs[partition] = batch.following, batch.epoch
            if batch.following >= end:
                self._open.discard(partition)
        return bodies

    def _next_answer(self, deadline: float) -> bool:
        """Take in an answer; false where none is there in time. Raises WireFailed."""
        before = monotonic()
        wires = [wire for wire, partitions in self._wires.items() if partitions]
        ready, _, _ = select(wires, [], [], max(0.0, min(deadline - before, _PATIENCE_SECONDS - self._waited)))
        if not ready:
            self._waited += monotonic() - before
            if self._waited >= _PATIENCE_SECONDS:
                raise WireFailed("nothing comes")
            return False
        self._waited = 0.0
        wire = ready[0]
        answer = wire.records(deadline - monotonic())
        if answer is None:
            return False
        self._answer = answer[0]
        self._fruitless += 1
        for said in answer[1]:
            self._take_in(said, self._wires[wire])
        self._waiting.reverse()
        if self._fruitless > _FRUITLESS:
            self._over = True
        elif self._wires[wire] and not self._over:
            self._ask(wire)
        return True

    def _take_in(self, said: Fetched, wanted: set[int]) -> None:
        partition = said.partition
        if said.error or partition not in wanted:
            self._over, self._well = True, False
            return
        end = self._ends[partition]
        try:
            for batch in batches_in(self._answer, *said.records):
                if self._ahead[partition] >= end:
                    break
                if batch.following <= self._ahead[partition]:
                    continue
                self._fruitless = 0
                self._ahead[partition] = batch.following
                self._waiting.append((partition, batch))
        except Unreadable:
            self._over = True
        if self._ahead[partition] >= end:
            wanted.discard(partition)
            if said.stable <= end < said.high:
                self.notes.append(held_back(partition, end, said.high))
            if self._positions[partition] >= end:
                # nothing was wanted of it but to know that
                self._open.discard(partition)

    def _ask(self, wire: Wire) -> None:
        assert self._topic is not None
        wire.ask_for_records(self._topic, {partition: self._ahead[partition] for partition in self._wires[wire]}, self._most, _WAIT_MILLISECONDS)

    def _leave_to_client(self, topic: Known | None) -> None:
        """Read what is left of the topic of this id, where it may have become another one, through the client."""
        self._hang_up()
        if self._open:
            self._client = self._go_on({partition: self._positions[partition] for partition in self._open},
                                       {partition: self._ends[partition] for partition in self._open}, _number(topic), self._epochs)
            # one list, which whoever reads it has already
            self.notes += self._client.notes
            self._client.notes = self.notes

    def _hang_up(self) -> None:
        self._waiting.clear()
        for wire in self._wires:
            wire.close()

    @property
    def finished(self) -> bool:
        return not self._open if self._client is None else self._client.finished

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._hang_up()
        if self._client is None:
            self._give_back()
        else:
            self._client.close()


def _number(topic: Known | None) -> int | None:
    if topic is None:
        return None
    from confluent_kafka import Uuid

    return tag(str(Uuid(*unpack(">qq", topic.identity))))
