"""Looking at letters, with the limit lifted that could cost some, and what that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brokercli.backends.dead_letters import LetterReader, Lift
from brokercli.commands.may_change import check_may_change
from brokercli.commands.session import Session
from brokercli.settings.dead_letters import dead_letter_patterns
from brokercli.terminal.streams import Streams


@dataclass(frozen=True, slots=True)
class Look:
    """One look, and what it took to make it safe."""

    reader: LetterReader
    lift: Lift

    @property
    def side_effects(self) -> str:
        """What it has cost, once it is over."""
        after, cost = self.lift.after, self.reader.side_effects
        return cost if not after else after if cost == "none" else f"{after}; {cost}"


@contextmanager
def look_at_letters(streams: Streams, session: Session, lift_limit: bool) -> Iterator[Look]:
    """Look at the letters of an open destination; with `lift_limit`, its limit of deliveries is lifted until the look is over."""
    if lift_limit:
        check_may_change(session.context, "without --lift-limit nothing is changed")
    with (lifted(streams, lambda: session.backend.lift_limit(session.address) if lift_limit else Lift()) as lift,
          session.backend.look_letters(session.address, dead_letter_patterns()) as reader):
        yield Look(reader, lift)


@contextmanager
def lifted(streams: Streams, lift: Callable[[], Lift]) -> Iterator[Lift]:
    """Keep a limit lifted; where what is done meanwhile is cut short, say what was changed and what of it is left."""
    opened = lift()
    try:
        with opened:
            yield opened
    except BaseException:
        if opened.after:
            streams.say(opened.after)
        raise
