"""Running a repair from the command line: plan, confirmation, the run itself, one summary, one exit code."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import typer

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.commands.dlq_destination import Elsewhere, failure_behind, guarantee_of, open_elsewhere, resolve_here, settler_of
from brokercli.commands.dlq_edit import edit_one
from brokercli.commands.dlq_end import DONE, End, Problems
from brokercli.commands.dlq_nothing import nothing_pending_is_an_end
from brokercli.commands.dlq_plan import show_plan
from brokercli.commands.dlq_source import LetterSource, check_files, in_file, on_broker
from brokercli.commands.may_change import check_may_change
from brokercli.commands.publish_output import Decided
from brokercli.commands.session import Session, streams_of
from brokercli.model.amount import amount
from brokercli.model.exit_code import ExitCode
from brokercli.operations.bulk import prepare_for_bulk
from brokercli.operations.decisions import Decision, Drop, Park, Redrive, Rules
from brokercli.operations.letter_file import LetterFile
from brokercli.operations.letters import LetterFilter
from brokercli.operations.publishing import Rate
from brokercli.operations.redriving import Redriving
from brokercli.operations.through import Transforming
from brokercli.terminal.confirm import confirm
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.notes import Notes
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams


@dataclass(slots=True)
class RepairRun:
    """One `dlq redrive`, `drop` or `park`, as the command line asked for it."""

    context: typer.Context
    verb: str
    source: str | None
    context_name: str | None
    letter_filter: LetterFilter
    to: str | None = None
    park: str | None = None
    max_redrives: int = 3
    limit: int | None = None
    rate: Rate = field(default_factory=lambda: Rate(None))
    through: Transforming | None = None
    journal: str | None = None
    delivery_timeout: float = 30.0
    output: str = "auto"
    quiet: bool = False
    report: str | None = None
    fail_if_empty: bool = False
    unrecognised: bool = False
    connect_timeout: float | None = None
    from_file: str | None = None
    resume: str | None = None
    edit: bool = False
    lift_limit: bool | None = None
    strip: tuple[str, ...] = ()
    _chosen: list[Decision] = field(default_factory=list)

    def run(self, *, yes: bool, dry_run: bool) -> int:
        """Plan, ask, do; return the exit code."""
        check_files(self.from_file, self.source, self.resume, self.journal)
        streams = streams_of(self.context)
        nothing = nothing_pending_is_an_end(streams, self.fail_if_empty, self.quiet, DONE[self.verb] if yes and not dry_run else None, self.report)
        with nothing, Decided() as decided, Interrupt(streams, connecting=True) as interrupt, self._letters(streams) as letters, interrupt.connected():
            session = letters.session
            if yes and not dry_run:
                check_may_change(session.context)
            prepare_for_bulk()
            with open_elsewhere(session, self.to if self.verb == "redrive" else None, self.park, self.delivery_timeout, self.connect_timeout) as elsewhere:
                rules = self._rules(session, elsewhere)
                if self.edit or not yes or dry_run:
                    planned = show_plan(streams, letters, self.verb, rules, self.letter_filter, self.limit, interrupt, self._chosen if self.edit else None,
                                        elsewhere, quiet=self.quiet, output=self.output)
                    if interrupt.requested:
                        return interrupt.exit_code
                    if not (count := planned.destinations.total()):
                        return self._nothing() if not planned.letters else int(ExitCode.DONE)
                    if dry_run or session.context.readonly or not (yes or streams.can_ask()):
                        if not self.quiet:
                            does = f"--yes {self.verb}s {'it' if count == 1 else 'them'}"
                            streams.say(f"nothing was changed; {'this context is read-only' if session.context.readonly else does}")
                        return int(ExitCode.CHANGES_PENDING)
                    check_may_change(session.context)
                    if self.edit:
                        self.through = edit_one(streams, self._chosen)
                    if not confirm(streams, f"{self.verb} {amount(count, 'letter')}?", yes, interrupt):
                        streams.say("nothing was changed")
                        return int(ExitCode.CHANGES_PENDING)
                decided.code = self._do(streams, letters, rules, elsewhere, interrupt, decided)
        return decided.code or int(ExitCode.DONE)

    def _letters(self, streams: Streams) -> AbstractContextManager[LetterSource]:
        if self.from_file is not None:
            return in_file(streams, self.from_file, self.context_name, self.to, self.resume, self.connect_timeout, self.strip)
        return on_broker(streams, self.source, self.context_name, self.verb, self.journal, self.connect_timeout, self.lift_limit, self.quiet, self.strip)

    def _nothing(self) -> int:
        return int(ExitCode.NOTHING_MATCHED if self.fail_if_empty else ExitCode.DONE)

    def _rules(self, session: Session, elsewhere: Elsewhere | None) -> Rules:
        if self.verb == "drop":
            return Drop(self.unrecognised)
        to = None if self.to is None else elsewhere.address if elsewhere is not None else resolve_here(session, "--to", self.to)
        if self.verb == "park" and to is not None:
            return Park(to, self.unrecognised)
        return Redrive(to, self.max_redrives, None if self.park is None else resolve_here(session, "--park", self.park), None if elsewhere else session.address)

    def _do(self, streams: Streams, letters: LetterSource, rules: Rules, elsewhere: Elsewhere | None, interrupt: Interrupt, decided: Decided) -> int:
        began = time.monotonic()
        run: Redriving | None = None
        try:
            homeward, waiting = self.verb == "redrive" and self.to is None, (lambda what: None) if self.quiet else streams.say
            with (letters.lift_to_repair() as lift, letters.repair(RepairPolicy(self.delivery_timeout, homeward=homeward, waiting=waiting)) as repair,
                  nullcontext() if letters.journal is None else LetterFile(letters.journal, "--journal FILE keeps the letters elsewhere") as kept,
                  Progress(streams, DONE[self.verb], repair.expected) as progress):
                notes, problems = Notes(repair, progress.note, quiet=self.quiet), Problems(progress)
                before = notes.take_new()

                def begin() -> None:
                    for note in filter(None, (guarantee_of(self.verb, repair, elsewhere), lift.before, *before)) if not self.quiet else ():
                        progress.note(note)
                    before.clear()
                    notes.say_new()
                run = Redriving(repair, letters.recogniser, rules, self.letter_filter, kept, self.through, self.rate, self.limit,
                                stopping=lambda: interrupt.requested, elsewhere=elsewhere is not None, on_begin=begin,
                                on_receipts=problems.take)
                run.run(settler_of(self.verb, repair, elsewhere)).blame(failure_behind(repair, elsewhere))
            interrupt.last_words()
        except StopNow:
            # also while everything was being closed: what is known by then is said all the same
            if run is None:
                raise
            interrupt.last_words()
            run.abandon()
        outcome, seconds = run.outcome, time.monotonic() - began
        code = interrupt.exit_code if interrupt.requested and not outcome.account.unknown else int(outcome.exit_code)
        decided.code = code = self._nothing() if code == ExitCode.DONE and not outcome.account.read else code
        # a file's notes are about what is passed over: they are said where nothing goes, too
        last = [*problems.rest(), *(before if letters.journal is None else ()), *notes.take_new(), lift.after, *(elsewhere.take_notes() if elsewhere else ()),
                *self.letter_filter.take_notes()]
        return End(streams, DONE[self.verb], str(letters.session.address), run.plan, outcome, code, seconds, last,
                   letters.journal if kept is not None and kept.count else None).say(self.quiet, self.report, begun=self.journal)
