"""Opening a destination of dead letters, named or found."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from brokercli.backends.dead_letters import DeadLetterSource
from brokercli.commands.files import read_file
from brokercli.commands.listing import parse_broker
from brokercli.commands.session import Session, open_address, open_broker
from brokercli.dialects.facts import Facts
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.capability import Capability
from brokercli.model.errors import NotFound, UsageProblem
from brokercli.model.position import Moment, format_time, parse_position
from brokercli.operations.filter import Filter
from brokercli.operations.letters import LetterFilter, Recogniser, read_ids
from brokercli.settings.dead_letters import dead_letter_patterns, user_dialects
from brokercli.settings.places import state_directory
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import print_table

_ELSEWHERE = "brokercli dlq ls shows where dead letters lie"


class NothingPending(NotFound):
    """No letter is pending in any destination of dead letters that there is, and each of them was looked into."""


@contextmanager
def open_letters(streams: Streams, text: str | None, context_name: str | None, verb: str = "inspect", *, quiet: bool = False,
                 connect_timeout: float | None = None) -> Iterator[Session]:
    """Open a destination of dead letters: the one named, the context's, or the only one there is, which is said unless `quiet`.

    Several with pending letters and none of them named: they are listed on standard error, and UsageProblem is raised; its hint is
    how to name one to `dlq VERB`. Nothing pending in any of several, or no destination at all: NothingPending.
    """
    elsewhere = parse_broker(text)
    if text is not None and elsewhere is None:
        with ExitStack() as stack:
            try:
                session = stack.enter_context(open_address(text, context_name, "letters", connect_timeout=connect_timeout))
            except (NotFound, UsageProblem) as problem:
                if " " in verb:  # in front of the destination stands something else, and the two are easily changed over
                    problem.hint = "; ".join(filter(None, (problem.hint, f"in this order: brokercli dlq {verb} ADDRESS")))
                raise
            session.require(Capability.LOOK_LETTERS, hint=_ELSEWHERE)
            yield session
        return
    with open_broker(elsewhere, context_name, connect_timeout=connect_timeout) as broker:
        if broker.context.dlq is not None:
            with open_address(broker.context.dlq, context_name or broker.context.name, "letters", connect_timeout=connect_timeout) as session:
                session.require(Capability.LOOK_LETTERS, hint=_ELSEWHERE)
                # whether the context was named in the command: not by us, who have just named it to find its letters
                yield session._replace(context=broker.context)
            return
        unseen: list[str] = []
        every = list(broker.backend.dead_letter_sources(dead_letter_patterns(), unseen))
        for reason in unseen:
            streams.say(f"there may be more: {reason}")
        found = every if len(every) == 1 and not unseen else [source for source in every if source.pending != 0]
        if len(found) != 1:
            if not found:
                raise _nothing_found(broker.context.name, len(every), complete=not unseen,
                                     hint=f"name one: brokercli dlq {verb} ADDRESS; brokercli dlq ls shows also the empty ones")
            for source in found:
                streams.say(f"  {source.address}" + (f"  {source.pending:,} pending" if source.pending is not None else ""))
            raise UsageProblem(f"There are {len(found)} destinations of dead letters; say which.",
                               hint=f"for example: brokercli dlq {verb} {found[0].address}")
        if not quiet:
            streams.say(f"dead letters in {found[0].address}")
        yield Session(broker.backend, broker.backend.resolve(found[0].address, "letters"), broker.context, broker.descriptor)


def _nothing_found(where: str, destinations: int, *, complete: bool, hint: str) -> NotFound:
    if not complete:
        return NotFound(f"No pending letters were found on {where}, where not everything could be looked into.", hint=hint)
    if not destinations:
        return NothingPending(f"There are no dead letters on {where}: nothing is named like them, and nothing sends its dead letters anywhere.", hint=hint)
    return NothingPending(f"No letter is pending in any of the {amount(destinations, 'destination')} of dead letters on {where}.", hint=hint)


def recogniser_of(session: Session, strip: tuple[str, ...] = ()) -> Recogniser:
    """Return what reads the letters of an open destination; `strip` are names of headers that do not go back either."""
    feeding = session.backend.feeding()
    # the name of a file is none of its broker's
    lies_in = frozenset({session.address.name} if session.address.kind != "file" else ())
    facts = Facts(None, lies_in) if feeding is None else Facts(feeding.wait_queues, lies_in, feeding.origins)
    return Recogniser(session.backend, user_dialects(), facts, strip=strip)


def letter_filter_of(streams: Streams, reason: str | None, origin: str | None, since: str | None, until: str | None, ids: str | None,
                     grep: list[str] | None, header: list[str] | None, where: str | None) -> LetterFilter:
    """Compile the options. Raises UsageProblem before anything is read."""
    for option, pattern in (("--reason", reason), ("--origin", origin)):
        if pattern is not None and not pattern.strip():
            raise UsageProblem(f"{option} needs a text to look for.", hint="a text, with * and ?; without the option all letters are meant")
    named = None if ids is None else read_ids(read_file(streams, ids, f"--ids {ids}"), f"--ids {ids}")
    records = Filter.compile(grep=grep or (), headers=header or (), where=where) if grep or header or where is not None else None
    first, last = _moment(since), _moment(until)
    if first is not None and last is not None and last < first:
        raise UsageProblem(f"--until {until} is before --since {since}: no letter died between them.")
    return LetterFilter(records, reason, origin, first, last, named)


def journal_path(verb: str, source: Address, asked: str | None) -> str:
    """Return where the letters of a run are kept: the file asked for, or a new one in the user's state directory."""
    if asked is not None:
        return asked
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", source.name)[:80]
    moment = format_time(time.time_ns()).replace(":", "").partition(".")[0]
    return str(state_directory() / "journals" / f"{moment}-{verb}-{name}-{os.getpid()}.ndjson")


def print_sources(streams: Streams, sources: list[DeadLetterSource], output: str) -> None:
    """Print the table of `dlq ls`."""
    print_table(streams, [{
        "dlq": str(source.address), "resource": source.resource, "messages": source.depth, "pending": source.pending,
        "oldest": None if source.oldest is None else format_time(source.oldest), "feeds": ", ".join(source.feeds), "found by": source.found_by,
        **({"remarks": "; ".join(source.remarks)} if output == "json" or any(each.remarks for each in sources) else {}),
    } for source in sources], output=output)


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    position = parse_position(text if text.startswith("@") else f"@-{text}" if re.fullmatch(r"(\d+(\.\d+)?(ms|[smhdw]))+", text) else f"@{text}")
    return position.nanoseconds if isinstance(position, Moment) else None
