"""The consumers that take the parts of a queue: whose turn it is, and who stays so that the queue's end is heard of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ENDING = "ending"


class Turns:
    """A consumer for each part, which goes once that of the next one is there; or, `together`, one for all parts but the first, which comes
    and goes, beside that of the first part, which stays and takes nothing more, because what it got is not acknowledged.

    RabbitMQ gives what a channel returns to a classic queue by consumers, and with each the queue goes through all that is back already:
    100,000 messages in parts of 5,000 took 2.0 s of the broker's processor time to come back, and 1.1 s as those of one consumer (4.3.6).
    A quorum queue would go on counting what the consumer of that name had before, and give it no more; and what is acknowledged makes
    room for more where its consumer's name is in use again. For the connection's thread.
    """

    def __init__(self, queue: str, arguments: dict[str, Any] | None, later: Callable[[float, Callable[[], None]], Any], *, together: bool) -> None:
        self._queue = queue
        self._arguments = arguments
        self._later = later
        self._together = together
        self._channel: Any = None
        self._names = 0
        self.current = ""
        """Whose turn it is; "" where nobody takes any more."""
        self.joined = False
        """Whether it had the turn before as well."""
        self.between = False
        """Whether it has gone and not come again."""
        self.changing = False
        """Whether the one before may be there still, and the current one not yet."""
        self.deferred: list[Callable[[], None]] = []
        """What is to be said once that is over."""
        self._before = self._staying = ""
        self._held_by: Any = None
        """The channel of the one before."""

    @property
    def ending(self) -> bool:
        """Whether nobody is to take any more."""
        return self.current == _ENDING

    def next(self, channel: Any, most: int) -> None:
        """Have the next part taken, of so many messages, on that channel from now on."""
        held_by, self._channel = self._channel, channel
        self.changing = True
        if self._staying:
            self.joined = self.between = True
            # pika forgets a consumer only after it has told of its end
            channel.basic_cancel(self.current, callback=lambda answer: self._later(0, lambda: self._begin(most)))
            return
        self._names += 1
        before, self.current = self.current, f"brokercli-{self._names:08d}"
        self.joined = False
        if self._together:
            self._staying = before
        else:
            self._before, self._held_by = before, held_by
        self._begin(most)

    def _begin(self, most: int) -> None:
        self.between = False
        if self._channel is None or not self._channel.is_open:
            return
        self._channel.basic_qos(prefetch_count=most)
        self._channel.basic_consume(self._queue, _ignore, consumer_tag=self.current, arguments=self._arguments, callback=self._begun)

    def _begun(self, answer: Any) -> None:
        before, self._before = self._before, ""
        if before and self._channel is not None:
            self._held_by.basic_cancel(before)
        self.stay()

    def stay(self) -> None:
        """Say what waited: nobody's turn begins any more."""
        self.changing = False
        deferred, self.deferred = self.deferred, []
        for say in deferred:
            say()

    def part(self) -> None:
        """Begin another consumer for each part from now on, and let the one that stays go: a queue that gives to one consumer alone, which
        nobody may have told us, gives to that one."""
        self._together = False
        staying, self._staying = self._staying, ""
        if staying and self._channel is not None:
            self._channel.basic_cancel(staying)

    def end(self, done: Callable[[Any], None]) -> None:
        """Have nobody take any more, and call `done` then."""
        current, self.current = self.current, _ENDING
        if current in ("", _ENDING) or self._channel is None:
            return
        staying, self._staying = self._staying, ""
        if staying:
            self._channel.basic_cancel(staying)
        self._channel.basic_cancel(current, callback=done)

    def lost(self) -> None:
        """Ask nothing any more: the broker has ended them."""
        self._channel = None
        self._begun(None)


def _ignore(*arguments: Any) -> None:
    """What pika would call for a delivery; the sink gets them."""
