"""Running a repair from the command line: plan, confirmation, the run itself, one summary, one exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer

from brokercli.backends.dead_letters import Repair, RepairPolicy, State
from brokercli.commands.dlq_destination import Elsewhere, is_elsewhere, settle_elsewhere
from brokercli.commands.dlq_end import End, say_problems
from brokercli.commands.dlq_session import journal_path, open_letters, recogniser_of
from brokercli.commands.session import Session, streams_of
from brokercli.model.address import Address, parse_address
from brokercli.model.capability import Capability
from brokercli.model.errors import UsageProblem
from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Receipts
from brokercli.operations.bulk import prepare_for_bulk
from brokercli.operations.letter_journal import LetterFile
from brokercli.operations.letters import LetterFilter
from brokercli.operations.publishing import Rate
from brokercli.operations.redriving import Decision, Drop, Park, Plan, Redrive, Redriving, Rules, plan
from brokercli.operations.through import Through
from brokercli.terminal.confirm import confirm
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.plan import print_plan
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams

DONE = {"redrive": "redriven", "drop": "dropped", "park": "parked"}


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
    through: Through | None = None
    journal: str | None = None
    delivery_timeout: float = 30.0
    output: str = "auto"
    quiet: bool = False
    report: str | None = None
    connect_timeout: float | None = None

    def run(self, *, yes: bool, dry_run: bool) -> int:
        """Plan, ask, do; return the exit code."""
        streams = streams_of(self.context)
        with Interrupt(streams) as interrupt, open_letters(streams, self.source, self.context_name, connect_timeout=self.connect_timeout) as session:
            self._check_allowed(session, yes)
            session.require(Capability.REDRIVE)
            with self._elsewhere(session) as elsewhere:
                rules = self._rules(session, elsewhere)
                prepare_for_bulk()
                if not yes or dry_run:
                    planned = self._plan(streams, session, rules, interrupt)
                    if interrupt.requested:
                        return interrupt.exit_code
                    if not planned.destinations:
                        return int(ExitCode.DONE)
                    if dry_run or not (streams.can_ask() and confirm(streams, f"{self.verb} {sum(planned.destinations.values()):,} letters?", yes=False)):
                        streams.say(f"nothing was changed; --yes {self.verb}s them")
                        return int(ExitCode.CHANGES_PENDING)
                return self._do(streams, session, rules, elsewhere, interrupt)

    def _check_allowed(self, session: Session, yes: bool) -> None:
        if session.context.readonly:
            raise UsageProblem(f"The context {session.context.name} is read-only: nothing is changed there.")
        if session.context.protected and yes and not session.context.said:
            raise UsageProblem(f"The context {session.context.name} is protected: name it to change anything there.", hint=f"--context {session.context.name}")

    @contextmanager
    def _elsewhere(self, session: Session) -> Iterator[Elsewhere | None]:
        if self.to is None or not is_elsewhere(self.to):
            yield None
            return
        if self.verb != "redrive":
            raise UsageProblem(f"dlq {self.verb} stays on one broker.", hint="dlq redrive --to @CONTEXT/ADDRESS goes to another")
        with Elsewhere.open(self.to, self.context_name, self.delivery_timeout, self.connect_timeout) as elsewhere:
            yield elsewhere

    def _rules(self, session: Session, elsewhere: Elsewhere | None) -> Rules:
        to = None if self.to is None else elsewhere.address if elsewhere is not None else session.backend.resolve(parse_address(self.to), "publish")
        if self.verb == "drop":
            return Drop()
        if self.verb == "park" and to is not None:
            return Park(to)
        park: Address | None = None if self.park is None else session.backend.resolve(parse_address(self.park), "publish")
        return Redrive(to, self.max_redrives, park, session.address)

    def _plan(self, streams: Streams, session: Session, rules: Rules, interrupt: Interrupt) -> Plan:
        with session.backend.look_letters(session.address) as reader, Progress(streams, "read", reader.expected) as progress:
            counted = plan(reader, recogniser_of(session), rules, self.letter_filter, limit=self.limit, stopping=lambda: interrupt.requested,
                           on_progress=progress.advance)
        print_plan(streams, self.verb, str(session.address), counted, self.output)
        return counted

    def _do(self, streams: Streams, session: Session, rules: Rules, elsewhere: Elsewhere | None, interrupt: Interrupt) -> int:
        began = time.monotonic()
        policy = RepairPolicy(self.delivery_timeout)
        with session.backend.repair(session.address, policy) as repair, LetterFile(journal_path(self.verb, session.address, self.journal)) as kept:
            for note in (repair.guarantee if elsewhere is None else elsewhere.guarantee, *repair.notes):
                if not self.quiet:
                    streams.say(note)
            with Progress(streams, DONE[self.verb], repair.expected) as progress:
                run = Redriving(repair, recogniser_of(session), rules, self.letter_filter, kept, self.through, self.rate, self.limit,
                                stopping=lambda: interrupt.requested, on_receipts=lambda receipts: say_problems(progress, receipts))
                try:
                    outcome = run.run(self._settle(repair, elsewhere))
                except StopNow:
                    outcome = run.abandon()
            journal = kept.path if kept.count else None
        code = interrupt.exit_code if interrupt.requested and not outcome.account.unknown else int(outcome.exit_code)
        End(streams, DONE[self.verb], str(session.address), run.plan, outcome, code, time.monotonic() - began, journal).say(self.quiet, self.report)
        return code

    def _settle(self, repair: Repair, elsewhere: Elsewhere | None) -> Callable[[list[Decision]], Receipts] | None:
        if self.verb == "drop":
            return lambda decisions: repair.mark([decision.letter.record for decision in decisions], State.DROPPED)
        return None if elsewhere is None else lambda decisions: settle_elsewhere(elsewhere, repair, decisions)
