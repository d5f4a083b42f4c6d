"""For how long a server has said nothing about messages while some waited: then it counts as lost for good."""

from __future__ import annotations

import time

from brokercli.backends.nats.link import Link
from brokercli.model.errors import Unreachable

ASK_SECONDS = 3.0


class Silence:
    """One publisher's clock. Its lock guards this as well."""

    def __init__(self, link: Link, limit: float) -> None:
        """`limit`: the delivery timeout, seconds."""
        self._link = link
        self._limit = limit
        self._since = time.monotonic()
        self._asked = 0.0
        self._turned_away = False

    def heard(self) -> None:
        """Begin anew: the server said something."""
        self._since = time.monotonic()

    def time_to_ask(self, waiting: bool) -> bool:
        """Whether to ask what is the matter, every few seconds of silence. `waiting`: a message is without its verdict."""
        now = time.monotonic()
        if not waiting or now - max(self._since, self._asked) < ASK_SECONDS:
            return False
        self._asked = now
        return True

    def offered(self, taken: int, left: int, in_flight: int, began: float) -> None:
        """Note that messages were offered, how many of them were taken and how many could not be; `in_flight` is how many waited before,
        at the moment `began`. From then on it counts: no message is late before its silence is too long."""
        if not in_flight and (taken or not self._turned_away):
            self._since = max(self._since, began)
        self._turned_away = left > 0

    def too_long(self, waiting: bool) -> Unreachable | None:
        """Return what to fail with where it has lasted too long. `waiting`: a message is, or was until now, without its verdict."""
        if not (waiting or self._turned_away) or time.monotonic() - self._since < self._limit:
            return None
        return Unreachable(f"{self._link.connection} has confirmed nothing for {self._limit:g} s{self._link.why_away}.",
                           hint="when it takes messages again, repeat with what was refused or is in doubt")
