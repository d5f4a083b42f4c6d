"""Publishing letters to where each belongs: some are on their way while those before are being acknowledged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Window:
    """Messages that were given to a publisher together. Its numbers for them follow each other from `first` on."""

    publisher: JetStreamPublisher
    first: int
    taken: int
    """How many of them it took; the others never left."""


class Mover:
    """Gives messages to publishers, and tells which of a window's were not plainly stored. Raises nothing: what stops a publisher is its `failure`,
    and says nothing of the others."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._next: dict[int, int] = {}
        self._told: dict[int, dict[int, Receipt]] = defaultdict(dict)
        """What publishers said of single messages, by the publisher and its number for the message."""

    def begin(self, publisher: JetStreamPublisher, send: Callable[[Sequence[Any]], int], messages: Sequence[Message | Sent]) -> Window:
        """Give messages to a publisher by its method `send`, which takes such; returns once it took them all, or no more can be sent."""
        sent = 0
        try:
            while sent < len(messages):
                taken = send(messages[sent:] if sent else messages)
                sent += taken
                if sent < len(messages):
                    self._note(publisher, publisher.collect(0.0 if taken else 0.1).problems)
        except BrokercliError:
            pass  # it is its failure, or what it may not
        first = self._next.get(id(publisher), 0)
        self._next[id(publisher)] = first + sent
        return Window(publisher, first, sent)

    @staticmethod
    def judged(window: Window) -> bool:
        """Whether every verdict is there."""
        return not window.publisher.waits(window.first + window.taken)

    def finish(self, window: Window) -> dict[int, Receipt]:
        """Wait for the verdicts, and return those that say more than that a message is stored, by its index in the window."""
        publisher = window.publisher
        end = window.first + window.taken
        self._note(publisher, publisher.finish(self._timeout if publisher.failure is None else 0, end).problems)
        told = self._told[id(publisher)]
        return {number - window.first: told.pop(number) for number in [number for number in told if window.first <= number < end]}

    def _note(self, publisher: JetStreamPublisher, problems: Sequence[Receipt]) -> None:
        self._told[id(publisher)].update([(receipt.index, receipt) for receipt in problems])
