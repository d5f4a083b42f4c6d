"""What is said while a broker says nothing: a pipe shows no progress, and a broker may be away for as long as one may wait for it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from brokercli.model.amount import amount

SAID_AFTER_SECONDS = 5.0


class Silence:
    """Says once, for each time that it lasts, that nothing has been heard for a while."""

    def __init__(self, say: Callable[[str], None], *, quiet: bool = False) -> None:
        """`quiet`: nothing is ever said."""
        self._say = say
        self._quiet = quiet
        self._since: float | None = None
        self._told = False
        self.tell_why: Callable[[], None] = lambda: None
        """Called before it is said: says what has come to be known meanwhile."""

    def heard(self) -> None:
        """A verdict came."""
        self._since, self._told = None, False

    def waits(self, in_flight: int) -> None:
        """None came yet, on so many messages."""
        now = monotonic()
        if self._since is None:
            self._since = now
        elif now - self._since >= SAID_AFTER_SECONDS and not self._told and not self._quiet:
            self._told = True
            self.tell_why()
            what = f"no verdict has come for {SAID_AFTER_SECONDS:g} s on {amount(in_flight, 'message')}" if in_flight else (
                f"the broker has taken nothing for {SAID_AFTER_SECONDS:g} s")
            self._say(f"{what}; brokercli goes on waiting")
