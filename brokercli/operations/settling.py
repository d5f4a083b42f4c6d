"""Messages put to one destination and waited for: each call ends with a verdict on every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from brokercli.backends.contract import Publisher
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.publishing import failure_of
from brokercli.operations.reading import SLICE


@dataclass(slots=True)
class Settling:
    """One publisher, used a batch at a time."""

    publisher: Publisher
    delivery_timeout: float
    failure: BrokercliError | None = None
    """Why no more messages are to be given to it, once one was not confirmed: the next ones would be in doubt."""
    _messages: Sequence[Message] = ()
    _sent: int = 0
    """How many of them the publisher has accepted."""
    _first: int = 0
    """The publisher's number of the first of them."""
    _began: float | None = None
    """When the first of them was offered."""
    _given_up_at: float | None = None
    """When their verdicts are waited for no longer; None while not all are accepted."""
    _verdicts: Receipts = field(default_factory=Receipts)
    _unconfirmed: set[int] = field(default_factory=set)

    def put(self, messages: Sequence[Message]) -> Receipts:
        """Publish messages in order and return their verdicts; indices are those of `messages`. Waits for every verdict,
        the delivery timeout at most. Raises Unreachable or NotAuthorised when nothing can be delivered any more."""
        self.begin(messages)
        while self._sent < len(messages):
            self._send()
            self._take(self.publisher.collect(0 if self._sent == len(messages) else SLICE))
        return self.finish()

    def begin(self, messages: Sequence[Message]) -> None:
        """Take messages to publish in order, once those of the last call have their verdicts; nothing is sent yet."""
        self._first += self._sent
        self._messages, self._sent = messages, 0
        self._began = self._given_up_at = None
        self._verdicts, self._unconfirmed = Receipts(), set()

    def go_on(self, timeout: float) -> bool:
        """Publish as many as may be on their way and take verdicts, waiting up to `timeout` seconds for the first. Return whether `finish`
        would not wait any more. Raises what the publisher does when it can deliver nothing any more."""
        self._send()
        self._take(self.publisher.collect(timeout))
        self._send()
        return self._given_up_at is not None and (not self.publisher.in_flight or monotonic() >= self._given_up_at)

    def finish(self) -> Receipts:
        """Wait for every verdict, the delivery timeout at most, and return all; indices are those of the messages."""
        left = self.delivery_timeout if self._given_up_at is None else self._given_up_at - monotonic()
        # at the end of its time it is asked once more all the same: with no time at all some ask nothing
        self._take(self.publisher.finish(max(SLICE, left)))
        return self._judged()

    @property
    def in_vain(self) -> bool:
        """Whether a call that has ended waited for the whole delivery timeout, and nothing was confirmed."""
        return not self._verdicts.confirmed and self._began is not None and monotonic() - self._began >= self.delivery_timeout

    def break_off(self, failure: BrokercliError) -> Receipts:
        """Return the verdicts once the publisher has raised: what was on its way and has none is unknown, what it did not take is refused."""
        self._take(self.publisher.finish(0))
        self.failure = failure
        receipts = self._judged()
        for index in range(self._sent, len(self._messages)):
            receipts.count(Receipt(index, Verdict.REFUSED, reason=str(failure)))
        return receipts

    def confirmed_so_far(self) -> list[int]:
        """After a call that was cut short by a second Ctrl-C: return which of its messages are confirmed, without waiting for any
        other. Empty where a verdict was lost, or not all had been sent: then nobody can tell whose the other verdicts are."""
        self._take(self.publisher.finish(0))
        count = len(self._messages)
        unconfirmed = {number - self._first for number in self._unconfirmed}
        if len(self._verdicts) < count or not all(0 <= number < count for number in unconfirmed):
            return []
        return [number for number in range(count) if number not in unconfirmed]

    def _send(self) -> None:
        if self._began is None:
            self._began = monotonic()
        if self._sent < len(self._messages):
            self._sent += self.publisher.send(self._messages[self._sent:] if self._sent else self._messages)
        if self._sent == len(self._messages) and self._given_up_at is None:
            self._given_up_at = monotonic() + self.delivery_timeout

    def _judged(self) -> Receipts:
        receipts = self._verdicts
        for receipt in receipts.problems:
            receipt.index -= self._first  # the publisher counts all it was ever given
        if receipts.refused or receipts.unknown:
            self.failure = self.failure or failure_of(self.publisher)
        return receipts

    def _take(self, verdicts: Receipts) -> None:
        # in this order: whoever is stopped between the two has fewer verdicts than messages
        self._unconfirmed.update(receipt.index for receipt in verdicts.problems if receipt.verdict is not Verdict.CONFIRMED)
        self._verdicts.add(verdicts)
