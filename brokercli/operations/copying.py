"""Copy records to another address, on this broker or another: replay with a destination."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from brokercli.backends.contract import Backend
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Failed, OutOfRange, UsageProblem
from brokercli.model.message import Message, Record
from brokercli.model.position import NANOSECONDS, Number, PerPartition, Span, parse_position
from brokercli.operations.journal import Journal
from brokercli.operations.publishing import Outcome, Publishing
from brokercli.operations.reading import SLICE, Ended, Reading
from brokercli.operations.through import Through


@dataclass(slots=True)
class Pace:
    """The rhythm of the recording: a message goes out as long after the first as it was stored after it, divided by
    `factor`. Records without a time, or that step back in time, go out at once."""

    factor: float = 1.0
    _first: tuple[int, float] | None = None

    def delay(self, record: Record) -> float:
        """Return for how many seconds this record has to wait still."""
        if record.time is None:
            return 0.0
        now = time.monotonic()
        if self._first is None:
            self._first = (record.time, now)
        recorded, began = self._first
        return began + (record.time - recorded) / NANOSECONDS / self.factor - now


@dataclass(slots=True)
class Copying:
    """One copy. Messages keep key, headers and body; time and partition only where asked."""

    publishing: Publishing
    keep_time: bool = False
    keep_partition: bool = False
    through: Through | None = None
    pace: Pace | None = None
    journal: Journal | None = None
    entered: int = 0
    """With a journal: how many of the messages that were confirmed it has."""
    _sent: list[tuple[int, int, int, Record]] = field(default_factory=list)
    """With a journal: partition and number of each record that is on its way, the number of its message, -1 where there is none, and itself."""

    def run(self, reading: Reading) -> Outcome:
        """Copy until the reading ends, then wait for every verdict.

        With a journal each batch is settled as a whole, and what is confirmed of it is entered, before the next is sent: after a run that
        was killed, one batch at most is sent once more. A refusal or an unknown ends the run, because going on would forget it. After that
        the next run begins with the first message that was not confirmed, and repeats what was confirmed behind it.
        """
        if self.journal is not None:
            self.publishing.unconfirmed = set()
        outcome = self.publishing.outcome
        self.publishing.out_of_time = lambda: reading.out_of_time
        if not self.publishing.rate.unlimited:
            # what may go only after the time is over is not waited for
            asked = self.publishing.stopping
            self.publishing.stopping = lambda: asked() or reading.out_of_time
        cut_short = False
        try:
            for batch in reading:
                records = batch.records()
                share = self.publishing.rate.share or len(records)
                for start in range(0, len(records), share):
                    cut_short = self._copy(records[start:start + share], reading) or cut_short
        except BrokercliError as error:
            outcome.error = error
        outcome.stopped = outcome.stopped or self.publishing.stopping()
        outcome.timed_out = outcome.timed_out or cut_short or reading.ended is Ended.OUT_OF_TIME
        self.publishing.settle()
        try:
            self._enter()
        except BrokercliError as error:
            outcome.error = outcome.error or error
        outcome.account.read += reading.read - reading.matched
        outcome.account.skipped += reading.read - reading.matched
        return outcome

    def abandon(self) -> Outcome:
        """Stop now: what is in flight is unknown from here on, and what is confirmed is entered. For the second Ctrl-C."""
        outcome = self.publishing.abandon()
        try:
            self._enter()
        except BrokercliError as error:
            outcome.error = outcome.error or error
        return outcome

    def _enter(self) -> bool:
        """Enter what is confirmed of what was sent, of each partition up to the first message that is not; return whether all is."""
        if self.journal is None or not self._sent:
            return True
        publishing, unconfirmed = self.publishing, self.publishing.unconfirmed or set()
        # a verdict that cannot be named, or was lost, may be that of any of them
        nameless = -1 in unconfirmed
        done: dict[int, int] = {}
        ended: set[int] = set()
        delivered, last = 0, None
        for partition, number, message, record in self._sent:
            if nameless or partition in ended or not 0 <= message < publishing.accepted or message in unconfirmed:
                ended.add(partition)
            else:
                done[partition] = number
                # of several partitions there is no last one
                delivered, last = delivered + 1, None if "partition" in record.place else record
        if done:
            self.journal.enter(done, delivered, last)
            self.entered += delivered
        self._sent = []
        return not ended

    def _copy(self, records: list[Record], reading: Reading) -> bool:
        """Copy these; return whether some were passed over because the time is over."""
        account = self.publishing.outcome.account
        messages: list[Message] = []
        following = self.publishing.accepted
        cut_short, slow = False, self.through is not None or self.pace is not None
        for index, record in enumerate(records):
            # a program and a rhythm take their time: nobody who stops waits for the rest of the batch
            cut_short = (slow or not index) and reading.out_of_time
            if cut_short or ((slow or not index) and self.publishing.stopping()):
                account.read += len(records) - index
                account.skipped += len(records) - index
                break
            place = None
            if self.journal is not None:
                place = partition, number = numbered(record)
                if number <= self.journal.done.get(partition, -1):
                    account.read += 1
                    account.skipped += 1
                    continue
            message = self._message(record)
            if message is not None and self.pace is not None and not self._wait(messages, self.pace.delay(record), reading):
                cut_short = True
                account.read += len(records) - index
                account.skipped += len(records) - index
                break
            if place is not None:
                self._sent.append((*place, -1 if message is None else following, record))
            if message is None:
                continue
            following += 1
            messages.append(message)
        if messages:
            self.publishing.send(messages)
        cut_short = cut_short or (self.publishing.accepted < following and reading.out_of_time)
        if self.journal is not None and self._sent:
            self.publishing.settle()
            whole = self._enter()
            if (given_up := self.publishing.outcome.error) is not None:
                # a publisher that would take more (Kafka's begins anew) would have what is in doubt forgotten
                raise given_up
            if not whole and not self.publishing.stopping() and not (cut_short or self.publishing.outcome.timed_out):
                raise Failed("The copy stopped where a message was not confirmed; the journal ends before that message.",
                             hint="mend what refused it, then repeat the same command: it goes on from there")
        return cut_short

    def _message(self, record: Record) -> Message | None:
        partition = record.place.get("partition")
        message = replace(record.message, time=record.time if self.keep_time else None,
                          partition=partition if self.keep_partition and isinstance(partition, int) else None)
        if self.through is None:
            return message
        transformed = self.through.transform(message)
        if transformed.message is None:
            self.publishing.refuse(f"{record.position}: {transformed.reason}")
        return transformed.message

    def _wait(self, messages: list[Message], delay: float, reading: Reading) -> bool:
        """Wait until a message is due, or it is stopped; return False where the time is over before that."""
        # what is due goes out before the pause, not after it
        while delay > 0.005 and not self.publishing.stopping():
            if reading.out_of_time:
                return False
            if messages:
                self.publishing.send(messages)
                messages.clear()
            time.sleep(min(delay, SLICE))
            delay -= SLICE
        return True


def numbered(record: Record) -> tuple[int, int]:
    """Return a record's partition (0 where there is none) and number. Raises UsageProblem where its broker numbers nothing."""
    match parse_position(record.position) if record.position else None:
        case Number(number):
            return 0, number
        case PerPartition(((partition, number),)):
            return partition, number
    raise UsageProblem("A journal needs a source that numbers its records (topic, JetStream stream, RabbitMQ stream).")


def last_delivered(backend: Backend, source: Address, journal: Journal) -> Record | None:
    """Return what is stored now under the last number that a journal has; None where that tells nothing, and where it is gone. The source
    numbers its records without partitions."""
    number = journal.done.get(0)
    if number is None or not journal.mark:
        return None
    try:
        with backend.look(source, Span(Number(number), Number(number + 1))) as reader:
            found = [record for batch in Reading(reader) for record in batch.records()]
    except OutOfRange:
        return None
    return found[0] if found and numbered(found[0]) == (0, number) else None


def fix_bounds(span: Span) -> dict[str, str]:
    """Write a span of fixed numbers for a journal."""
    return {"start": str(span.start), "end": str(span.end)}


def span_of(bounds: dict[str, str], done: dict[int, int]) -> Span:
    """Read back what `fix_bounds` wrote, begun anew after what is done."""
    start, end = parse_position(bounds["start"]), parse_position(bounds["end"])
    if isinstance(start, PerPartition):
        start = PerPartition(tuple((partition, max(offset, done.get(partition, -1) + 1)) for partition, offset in start.offsets))
    elif isinstance(start, Number):
        start = Number(max(start.value, done.get(0, -1) + 1))
    return Span(start, end)
