"""Whether a server refuses a subscription: it says so some time after, if at all."""

from __future__ import annotations

from brokercli.model.errors import BrokercliError


class Refusals:
    """A watcher for the short while a subscription is made."""

    def __init__(self, subject: str, refusals: list[str]) -> None:
        self._subject = subject
        self._refusals = refusals

    def lost(self) -> None:
        """Nothing to do: the barrier sees it."""

    async def restored(self) -> None:
        """Nothing to do."""

    def given_up(self, failure: BrokercliError) -> None:
        """Nothing to do."""

    def refused(self, kind: str, subject: str) -> None:
        """Note it where it is ours."""
        if kind == "subscription" and subject == self._subject:
            self._refusals.append(subject)
