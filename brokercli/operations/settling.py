"""Messages put to one destination and waited for: each call ends with a verdict on every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from brokercli.backends.contract import Publisher
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts, Verdict
from brokercli.operations.publishing import failure_of
from brokercli.operations.reading import SLICE


@dataclass(slots=True)
class Settling:
    """One publisher, used a batch at a time."""

    publisher: Publisher
    delivery_timeout: float
    failure: BrokercliError | None = None
    """Why no more messages are to be given to it, once one was not confirmed: the next ones would be in doubt."""
    _sent: int = 0
    _first: int = 0
    """The publisher's number of the first message of the last call."""
    _offered: int = 0
    _verdicts: Receipts = field(default_factory=Receipts)
    _unconfirmed: set[int] = field(default_factory=set)

    def put(self, messages: Sequence[Message]) -> Receipts:
        """Publish messages in order and return their verdicts; indices are those of `messages`. Waits for every verdict,
        the delivery timeout at most. Raises Unreachable or NotAuthorised when nothing can be delivered any more."""
        receipts = self._verdicts = Receipts()
        self._first, self._offered, self._unconfirmed = self._sent, len(messages), set()
        sent = 0
        while sent < len(messages):
            sent += self.publisher.send(messages[sent:])
            self._take(self.publisher.collect(0 if sent == len(messages) else SLICE))
        self._take(self.publisher.finish(self.delivery_timeout))
        for receipt in receipts.problems:
            receipt.index -= self._first  # the publisher counts all it was ever given
        self._sent += sent
        if receipts.refused or receipts.unknown:
            self.failure = failure_of(self.publisher)
        return receipts

    def confirmed_so_far(self) -> list[int]:
        """After a call that was cut short by a second Ctrl-C: return which of its messages are confirmed, without waiting for any
        other. Empty where a verdict was lost, or not all had been sent: then nobody can tell whose the other verdicts are."""
        self._take(self.publisher.finish(0))
        unconfirmed = {number - self._first for number in self._unconfirmed}
        if len(self._verdicts) < self._offered or not all(0 <= number < self._offered for number in unconfirmed):
            return []
        return [number for number in range(self._offered) if number not in unconfirmed]

    def _take(self, verdicts: Receipts) -> None:
        # in this order: whoever is stopped between the two has fewer verdicts than messages
        self._unconfirmed.update(receipt.index for receipt in verdicts.problems if receipt.verdict is not Verdict.CONFIRMED)
        self._verdicts.add(verdicts)
