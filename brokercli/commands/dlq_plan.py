"""The plan of a redrive, a drop or a park: what would become of which letters, shown before anything is done."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.dead_letters import LetterReader
from brokercli.commands.dlq_destination import Elsewhere
from brokercli.commands.dlq_looking import lifted
from brokercli.commands.dlq_source import LetterSource
from brokercli.commands.session import Session
from brokercli.operations.decisions import Decision, Rules
from brokercli.operations.letters import LetterFilter
from brokercli.operations.planning import Plan, plan
from brokercli.terminal.interrupt import Interrupt
from brokercli.terminal.notes import Notes
from brokercli.terminal.plan import print_plan
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams

# two are enough to know that there is not just one
_REMEMBERED = 2
# so many destinations are asked for: a plan is read by somebody who waits for it
_ASKED = 20


def show_plan(streams: Streams, letters: LetterSource, verb: str, rules: Rules, letter_filter: LetterFilter, limit: int | None, interrupt: Interrupt,
              chosen: list[Decision] | None, elsewhere: Elsewhere | None, *, quiet: bool, output: str) -> Plan:
    """Look at the letters, print the plan and return it; nothing is changed. The first letters that would go are put into `chosen`.
    `elsewhere`: they go to another broker, where the one destination is known to be there. Raises what would keep every one of them from
    going."""

    def remember(decision: Decision) -> None:
        if chosen is not None and len(chosen) < _REMEMBERED and not decision.left:
            chosen.append(decision)

    with lifted(streams, letters.lift_to_look) as lift, letters.look() as reader, Progress(streams, "read", reader.expected) as progress:
        letters.check_repair(reader)
        counted = plan(reader, letters.recogniser, rules, letter_filter, limit=limit, stopping=lambda: interrupt.requested,
                       on_progress=progress.advance, on_decision=None if chosen is None else remember, withholds=(elsewhere or letters).withholds)
    Notes(reader, streams.say, quiet=quiet).say_new()
    notes = [*letter_filter.take_notes(), *([f"{lift.after}; to {verb} them lifts it once more"] if lift.after else [])]
    if reader.left_out is not None and counted.destinations:
        notes.append(str(reader.left_out))
    for note in notes if not quiet else ():
        streams.say(note)
    if not interrupt.requested:
        obstacles, fates = _outlook(letters.session, reader, counted, elsewhere)
        print_plan(streams, verb, str(letters.session.address), counted, obstacles, fates, output, quiet=quiet)
        if reader.left_out is not None and not counted.destinations:
            raise reader.left_out
    return counted


def _outlook(session: Session, reader: LetterReader, counted: Plan, elsewhere: Elsewhere | None) -> tuple[dict[str, str], Sequence[str]]:
    """Return why nothing can be put to destinations of a plan, the first ones, and what becomes there of what is put to the others."""
    if not counted.destinations:
        return {}, ()
    names = [] if elsewhere is not None else list(counted.addresses)[:_ASKED]
    found = session.backend.obstacles(reader, [counted.addresses[name] for name in names])
    open_ = [(counted.addresses[name], counted.destinations[name]) for index, name in enumerate(names) if index not in found]
    fates = session.backend.fates(reader, open_)
    return {names[index]: reason for index, reason in found.items()}, fates if elsewhere is None else (*elsewhere.notes, *fates)
