"""A run over the pending letters of a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.dead_letters import Goal, Move, Repair, RepairPolicy, State
from brokercli.backends.kafka.convert import CannotCarry, Native, forwarded, to_kafka
from brokercli.backends.kafka.destinations import Destinations, least_size
from brokercli.backends.kafka.ledger import Ledger, Letter
from brokercli.backends.kafka.look import KafkaReader
from brokercli.backends.kafka.records import KafkaBatch
from brokercli.backends.kafka.span import Offsets
from brokercli.backends.kafka.still_there import StillThere
from brokercli.backends.kafka.way import Way, give
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Failed
from brokercli.model.message import Header, Record
from brokercli.model.position import PerPartition, Span
from brokercli.model.receipt import Receipts, Verdict

LARGEST_BATCH = 5000
_ANSWER_SECONDS = 1.0
"""How long new letters are asked for, of which there may be any number."""
_ASK_AGAIN_SECONDS = 10.0
LARGEST_BYTES = 10_000_000
"""How much is stored in one transaction, unless one message is larger."""


class KafkaRepair(Repair):
    """Reads from the floor on, passing over what is handled. One repair of a topic makes progress at a time.

    What `settle` and `mark` return is what the broker has. When nothing more can be settled, that call still returns its
    verdicts, and the next one of any kind raises why, before it has done anything.
    """

    atomic = True

    def __init__(self, reader: KafkaReader, offsets: Offsets, starts: dict[int, int], ends: dict[int, int], ledger: Ledger, way: Way,
                 destinations: Destinations, policy: RepairPolicy, let_go: Callable[[], None], look: Callable[[Span], Reader],
                 still_there: StillThere) -> None:
        self._reader = reader
        self._offsets = offsets
        self._ask_for_new = 0.0
        self._topic = offsets.topic
        self._next = dict(starts)
        self._ends = ends
        self._ledger = ledger
        self._way = way
        self._destinations = destinations
        self._batch = max(1, min(policy.batch, LARGEST_BATCH))
        self._let_go = let_go
        self._look = look
        self._still_there = still_there
        self._newcomers: Reader | None = None
        self._rest: KafkaBatch | None = None
        self._closed = False
        self._settled = False
        self.guarantee = way.guarantee.format(batch=self._batch)
        self.expected = sum(max(0, ends[partition] - start - ledger.handled.sets[partition].handled_between(start, ends[partition]))
                            for partition, start in starts.items())
        # one list with the reader, which adds what it comes by
        self.notes: list[str] = reader.notes
        self.notes += [*ledger.handled.notes, *ledger.scarcity()]

    def read(self, timeout: float) -> KafkaBatch | None:
        self.check()
        batch = self._rest
        self._rest = None
        while batch is None:
            read = self._reader.read(timeout)
            if read is None:
                return None
            # nothing of this batch is settled before the answer
            self._still_there.ask()
            batch = self._pending(read)
        if len(batch) > self._batch:
            self._rest = batch.select(range(self._batch, len(batch)))
            batch = batch.select(range(self._batch))
        return batch

    def _pending(self, batch: KafkaBatch) -> KafkaBatch | None:
        """Return those not handled yet, noticing the offsets between them that hold nothing."""
        ledger, following = self._ledger, self._next
        wanted, handled = [], []
        last: dict[int, int] = {}
        for number, (partition, offset, _) in enumerate(batch.stamps()):
            last[partition] = number
            if offset != following[partition]:
                ledger.note_gap(partition, following[partition], offset)
            following[partition] = offset + 1
            if ledger.state(partition, offset) is State.PENDING:
                wanted.append(number)
            else:
                handled.append(number)
        if any(ledger.is_of_a_later_leader(partition, batch.epoch(number)) for partition, number in last.items()):
            self._check_end(batch.select(handled))
        for partition, number in last.items():
            ledger.note_read(partition, following[partition] - 1, batch.epoch(number))
        if not wanted:
            return None
        return batch if len(wanted) == len(batch) else batch.select(wanted)

    def _check_end(self, handled: KafkaBatch) -> None:
        """Raise Failed where letters are said to be handled that a later leader stored: the end was lost meanwhile. Marks from here on would name
        its epoch, and hide from everybody after us that these letters wait."""
        for number, (partition, offset, _) in enumerate(handled.stamps()):
            if self._ledger.is_of_a_later_leader(partition, handled.epoch(number)):
                raise Failed(f"The broker has lost the end of partition {partition} of {self._topic} while its letters were read: those in it from {offset} on "
                             "came after others that were handled there.", hint="the same command begins with them")

    @property
    def finished(self) -> bool:
        return self._rest is None and self._reader.finished

    def settle(self, moves: Sequence[Move]) -> Receipts:
        self.check()
        receipts = Receipts()
        seen: set[tuple[int, int]] = set()
        letters: list[Letter] = []
        for index, move in enumerate(moves):
            partition, offset, why = self._pending_place(move.record, seen)
            if not why:
                try:
                    letter = self._addressed(index, partition, offset, to_kafka(move.message), move.destination)
                except CannotCarry as problem:
                    why = str(problem)
            if why:
                give(receipts, [Letter(index, partition, offset)], Verdict.REFUSED, why)
            else:
                letters.append(letter)
        return self._put_back(letters, receipts)

    def forward(self, batch: Batch, goals: Sequence[Goal], headers: Sequence[tuple[Header, ...]]) -> Callable[[], Receipts]:
        if not isinstance(batch, KafkaBatch):
            return super().forward(batch, goals, headers)
        self.check()
        receipts = Receipts()
        seen: set[tuple[int, int]] = set()
        letters: list[Letter] = []
        for index, ((partition, offset, _), (value, key), goal, kept) in enumerate(zip(batch.stamps(), batch.payloads(), goals, headers, strict=True)):
            why = self._fate(partition, offset, seen)
            if not why:
                try:
                    letter = self._addressed(index, partition, offset, forwarded(value, key, kept), goal.address)
                except CannotCarry as problem:
                    why = str(problem)
            if why:
                give(receipts, [Letter(index, partition, offset)], Verdict.REFUSED, why)
            else:
                letters.append(letter)
        self._put_back(letters, receipts)
        return lambda: receipts

    def _addressed(self, index: int, partition: int, offset: int, native: Native, destination: Address) -> Letter:
        """Return a letter with its copy. Raises CannotCarry with what speaks against storing that there."""
        native = self._destinations.placed(destination, native)
        size = least_size(native)
        if why := self._destinations.refusal(destination, native, size):
            raise CannotCarry(why)
        return Letter(index, partition, offset, destination.name, native, size)

    def _put_back(self, letters: list[Letter], receipts: Receipts) -> Receipts:
        for part in self._parts(letters):
            receipts.add(self._way.move(part, State.REDRIVEN))
        return self._entered(receipts)

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        self.check()
        receipts = Receipts()
        seen: set[tuple[int, int]] = set()
        letters: list[Letter] = []
        for index, record in enumerate(records):
            partition, offset, why = self._pending_place(record, seen)
            if not why:
                letters.append(Letter(index, partition, offset))
            else:
                give(receipts, [Letter(index, partition, offset)], Verdict.REFUSED, why)
        if letters:
            receipts.add(self._way.move(letters, state))
        return self._entered(receipts)

    def _entered(self, receipts: Receipts) -> Receipts:
        self._settled = self._settled or receipts.confirmed > 0
        self.failure = self.failure or self._way.failure or self._destinations.denial
        return receipts

    def _pending_place(self, record: Record, seen: set[tuple[int, int]]) -> tuple[int, int, str]:
        """Return where a letter lies, and why it cannot be handled; empty when it can."""
        there = record.place
        partition, offset = there.get("partition"), there.get("offset")
        if there.get("topic") != self._topic or not isinstance(partition, int) or not isinstance(offset, int):
            return 0, 0, f"it is no letter of {self._topic}"
        return partition, offset, self._fate(partition, offset, seen)

    def _fate(self, partition: int, offset: int, seen: set[tuple[int, int]]) -> str:
        """Say why the letter there cannot be handled; empty when it can."""
        place = partition, offset
        if place in seen:
            return "it was given twice"
        seen.add(place)
        state = self._ledger.state(partition, offset)
        if state is State.PENDING:
            return ""
        return f"{self._topic} has no partition {partition}" if state is None else f"it is handled already ({state})"

    def _parts(self, letters: list[Letter]) -> Iterator[list[Letter]]:
        part: list[Letter] = []
        size = 0
        for letter in letters:
            if part and (len(part) >= self._batch or size + letter.size > LARGEST_BYTES):
                yield part
                part, size = [], 0
            part.append(letter)
            size += letter.size
        if part:
            yield part

    def arrived(self) -> int | None:
        if monotonic() < self._ask_for_new:
            return None
        try:
            now = self._offsets.within(_ANSWER_SECONDS).ends(self._ends)
        except BrokercliError:
            # a leader that moves, or one that is away, which letters of other partitions do not wait for each time
            self._ask_for_new = monotonic() + _ASK_AGAIN_SECONDS
            return None
        return sum(max(0, now[partition] - end) for partition, end in self._ends.items())

    def newcomers(self) -> Reader | None:
        if self._newcomers is None:
            self._newcomers = self._look(Span(PerPartition(tuple(sorted(self._ends.items())))))
        return self._newcomers

    def check(self) -> None:
        if self._way.failure is not None:
            raise self._way.failure
        self._still_there.check()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._newcomers is not None:
            self._newcomers.close()
        if self._reader.finished:
            # nothing is stored between a partition's last letter and its end (a transaction's marker, say)
            sets, ends = self._ledger.handled.sets, self._ends if self._settled else {}
            self._way.record_passed({partition: end for partition, end in ends.items() if sets[partition].floor >= self._next[partition]})
        self.notes += [note for note in self._way.notes if note not in self.notes]
        self._way.close()
        self._let_go()
