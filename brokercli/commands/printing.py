"""Printing what is read: the second half of `tail` and `replay`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from brokercli.commands.session import Session, open_address, streams_of
from brokercli.model.amount import amount
from brokercli.model.capability import Capability
from brokercli.model.exit_code import ExitCode
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start
from brokercli.operations.bulk import prepare_for_bulk
from brokercli.operations.reading import Ended, Reading
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.notes import Notes
from brokercli.terminal.progress import Progress
from brokercli.terminal.records import RecordWriter

if TYPE_CHECKING:
    from brokercli.operations.filter import Filter


@dataclass(slots=True)
class Printing:
    """How to print, and when to stop."""

    context: typer.Context
    output: str
    format: str | None
    narrowing: Filter | None
    limit: int | None = None
    idle_timeout: float | None = None
    timeout: float | None = None
    fail_if_empty: bool = False
    quiet: bool = False

    def run(self, address: str, context_name: str | None, span: Span, *, connect_timeout: float | None = None) -> int:
        """Print the records of a span and return the exit code."""
        streams = streams_of(self.context)
        writer = RecordWriter(streams, self.output, self.format)

        def stopping() -> bool:
            streams.wait(0)  # whoever reads may have gone, and nothing that would be printed may come for hours
            return interrupt.requested

        with (Interrupt(streams, connecting=True, only_prints=True) as interrupt,
              open_address(address, context_name, "look", connect_timeout=connect_timeout) as session):
            interrupt.connected()
            require_for(session, span)
            prepare_for_bulk()
            bodies_only = writer.bodies_only and (self.narrowing is None or self.narrowing.bodies_only)
            look = session.backend.look_bodies if bodies_only else session.backend.look
            with look(session.address, span) as reader:
                notes = Notes(reader, streams.say, quiet=self.quiet)
                notes.say_new()
                reading = Reading(reader, narrowing=self.narrowing, limit=self.limit, idle_timeout=self.idle_timeout, timeout=self.timeout,
                                  stopping=stopping, waiting=notes.say_new)
                try:
                    with Progress(streams, "read", reader.expected) as progress:
                        for batch in reading:
                            notes.say_new()
                            writer.write(batch)
                            progress.advance(len(batch))
                except StopNow:
                    reading.ended = Ended.STOPPED
            notes.say_new()
        if self.narrowing is not None and self.narrowing.note:
            streams.say(self.narrowing.note)
        # in the log of a job that waited for one message, the exit code alone does not say what it waited for
        short = reading.ended is Ended.IDLE and (self.limit is not None or not reading.matched)
        if (reading.ended is Ended.OUT_OF_TIME or short) and not self.quiet:
            streams.say(f"{'--idle-timeout' if short else '--timeout'} is over: {amount(reading.matched, 'record')} of {session.address} printed, "
                        f"{reading.read:,} read")
        return code_of(reading, interrupt.exit_code, self.fail_if_empty)


def code_of(reading: Reading, interrupted: int, fail_if_empty: bool) -> int:
    """Return the exit code of a reading that is over and was all there was to do; `interrupted` is that of a signal."""
    if reading.ended is Ended.STOPPED:
        return interrupted
    if reading.ended is Ended.OUT_OF_TIME:
        return int(ExitCode.TIMED_OUT)
    return int(ExitCode.NOTHING_MATCHED) if fail_if_empty and not reading.matched else int(ExitCode.DONE)


def filter_of(grep: list[str] | None, header: list[str] | None, where: str | None) -> Filter | None:
    """Compile the filter options; None where there are none. Raises UsageProblem for what cannot be compiled."""
    if not grep and not header and where is None:
        return None
    from brokercli.operations.filter import Filter

    return Filter.compile(grep=grep or (), headers=header or (), where=where)


def require_for(session: Session, span: Span) -> None:
    """Refuse a span that this resource cannot be read by, with the reason of the support table."""
    wanted = {_capability_of(span.start), *([_capability_of(span.end)] if span.end is not None else [])}
    stored = span.end is not None or not isinstance(span.start, End)
    if stored:
        session.require(Capability.LOOK_STORED, hint=f"brokercli tail {session.address} shows what comes from now on")
    session.require(*([] if stored else [Capability.LOOK_NEW]), *(capability for capability in wanted if capability is not None))


def _capability_of(position: Position) -> Capability | None:
    match position:
        case Number():
            return Capability.SEEK_NUMBER
        case PerPartition():
            return Capability.PARTITION
        case Last():
            return Capability.SEEK_LAST
        case Moment():
            return Capability.SEEK_TIME
        case Start() | End():
            return None
