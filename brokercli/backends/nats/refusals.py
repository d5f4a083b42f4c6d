"""Whether a server refuses a subscription: it says so some time after, if at all."""

from __future__ import annotations

from brokercli.backends.nats.watcher import Watcher


class Refusals(Watcher):
    """A watcher for the short while a subscription is made."""

    def __init__(self, subject: str, refusals: list[str]) -> None:
        self._subject = subject
        self._refusals = refusals

    def refused(self, kind: str, subject: str) -> None:
        """Note it where it is ours."""
        if kind == "subscription" and subject == self._subject:
            self._refusals.append(subject)
