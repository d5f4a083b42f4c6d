"""Running a copy from the command line: the half of `replay` that has a destination."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import typer

from brokercli.backends.contract import PublishPolicy, Reader
from brokercli.commands.printing import code_of, require_for
from brokercli.commands.publish_output import Decided, Delivery
from brokercli.commands.session import Session, open_address, open_destination, streams_of
from brokercli.model.amount import amount
from brokercli.model.capability import Capability
from brokercli.model.errors import OutOfRange, UsageProblem
from brokercli.model.exit_code import ExitCode
from brokercli.model.position import Span
from brokercli.operations.bulk import prepare_for_bulk
from brokercli.operations.copying import Copying, Pace, fix_bounds, last_delivered, span_of
from brokercli.operations.filter import Filter
from brokercli.operations.journal import Journal, is_begun
from brokercli.operations.publishing import Publishing, Rate
from brokercli.operations.reading import Ended, Reading
from brokercli.operations.through import Through
from brokercli.terminal.interrupt import Interrupt
from brokercli.terminal.notes import Notes
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams


@dataclass(slots=True)
class CopyRun:
    """One copy, as the command line asked for it."""

    context: typer.Context
    source: str
    destination: str
    narrowed: dict[str, str]
    """Options that decide which messages are copied and what becomes of them, as they were typed; empty where they were not."""
    context_name: str | None
    span: Span
    narrowing: Filter | None
    limit: int | None
    timeout: float | None
    policy: PublishPolicy
    through: Through | None
    pace: Pace | None
    rate: Rate
    resume: str | None
    keep_time: bool
    keep_partition: bool
    quiet: bool
    report: str | None
    receipts: bool
    connect_timeout: float | None

    def copy(self, *, fail_if_empty: bool) -> int:
        """Copy, say how it ended and return the exit code."""
        streams = streams_of(self.context)
        with Decided() as decided, self._opened() as (source, destination), ExitStack() as stack:
            publisher = stack.enter_context(destination.backend.publisher(destination.address, self.policy))
            incarnation = "" if self.resume is None else source.backend.incarnation(source.address)
            journal = None if self.resume is None else stack.enter_context(Journal(self.resume, self._identity(source, destination), incarnation))
            resumed = journal is not None and bool(journal.bounds)
            prepare_for_bulk()
            reader = self._look(stack, source, journal, incarnation)
            if journal is not None and not journal.bounds:
                if reader.bounds is None:
                    raise UsageProblem("A journal needs a source that numbers its records, and an end.")
                journal.bind(fix_bounds(reader.bounds))
            delivery = stack.enter_context(Delivery(streams, decided, "replayed", receipts=self.receipts, quiet=self.quiet, report=self.report,
                                                    total=reader.expected))
            notes = Notes(reader, streams.say, quiet=self.quiet)
            notes.say_new()
            publishing = Publishing(publisher, delivery.take, delivery.stopping, self.rate, delivery_timeout=self.policy.delivery_timeout,
                                    waiting=delivery.silence.waits)
            reading = Reading(reader, narrowing=self.narrowing, limit=self.limit, timeout=self.timeout, stopping=delivery.stopping,
                              waiting=notes.say_new)
            copying = Copying(publishing, self.keep_time, self.keep_partition, self.through, self.pace, journal)
            began = time.monotonic()
            code = delivery.run(publishing, lambda: copying.run(reading), lambda: time.monotonic() - began, fail_if_empty=fail_if_empty,
                                abandon=copying.abandon)
            reader.close()
            self._say_late(streams, notes)
            account = publishing.outcome.account
            if journal is not None and resumed and not self.quiet and reading.ended is Ended.AT_THE_END and account.read == account.skipped:
                delivered = f"{amount(journal.delivered, 'message was', 'messages were')} delivered by earlier runs"
                streams.say(f"nothing was left to copy: {delivered}, up to the end that was fixed when the journal {journal.path} was begun; "
                            "another --resume FILE begins another copy")
            if code != ExitCode.DONE and self.resume is not None and not self.quiet:
                again, anew = account.confirmed - copying.entered, "" if self.limit is None else "; -n counts anew"
                more = f"in it, and sends {amount(again, 'message')} once more that had been confirmed" if again else "confirmed"
                streams.say(f"the same command with --resume {self.resume} goes on from what is {more}{anew}")
        return decided.code or 0

    def count(self, *, fail_if_empty: bool) -> int:
        """Read and count what would be copied, publish nothing; return the exit code. A journal that was begun says what is left of it."""
        streams = streams_of(self.context)
        with (Interrupt(streams, connecting=True) as interrupt, self._opened() as (source, destination), interrupt.connected(), ExitStack() as stack):
            journal, incarnation = None, ""
            if self.resume is not None and is_begun(self.resume):
                incarnation = source.backend.incarnation(source.address)
                journal = stack.enter_context(Journal(self.resume, self._identity(source, destination), incarnation))
            reader = self._look(stack, source, journal, incarnation)
            notes = Notes(reader, streams.say, quiet=self.quiet)
            reading = Reading(reader, narrowing=self.narrowing, limit=self.limit, timeout=self.timeout, stopping=lambda: interrupt.requested,
                              waiting=notes.say_new)
            with Progress(streams, "read", reader.expected) as progress:
                for batch in reading:
                    progress.advance(len(batch))
            reader.close()
            self._say_late(streams, notes)
            streams.say(f"dry run: {reading.matched:,} of {amount(reading.read, 'message')} would go from {source.address} to {destination.address}; "
                        "nothing was published")
        return code_of(reading, interrupt.exit_code, fail_if_empty)

    def _look(self, stack: ExitStack, source: Session, journal: Journal | None, incarnation: str) -> Reader:
        """Look at what is to be copied: at what a journal that was begun does not have yet. Raises where its source is another one by now."""
        if journal is None or not journal.bounds:
            return stack.enter_context(source.backend.look(source.address, self.span))
        if not incarnation:
            journal.require_same(last_delivered(source.backend, source.address, journal))
        try:
            reader = stack.enter_context(source.backend.look(source.address, span_of(journal.bounds, journal.done)))
        except OutOfRange as problem:
            raise journal.beyond(problem) from None
        if not incarnation:
            journal.require_reach(reader.bounds)
        return reader

    def _say_late(self, streams: Streams, notes: Notes) -> None:
        notes.say_new()
        if self.narrowing is not None and self.narrowing.note:
            streams.say(self.narrowing.note)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Session, Session]]:
        with (open_address(self.source, self.context_name, "look", connect_timeout=self.connect_timeout) as source,
              open_destination(self.destination, self.context_name, connect_timeout=self.connect_timeout) as destination):
            require_for(source, self.span)
            kept = {Capability.MESSAGE_TIME: self.keep_time, Capability.PARTITION: self.keep_partition}
            destination.require(Capability.PUBLISH, *(capability for capability, is_kept in kept.items() if is_kept))
            yield source, destination

    def _identity(self, source: Session, destination: Session) -> dict[str, str]:
        ends = {"from": source, "to": destination}
        return {name: f"{session.context.connection.whereabouts} {session.address}" for name, session in ends.items()} | self.narrowed
