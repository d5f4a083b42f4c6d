"""What is published to a subject from now on, as a plain subscriber sees it."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.contract import Batch
from brokercli.backends.nats.bulk_parser import Delivery, Sink
from brokercli.backends.nats.failures import not_permitted
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.reading import OVERHEAD, BufferedReader
from brokercli.backends.nats.records import Delivered
from brokercli.model.errors import BrokercliError, Failed


class CoreReader(BufferedReader[list[Delivery]]):
    """Never ends by itself.

    Core NATS keeps nothing and waits for nobody: whoever reads too slowly misses messages. Here the connection reads on
    whatever happens (a server drops a client that does not), the buffer is bounded, and once it is full the look ends:
    everything before the first missed message is handed out, then `read` raises Failed. The same after a lost connection,
    because what was published meanwhile is not known: it is said once by Failed, rather than passed over.
    """

    def __init__(self, link: Link, subjects: Sequence[str]) -> None:
        super().__init__(link)
        self._subjects = subjects
        self._sids: list[int] = []
        self._full = False
        link.run(self._open())

    async def _open(self) -> None:
        self.link.watchers.append(self)
        for subject in self._subjects:
            self._sids.append(await self.link.subscribe(subject, Sink(self.link.guard(self._arrived))))

    def _arrived(self, messages: list[Delivery]) -> None:
        if self._full:
            return
        if not self._handover.offer(messages, sum(len(payload) + OVERHEAD for _, payload in messages)):
            self._full = True
            self._handover.fail(Failed("Messages were published faster than they could be written, and some were missed: core NATS keeps none.",
                                       hint="read the stream that captures the subject instead, or write to a faster output"))

    def batch(self, items: list[Delivery]) -> Batch:
        return Delivered(items, None)

    async def more(self) -> None:
        """Nothing: a core subscription cannot be held back."""

    async def let_go(self) -> None:
        for sid in self._sids:
            await self.link.unsubscribe(sid)

    def lost(self) -> None:
        """What is published until we are back nobody keeps for us."""
        self._full = True
        self._handover.fail(Failed("The connection was lost for a while; what was published to the subject meanwhile is missed, because core NATS keeps none.",
                                   hint="start it again, or read the stream that captures the subject"))

    def refused(self, kind: str, subject: str) -> None:
        """A server whose permissions are changed takes subscriptions back and says so, once (seen on 2.15.1)."""
        if kind == "subscription" and subject in self._subjects:
            self._full = True
            self._handover.fail(not_permitted(kind, subject, self.link.connection))

    def given_up(self, failure: BrokercliError) -> None:
        if not self._full:
            super().given_up(failure)
