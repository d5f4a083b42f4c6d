"""What whoever uses a connection is told about it, and asked."""

from __future__ import annotations

from brokercli.model.errors import BrokercliError


class Watcher:
    """Who wants to know about the connection; called on its thread. What a watcher has no use for it leaves as it is: nothing is done."""

    def lost(self) -> None:
        """It is gone; what was written lately may or may not have arrived."""

    async def restored(self) -> None:
        """It is there again, subscriptions included."""

    def given_up(self, failure: BrokercliError) -> None:
        """It will not come back."""

    def refused(self, kind: str, subject: str) -> None:
        """The server did not permit to publish to (`publish`) or subscribe to (`subscription`) a subject."""

    def largest_sent(self) -> int:
        """Return the size of the largest message that was sent and has no verdict, headers included; 0 for none."""
        return 0
