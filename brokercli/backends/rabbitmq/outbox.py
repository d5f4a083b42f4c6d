"""What was accepted for publishing until it has its verdict: written by the connection's thread, in order, as long as the broker reads."""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.bulk_frames import Delivery, Returned, Wrapping
from brokercli.backends.rabbitmq.failures import gist, size_limit, topic_denied, translate
from brokercli.backends.rabbitmq.in_flight import Entry, InFlight
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.errors import BrokercliError, Unreachable
from brokercli.model.receipt import Receipt, Receipts, Verdict

# what waits in the socket's buffer has left our hands; the rest can still be taken back
_WRITE_AHEAD = 512 * 1024
# a message larger than any that was answered goes alone, so that a refusal for its size names it
_SMALL = 16 * 1024
_LOOK_AGAIN_SECONDS = 0.005
_CLOCK_SECONDS = 0.2
NOT_TAKEN = "the queue did not take it: it is full (x-overflow: reject-publish) or not available"


class Target(NamedTuple):
    """Where everything goes: an exchange, and a routing key where the address says one."""

    exchange: bytes
    routing_key: bytes | None

    @property
    def is_queue(self) -> bool:
        """Whether there is exactly one place behind it."""
        return not self.exchange and self.routing_key is not None

    def unroutable(self, routing_key: bytes) -> str:
        """Say why a message was returned."""
        key = routing_key.decode(errors="backslashreplace")
        if not self.exchange:
            return f"there is no queue {key}"
        return f"no queue is bound to the exchange {self.exchange.decode()} for its routing key {key!r} and headers"

    def not_acknowledged(self) -> tuple[Verdict, str]:
        """Judge a message that the broker answered with basic.nack."""
        if self.is_queue:
            return Verdict.REFUSED, NOT_TAKEN
        return Verdict.UNKNOWN, "a queue it was routed to did not take it (full, or not available); others may have it"


class Outbox:
    """One confirming channel for one target; opened again when it ends, as long as that can help.

    Written and without a confirm when the channel or the connection ends is unknown, because AMQP 0.9.1 would not recognise a
    repetition. Except where nothing else was written: then the broker's reason is that message's, and it is refused. So what
    may be such a reason goes alone: a message marked as a risk, one larger than any confirmed so far, and the first of all.
    """

    def __init__(self, link: Link, target: Target, *, positions: bool) -> None:
        self.changed = threading.Condition()
        """Guards everything here; told about every verdict."""
        self.news = Receipts()
        self.failure: BrokercliError | None = None
        self.shut = False
        """Its exchange is gone, or takes nothing from us, and that is the failure: what goes to others may go."""
        self.notes: list[str] = []
        self.held_bytes = 0
        self.size_limit: int | None = None
        """What the broker takes at most, once it has said so."""
        self._link = link
        self._target = target
        self._positions = positions
        self._backlog: deque[Entry] = deque()
        self._written = InFlight()
        self._channel: Any = None
        self._opening = False
        self._number = 0
        self._wrapping: Wrapping | None = None
        """Of the message written last on this channel."""
        self._alone = False
        """What is written is to get its verdict before anything else is."""
        self._proven = 0
        """The size up to which messages are known to end no channel; 0: none was answered on this one."""
        self._confirmed_any = False
        self._progress = monotonic()
        """When the broker last said something about a message, or the first was given to it."""
        self._look_at_clock = 0.0
        self._blocked: str | None = None
        self._feed_posted = False
        self._timer: Any = None
        self._closed = False

    # from the user's thread, holding `changed`

    def put(self, entries: list[Entry]) -> None:
        """Take messages to write."""
        if not self.open:
            self._progress = monotonic()
        self._backlog.extend(entries)
        self.held_bytes += sum([entry.size for entry in entries])
        if not self._feed_posted:
            self._feed_posted = True
            self._link.post(self._feed)

    def refuse(self, index: int, reason: str) -> None:
        """Refuse a message that was never taken in."""
        self._judge(index, Verdict.REFUSED, reason)

    @property
    def open(self) -> int:
        """How many have no verdict."""
        return len(self._backlog) + len(self._written)

    @property
    def held_back(self) -> bool:
        """Whether nothing may be written now: the broker has said so, or there is no channel."""
        return self._blocked is not None or self._channel is None

    @property
    def why_blocked(self) -> str | None:
        """Why the broker takes nothing from this connection; None where it does, or nothing was said."""
        return self._blocked

    def all_before(self, number: int) -> bool:
        """Whether every message of a lower number has its verdict; messages are put in the order of their numbers."""
        lowest = self._written.lowest
        if lowest is not None:
            return lowest.number >= number
        return not self._backlog or self._backlog[0].number >= number

    def expire(self) -> float:
        """Judge what has waited for too long; return for how many seconds nothing was heard of anything, 0 while nothing waits too long."""
        now = monotonic()
        if now < self._look_at_clock:
            return 0.0
        self._look_at_clock = now + _CLOCK_SECONDS
        news = len(self.news)
        for entry in self._written.take_expired(now):
            self._judge_entry(entry, Verdict.UNKNOWN, f"no confirm within the delivery timeout{self._why()}")
        while self._backlog and self._backlog[0].deadline <= now:
            self._judge_entry(self._backlog.popleft(), Verdict.REFUSED, f"not sent within the delivery timeout{self._why()}")
        return now - self._progress if len(self.news) > news else 0.0

    def give_up(self, seconds: float) -> None:
        """Count the broker as lost for good: it has not answered for so long."""
        self.failure = self.failure or Unreachable(f"{self._link.where} has confirmed nothing for {seconds:.0f} s{self._why()}.",
                                                   hint="when it takes messages again, repeat with what was refused or is in doubt")

    def abandon(self, reason: str) -> None:
        """Judge everything now: what was written is unknown, what was not never will be."""
        while self._backlog:
            self._judge_entry(self._backlog.popleft(), Verdict.REFUSED, f"not sent: {reason}{self._why()}")
        for entry in self._written.take_all():
            self._judge_entry(entry, Verdict.UNKNOWN, f"no confirm: {reason}{self._why()}")

    # on the connection's thread

    def open_channel(self) -> None:
        """Open the channel and go on writing; nothing happens where it is there or on its way."""
        if self._opening or self._channel is not None or self._closed:
            return
        self._opening = True
        self._link.open_channel(self, (lambda channel, answered: channel.confirm_delivery(lambda method: None, answered),), self._opened, self._not_opened,
                                self._ended)

    def close(self) -> None:
        """Close the channel; nothing is written any more."""
        with self.changed:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()

    def delivered(self, deliveries: list[Delivery]) -> None:
        raise AssertionError("a publishing channel has no consumer")

    def returned(self, message: Returned) -> None:
        with self.changed:
            self._progress = monotonic()
            entry = self._written.take_returned(message)
            if entry is not None:
                self._prove([entry])
                self._judge_entry(entry, Verdict.REFUSED, self._target.unroutable(message.routing_key))
                self.changed.notify_all()

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        with self.changed:
            self._progress = monotonic()
            entries = self._written.settle(tag, multiple)
            self._prove(entries)
            if confirmed:
                self._confirm(entries)
            else:
                for entry in entries:
                    self._judge_entry(entry, *self._target.not_acknowledged())
            self._alone = self._alone and bool(len(self._written))
            self.changed.notify_all()
        self._feed()

    def lost(self, reason: str) -> None:
        with self.changed:
            self._channel = None
            self._opening = False
            self._blocked = None
            self._alone = False
            for entry in self._written.take_all():
                self._judge_entry(entry, Verdict.UNKNOWN, f"{reason} before the confirm")
            self.changed.notify_all()

    def restored(self) -> None:
        self.open_channel()

    def given_up(self, failure: BrokercliError) -> None:
        with self.changed:
            self.failure = self.failure or failure
            self._channel = None
            self.changed.notify_all()

    def blocked(self, reason: str | None) -> None:
        with self.changed:
            self._blocked = reason
            if reason is not None:
                self.notes.append(f"blocked by the broker: {reason}; waiting for it to take messages again")
            self.changed.notify_all()
        if reason is None:
            self._feed()

    def _opened(self, channel: Any, answers: list[Any]) -> None:
        self._opening = False
        if self._closed:
            channel.close()
            return
        with self.changed:
            self._channel = channel
            self._number = channel.channel_number
            # it holds the number of the channel before
            self._wrapping = None
            self._written = InFlight()
            self._alone = False
            self._proven = 0
            self.changed.notify_all()
        self._feed()

    def _not_opened(self, problem: BaseException) -> None:
        self._opening = False
        # a connection that is lost meanwhile comes back, and then this is called again
        if self._link.live is not None and self._link.live.is_open:
            self.given_up(translate(problem, "opening a channel to publish", self._link.where))

    def _ended(self, problem: BaseException) -> None:
        code, text = getattr(problem, "reply_code", 0), gist(str(getattr(problem, "reply_text", problem)))
        with self.changed:
            self._channel = None
            self.size_limit = size_limit(text) or self.size_limit
            entries = self._written.take_all()
            alone = len(entries) == 1
            topic = topic_denied(text) if code == 403 else None
            denied = [entry for entry in entries if entry.routing_key == topic]
            if denied:
                # a channel that was closed handles nothing more
                last = entries.index(denied[-1])
                self._backlog.extendleft(reversed(entries[last + 1:]))
                del entries[last + 1:]
            for entry in entries:
                # of several with that key the first may have gone while it was permitted
                if alone or [entry] == denied:
                    self._judge_entry(entry, Verdict.REFUSED, f"the broker refused it: {text} ({code})")
                else:
                    self._judge_entry(entry, Verdict.UNKNOWN, f"the broker closed the channel before the confirm: {text} ({code})")
            others_may_go = topic is not None and self._target.routing_key is None
            if code == 404 or (code == 403 and not others_may_go and not self._confirmed_any and alone):
                self.shut = self.failure is None and bool(self._target.exchange)
                self.failure = self.failure or translate(problem, f"publishing to {self._target.exchange.decode() or 'the default exchange'}", self._link.where)
            self.changed.notify_all()
            again = self.failure is None and not self._closed
        if again and size_limit(text):
            # the rest of the message is on its way, and 4.3.6 closes the connection for it (505): so nothing may follow it
            self._link.reconnect()
        elif again:
            self.open_channel()

    def _feed(self) -> None:
        """Write what may be written now."""
        with self.changed:
            self._feed_posted = False
            live = self._link.live
            if self._channel is None or live is None or self._blocked is not None or self.failure is not None:
                return
            backlog, written = self._backlog, self._written
            if not backlog:
                return
            frames: list[bytes | memoryview] = []
            size, room = 0, _WRITE_AHEAD - live.unwritten
            wrapping = self._wrapping
            while backlog and size < room and not self._alone:
                entry = backlog[0]
                if entry.risk or entry.size > self._proven:
                    if written:
                        break
                    self._alone = True
                backlog.popleft()
                written.add(entry)
                if wrapping is None or not wrapping.fits(entry.routing_key):
                    wrapping = Wrapping(self._number, live.params.frame_max, self._target.exchange, entry.routing_key)
                wrapping.add(entry.properties, entry.body, frames)
                size += entry.size
            self._wrapping = wrapping
            # a large message is not copied to be written
            for written_at_once in [b"".join(frames)] if 0 < size < _WRITE_AHEAD else frames:
                live.emit(written_at_once)
            if backlog and size >= room and self._timer is None:
                self._timer = self._link.later(_LOOK_AGAIN_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._feed()

    def _prove(self, entries: list[Entry]) -> None:
        """What was answered, in whichever way, has not ended the channel."""
        if entries:
            self._proven = max(_SMALL, self._proven, max([entry.size for entry in entries]))

    def _confirm(self, entries: list[Entry]) -> None:
        if not entries:
            return
        self._confirmed_any = True
        self.news.confirmed += len(entries)
        self.held_bytes -= sum([entry.size for entry in entries])
        if self._positions:
            self.news.confirmations += [Receipt(entry.number, Verdict.CONFIRMED) for entry in entries]

    def _judge_entry(self, entry: Entry, verdict: Verdict, reason: str) -> None:
        self.held_bytes -= entry.size
        self._judge(entry.number, verdict, reason)

    def _judge(self, index: int, verdict: Verdict, reason: str) -> None:
        self.news.count(Receipt(index, verdict, reason=reason))

    def _why(self) -> str:
        if self._blocked is not None:
            return f" (blocked by the broker: {self._blocked})"
        if self.failure is not None:
            return f" ({str(self.failure).removesuffix('.')})"
        return "" if self._channel is not None else " (the connection is away)"
