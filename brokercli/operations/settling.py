"""Messages put to one destination and waited for: each call ends with a verdict on every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.contract import Publisher
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts
from brokercli.operations.publishing import SLICE


@dataclass(slots=True)
class Settling:
    """One publisher, used a batch at a time."""

    publisher: Publisher
    delivery_timeout: float
    _sent: int = 0

    def put(self, messages: Sequence[Message]) -> Receipts:
        """Publish messages in order and return their verdicts; indices are those of `messages`. Waits for every verdict,
        the delivery timeout at most. Raises Unreachable or NotAuthorised when nothing can be delivered any more."""
        receipts, sent = Receipts(), 0
        while sent < len(messages):
            sent += self.publisher.send(messages[sent:])
            receipts.add(self.publisher.collect(0 if sent == len(messages) else SLICE))
        receipts.add(self.publisher.finish(self.delivery_timeout))
        for receipt in receipts.problems:
            receipt.index -= self._sent  # the publisher counts all it was ever given
        self._sent += sent
        return receipts
