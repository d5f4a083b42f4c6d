"""What every look shares: a bounded buffer between the connection's thread and the reader's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sized
from functools import reduce
from operator import add
from typing import Any, Generic, Protocol, TypeVar

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.handover import Handover
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.overtaken import Overtaken
from brokercli.backends.nats.watcher import Watcher
from brokercli.model.errors import BrokercliError


class Items(Sized, Protocol):
    """Some messages in order: a list, or what can be joined like one."""

    def __add__(self, further: Any, /) -> Any:
        """Return these and the further ones, of the same type."""


Some = TypeVar("Some", bound=Items)

BUFFER_BYTES = 8 << 20
# what Python needs for a message beside its bytes: measured 430 with 94-byte bodies
OVERHEAD = 430
LARGEST_BATCH = 4096
_FEWEST_BYTES = 16 << 10


def fewer_bytes(asked: int) -> int:
    """Return how many bytes to ask for after a connection on which nothing came to its end: a server hangs up without a word where more waits
    for us than it lets (max_pending), and would do so each time."""
    return max(_FEWEST_BYTES, asked // 2)


class BufferedReader(Reader, Watcher, Generic[Some]):
    """Takes items in from the connection's thread."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.notes: list[str] = []
        self._closed = False
        self._overtaken: Overtaken | None = None
        self._handover: Handover[Some] = Handover(BUFFER_BYTES, self._resume)

    @abstractmethod
    def batch(self, items: Some) -> Batch:
        """Return items as a batch."""

    @abstractmethod
    async def more(self) -> None:
        """There is room in the buffer again; on the connection's thread."""

    @abstractmethod
    async def let_go(self) -> None:
        """Take back what the broker was asked for; on the connection's thread."""

    def read(self, timeout: float) -> Batch | None:
        # bigger batches cost the operations less; nothing is waited for
        waiting = self._handover.take_together(timeout, LARGEST_BATCH)
        return self.batch(reduce(add, waiting)) if waiting else None

    @property
    def finished(self) -> bool:
        return self._handover.drained

    def at_the_end(self) -> None:
        """There is nothing more, behind all that came."""
        if self._overtaken is not None:
            self.notes += self._overtaken.at_the_end()
        self._handover.end()

    def came(self, count: int, following: int) -> None:
        """So many messages came, which are all that there is below a sequence."""
        if self._overtaken is not None:
            self.notes += self._overtaken.read(count, following)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.link.tidy(self._close())
        if self._overtaken is not None:
            self.notes += self._overtaken.stopped()

    async def _close(self) -> None:
        if self in self.link.watchers:
            self.link.watchers.remove(self)
        await self.let_go()

    def _resume(self) -> None:
        if not self._closed:
            self.link.start(self.more())

    def given_up(self, failure: BrokercliError) -> None:
        """Say it to the reader, behind what has arrived."""
        self._handover.fail(failure)
