"""Where the letters of a redrive, drop or park come from: a destination on a broker, or a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from brokercli.backends.dead_letters import LetterReader, Lift, Repair, RepairPolicy
from brokercli.commands.dlq_destination import connection_of
from brokercli.commands.dlq_session import journal_path, open_letters, recogniser_of
from brokercli.commands.files import check_absent, check_twice_readable
from brokercli.commands.may_change import check_may_change
from brokercli.commands.session import Session, open_broker
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.errors import LocalIO, UsageProblem
from brokercli.model.message import Message
from brokercli.operations.letters import Recogniser
from brokercli.settings.dead_letters import dead_letter_patterns
from brokercli.terminal.interrupt import StopNow
from brokercli.terminal.progress import Progress
from brokercli.terminal.streams import Streams

if TYPE_CHECKING:
    from brokercli.operations.filed_letters import LetterFileContent


@dataclass(frozen=True, slots=True)
class LetterSource:
    """Letters that can be looked at and put back. The address of a file's session is the file, of the kind `file`."""

    session: Session
    recogniser: Recogniser
    look: Callable[[], LetterReader]
    repair: Callable[[RepairPolicy], Repair]
    lift_to_look: Callable[[], Lift]
    """Makes looking safe where a limit of deliveries would cost letters, as far as that was asked for."""
    lift_to_repair: Callable[[], Lift]
    check_repair: Callable[[LetterReader], None]
    """Raises what would keep every letter of a look from being taken out, as far as that is known without opening a repair."""
    withholds: Callable[[Message], Sequence[str]]
    """Names what of a message does not go along when it is put back on this broker."""
    journal: str | None
    """Where letters are kept before anything is done to them; None where they come from a file already."""


@contextmanager
def on_broker(streams: Streams, name: str | None, context_name: str | None, verb: str, journal: str | None, connect_timeout: float | None,
              lift_limit: bool | None, quiet: bool, strip: tuple[str, ...]) -> Iterator[LetterSource]:
    """Open a destination of dead letters, the one named or the one found. `lift_limit` True has its limit of deliveries lifted to look and
    to repair, None to repair only, False never. Headers like `strip` do not go back."""
    with open_letters(streams, name, context_name, verb, quiet=quiet, connect_timeout=connect_timeout) as session:
        ways = {"redrive": f"brokercli dlq export FILE {session.address}, and then brokercli dlq redrive --from-file FILE, puts them back, each once"}
        session.require(Capability.REDRIVE, hint=ways.get(verb, "brokercli brokers says what each broker can do"))
        if lift_limit:
            check_may_change(session.context, "without --lift-limit nothing is changed")

        patterns = dead_letter_patterns()

        def lift() -> Lift:
            return session.backend.lift_limit(session.address)

        yield LetterSource(session, recogniser_of(session, strip), lambda: session.backend.look_letters(session.address, patterns),
                           lambda policy: session.backend.repair(session.address, policy, patterns), lift if lift_limit else Lift,
                           Lift if lift_limit is False else lift, session.backend.check_repair,
                           partial(session.backend.withholds, letter=True), journal_path(verb, session.address, journal))


@contextmanager
def in_file(streams: Streams, path: str, context_name: str | None, to: str | None, resume: str | None,
            connect_timeout: float | None, strip: tuple[str, ...]) -> Iterator[LetterSource]:
    """Open a file of letters, to be put back on the context's broker, or on that of `to`; what was put there is remembered in `resume`. Headers
    like `strip` do not go back."""
    from brokercli.operations.filed_letters import FiledReader, FiledRepair
    from brokercli.operations.journal import Journal

    with open_broker(None, context_name, connect_timeout=connect_timeout) as broker:
        content = checked_file(streams, path, broker.descriptor.name)
        session = Session(broker.backend, Address(path, "file"), broker.context, broker.descriptor)
        identity = {"letters": content.digest, "to": connection_of(session, to).whereabouts}
        with Journal(resume or _remembered(identity), identity) as journal:
            yield LetterSource(session, recogniser_of(session, strip), lambda: FiledReader(content, journal),
                               lambda policy: FiledRepair(content, journal, broker.backend, policy.delivery_timeout), Lift, Lift,
                               lambda reader: None, broker.backend.withholds, None)


def checked_file(streams: Streams, path: str, broker: str) -> LetterFileContent:
    """Read a file of letters through, which for a large one takes a while; a signal ends it at once, and it is said that nothing was done."""
    from brokercli.operations.filed_letters import LetterFileContent

    try:
        with Progress(streams, "bytes checked", Path(path).stat().st_size) as progress:
            return LetterFileContent(path, broker, progress.advance)
    except StopNow:
        streams.say(f"stopped while {path} was checked: nothing was sent")
        raise


def _remembered(identity: dict[str, str]) -> str:
    """Return where it is kept what was put back of a file with this content on this broker."""
    from brokercli.local.on_disk import make_private
    from brokercli.settings.places import state_directory

    folder = state_directory() / "journals"
    try:
        make_private(folder)
    except OSError as problem:
        raise LocalIO(f"{folder} cannot be made: {problem.strerror}. Nothing was sent.", hint="--resume FILE keeps elsewhere what was put back") from None
    digest = hashlib.sha256("\n".join(identity.values()).encode()).hexdigest()
    return str(folder / f"redriven-{digest[:16]}.journal")


def check_files(file: str | None, name: str | None, resume: str | None, journal: str | None) -> None:
    """Raise UsageProblem for options that do not go together, letters that can be read only once, and a journal that is there already."""
    if file is None and resume is not None:
        raise UsageProblem("--resume goes with --from-file: what was redriven from a broker is remembered there.",
                           hint="the same command without it goes on with what is left")
    if file is not None and name is not None:
        raise UsageProblem(f"The letters come from the file {file} or from {name}, not from both.", hint="leave one of them out")
    if file is not None and journal is not None:
        raise UsageProblem("--journal keeps letters that are on a broker; these are in a file already.", hint="--resume FILE remembers what was put back")
    check_absent(journal)
    if file is not None:
        check_twice_readable(file)
