"""Publishing: a question for each batch, its answer the verdicts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli_memory import SUPPORT
from brokercli_memory.wire import Line, pack

_WINDOW = 2000
_GIVEN = {Capability.KEY: "key", Capability.PARTITION: "partition", Capability.MESSAGE_TIME: "time"}


class MemoryPublisher(Publisher):
    """Confirmed publishing to one topic or queue."""

    def __init__(self, line: Line, destination: Address, policy: PublishPolicy) -> None:
        self._line = line
        self._destination = destination
        self._policy = policy
        self._window = policy.maximum_in_flight or _WINDOW
        self._accepted = 0
        self._batches: deque[tuple[list[int], float]] = deque()
        self._early = Receipts()
        self._in_flight = 0
        self._overdue = 0
        self._lost: BrokercliError | None = None
        self.withheld = {}

    def send(self, messages: Sequence[Message]) -> int:
        taken = [] if self._lost else messages[:max(0, self._window - self._in_flight)]
        numbers, packed = [], []
        for message in taken:
            reason = self._refusal(message)
            if reason is None:
                numbers.append(self._accepted)
                packed.append(pack(message))
            else:
                self._early.count(Receipt(self._accepted, Verdict.REFUSED, reason=reason))
            self._accepted += 1
        self._in_flight += len(taken)
        if packed:
            self._batches.append((numbers, time.monotonic() + self._policy.delivery_timeout))
            try:
                self._line.say({"do": "publish", "kind": self._destination.kind, "name": self._destination.name, "messages": packed})
            except BrokercliError as error:
                self._lost = error  # they were accepted, and may have arrived; `collect` says so
        return len(taken)

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        return self.send([replace(self._policy.template, body=body) for body in bodies[:max(0, self._window - self._in_flight)]])

    def collect(self, timeout: float) -> Receipts:
        if self._lost is not None:
            raise self._lost
        receipts, self._early = self._early, Receipts()
        if self._batches and not len(receipts):
            self._hear(receipts, timeout)
        while self._batches and self._hear(receipts, 0):
            pass
        while self._batches and self._batches[0][1] < time.monotonic():
            self._give_up(receipts)
        self._in_flight -= len(receipts)
        return receipts

    def finish(self, timeout: float) -> Receipts:
        deadline = time.monotonic() + timeout
        receipts = Receipts()
        try:
            while self._in_flight:
                receipts.add(self.collect(max(0.0, deadline - time.monotonic())))
                if time.monotonic() >= deadline:
                    break
        except BrokercliError:
            receipts.add(self._early)  # what follows says of each other message what is known
            self._early = Receipts()
        while self._batches:
            self._give_up(receipts)
        self._in_flight = 0
        return receipts

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def close(self) -> None:
        self._line.close()

    def _give_up(self, receipts: Receipts) -> None:
        """Call the oldest batch unknown; its answer is passed over, should it come."""
        for number in self._batches.popleft()[0]:
            receipts.count(Receipt(number, Verdict.UNKNOWN, reason="the memory broker did not answer"))
        self._overdue += 1

    def _hear(self, receipts: Receipts, timeout: float) -> bool:
        answer = self._line.hear(timeout)
        if answer is None:
            return False
        if self._overdue:  # the answer to something that was called unknown since
            self._overdue -= 1
            return True
        for number, verdict in zip(self._batches.popleft()[0], answer["verdicts"], strict=True):
            if "refused" in verdict:
                receipts.count(Receipt(number, Verdict.REFUSED, reason=verdict["refused"]))
                continue
            receipt = Receipt(number, Verdict.CONFIRMED, str(verdict["offset"]), duplicate=verdict["duplicate"])
            receipts.count(receipt)
            if self._policy.positions:
                receipts.confirmations.append(receipt)
        return True

    def _refusal(self, message: Message) -> str | None:
        assert self._destination.kind is not None
        table = SUPPORT[self._destination.kind]
        return next((f"A memory {self._destination.kind} cannot take a {name}: {table[capability].note}." for capability, name in _GIVEN.items()
                     if not table[capability] and getattr(message, name) is not None), None)
