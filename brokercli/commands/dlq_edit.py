"""`dlq redrive --edit`: one letter's body changed by hand before it goes home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from brokercli.model.amount import amount
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message
from brokercli.operations.decisions import Decision
from brokercli.operations.through import Transformed
from brokercli.settings.child_environment import environment_for_children
from brokercli.terminal.editor import edit
from brokercli.terminal.streams import Streams


@dataclass(frozen=True, slots=True)
class Edited:
    """The new body of the letter whose body was `before`."""

    before: bytes | None
    after: bytes | None

    def transform(self, message: Message) -> Transformed:
        """Return the edited message; nothing for one that is not the letter that was edited."""
        if message.body != self.before:
            return Transformed(None, "it is not the letter that was edited", meant=False)
        return Transformed(message if self.after == self.before else replace(message, body=self.after))


def edit_one(streams: Streams, chosen: Sequence[Decision]) -> Edited:
    """Have the only chosen letter edited, before anything is taken. Raises UsageProblem where there are more, and where it would be parked."""
    if len(chosen) != 1 or chosen[0].message is None:
        raise UsageProblem("--edit is for one letter, and more than one matches. Nothing was changed.",
                           hint="-n 1 takes the first; --ids FILE, --grep and the like choose another")
    if chosen[0].message is chosen[0].letter.record.message:
        raise UsageProblem("--edit is for a letter that goes home: what is parked goes as it is. Nothing was changed.",
                           hint="--max-redrives with a larger number has it go home once more")
    before = chosen[0].message.body
    shown = before or b""
    after = edit(shown, environment_for_children())
    streams.say("the body is as it was" if after == shown else f"the body has {amount(len(after), 'byte')} now; it had {len(shown):,}")
    # what was not changed stays what it was: a tombstone is no empty body
    return Edited(before, before if after == shown else after)
