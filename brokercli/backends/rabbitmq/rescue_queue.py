"""The queue without a limit that keeps what is returned to a queue of letters more often than its delivery limit allows.

The broker takes letters there by itself, at least once; what comes back goes by a confirmed publish, and is taken out here only then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from pika.spec import Basic

from brokercli.backends.rabbitmq.as_it_was import OVER_THE_LIMIT, as_it_was
from brokercli.backends.rabbitmq.bulk_frames import FRAME_OVERHEAD, LARGEST_FRAME, Delivery
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.in_flight import Entry
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.moving import ToQueues
from brokercli.backends.rabbitmq.outbox import Outbox
from brokercli.backends.rabbitmq.unconvertible import OfNoForm
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, Failed, NotFound, Unreachable
from brokercli.model.receipt import Receipt, Receipts

_FIRST_PART, _GROWTH = 1, 16
_HELD_BYTES = 32 * 1024 * 1024
WINDOW = 250
"""How many are published before they are taken out here: killed in between, so many may be there twice."""
_SUFFIX = "-over"
_UNLIMITED = {"x-queue-type": "quorum", "x-delivery-limit": -1}
_NO_LEADER = "brokercli doctor says which nodes run"
_TICK = 0.2
_PATIENCE = 30.0


def rescue_name(policy: str) -> str:
    """Return the name of the queue that belongs to the policy of a run."""
    return f"{policy}{_SUFFIX}"


def policy_of(queue: str) -> str:
    """Return the name of the policy that such a queue belongs to."""
    return queue.removesuffix(_SUFFIX)


@dataclass(slots=True)
class Emptied:
    """What became of what lay in one."""

    back: int = 0
    """Letters that are among their like again."""
    ended: int = 0
    """Letters that expired, or that somebody rejected: their queue deletes those, and so did we."""
    foreign: int = 0
    """Letters of another queue. They stay."""
    kept: list[str] = field(default_factory=list)
    """Why letters could not be put back. They stay."""

    def add(self, other: Emptied) -> None:
        """Take the other's numbers into this."""
        self.back += other.back
        self.ended += other.ended
        self.foreign += other.foreign
        self.kept += other.kept


class RescueQueue:
    """One that is there or is going to be. Everything raises what `Link.ask` does."""

    def __init__(self, link: Link, name: str, letters: str, user: str | None) -> None:
        """`letters` is the queue that its letters are of; `user` the login that publishes."""
        self.name = name
        self._link = link
        self._letters = letters
        self._user = user
        self._largest = int(link.live.params.frame_max if link.live is not None else LARGEST_FRAME) - FRAME_OVERHEAD - 12

    def declare(self) -> None:
        """Make it, and make sure that this login may take from it and publish to queues. Raises Failed where it may not publish."""
        self._link.ask(f"declaring the queue {self.name}", lambda channel, answered: channel.queue_declare(
            self.name, durable=True, arguments=_UNLIMITED, callback=answered))
        self._link.ask(f"reading the queue {self.name}", lambda channel, answered: channel.basic_consume(self.name, _ignore, callback=answered))
        outbox = self._open()
        try:
            # mandatory and for a queue that is not there: with the permission it comes back, without it the channel is closed
            self._publish(outbox, [Entry(0, rescue_name(self.name).encode(), b"\0\0", b"", 0, monotonic() + _PATIENCE)])
            if outbox.failure is not None:
                raise outbox.failure
        finally:
            self._close(outbox)

    def count(self) -> int | None:
        """Return how many letters are in it; None where it is not there. Raises Unreachable where its leader does not answer."""
        try:
            (count,) = self._link.ask(f"counting the letters of {self.name}", counting(self.name))
        except NotFound:
            return None
        if not count.certain:
            raise Unreachable(f"The leader of {self.name} does not answer, so whether letters lie in it is not known.", hint=_NO_LEADER)
        return int(count.messages)

    def empty(self) -> Emptied:
        """Put its letters back to where they were, at the end and in their order; waits until each is confirmed."""
        emptied = Emptied()
        while (count := self.count()) and not emptied.kept and not emptied.foreign:
            emptied.add(self._pass(count))
        return emptied

    def remove(self) -> None:
        """Delete it where it is empty; nothing may lead into it any more. Raises Failed where it is not."""
        count = self.count()
        if count:
            raise Failed(f"{amount(count, 'letter lies', 'letters lie')} in the queue {self.name}")
        if count is not None:
            self._require_empty()
            # quorum queues know no if-empty: 4.0.5 and 4.3.6 close the connection for it
            self._link.ask(f"deleting the queue {self.name}", lambda channel, answered: channel.queue_delete(self.name, callback=answered))

    def _require_empty(self) -> None:
        """Have its leader say that it is empty: one that does not answer in time counts 0."""
        def get(channel: Any, answered: Callable[[Any], None]) -> None:
            channel.add_callback(lambda empty: answered(True), [Basic.GetEmpty])
            channel.basic_get(self.name, lambda *message: answered(False))

        (empty,) = self._link.ask(f"looking whether the queue {self.name} is empty", get)
        if not empty:
            raise Failed(f"letters lie in the queue {self.name}")

    def _pass(self, count: int) -> Emptied:
        """Put back some. None is published before all of them are here: RabbitMQ ends the connection over one that it has no form for, and what had been
        published and was not taken out would be published again with every run."""
        emptied, in_front = Emptied(), 0
        outbox = self._open()
        holding = Holding(self._link, self.name, min(count, WINDOW), part=WINDOW)
        deliveries: list[Delivery] = []
        try:
            while not holding.finished and sum([len(delivery.body) for delivery in deliveries]) < _HELD_BYTES:
                deliveries += holding.take(_TICK) or ()
            begin, end = 0, _FIRST_PART
            while begin < len(deliveries) and not emptied.kept:
                done = self._put_back(outbox, deliveries[begin:end], emptied)
                if done and not holding.acknowledge(sorted(done)):
                    emptied.kept.append("the connection that held them broke")
                begin, end = end, end * _GROWTH
        except BrokercliError as problem:
            if isinstance(problem, OfNoForm) and deliveries:
                in_front = len(deliveries)
            else:
                emptied.kept.append(str(problem).rstrip("."))
        finally:
            holding.give_back()
            self._close(outbox)
        if in_front:
            # asked for before they are back, the one behind them would come first
            deadline = monotonic() + _PATIENCE
            while (self.count() or 0) < in_front and monotonic() < deadline:
                sleep(_TICK)
            return self._pass(in_front)
        return emptied

    def _put_back(self, outbox: Outbox, deliveries: list[Delivery], emptied: Emptied) -> list[int]:
        """Publish letters and return the tags of those that are to be taken out here."""
        done: list[int] = []
        entries: list[Entry] = []
        key, deadline = self._letters.encode(errors="surrogateescape"), monotonic() + _PATIENCE
        for delivery in deliveries:
            letter = as_it_was(delivery, self._letters, self._user, self._largest)
            if letter is None:
                emptied.foreign += 1
            elif letter.reason != OVER_THE_LIMIT:
                emptied.ended += 1
                done.append(delivery.tag)
            else:
                size = len(delivery.body) + len(letter.properties)
                entries.append(Entry(delivery.tag, key, letter.properties, delivery.body, size, deadline))
        refused = {receipt.index: receipt for receipt in self._publish(outbox, entries)}
        emptied.kept += sorted({receipt.reason or "not confirmed" for receipt in refused.values()})
        confirmed = [entry.number for entry in entries if entry.number not in refused]
        emptied.back += len(confirmed)
        return done + confirmed

    def _open(self) -> Outbox:
        outbox = Outbox(self._link, ToQueues(b"", None), positions=False)
        self._link.watchers.append(outbox)
        self._link.post(outbox.open_channel)
        return outbox

    def _close(self, outbox: Outbox) -> None:
        if outbox in self._link.watchers:
            self._link.watchers.remove(outbox)
        self._link.post(outbox.close)

    def _publish(self, outbox: Outbox, entries: list[Entry]) -> list[Receipt]:
        """Return the verdicts that are not plain confirmations."""
        if not entries:
            return []
        deadline = monotonic() + _PATIENCE
        with outbox.changed:
            outbox.put(entries)
            while outbox.open and outbox.failure is None and (left := deadline - monotonic()) > 0:
                outbox.changed.wait(min(left, _TICK))
                outbox.expire()
            outbox.abandon("given up")
            news, outbox.news = outbox.news, Receipts()
        return news.problems


def _ignore(*arguments: object) -> None:
    """What pika would call for a delivery; the channel is closed before one comes."""
