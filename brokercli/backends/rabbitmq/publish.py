"""Confirmed publishing: confirms, mandatory, persistent, a window of unconfirmed messages, joined writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.rabbitmq.bulk_frames import FRAME_OVERHEAD, LARGEST_FRAME
from brokercli.backends.rabbitmq.convert import CannotCarry, Converter, Native
from brokercli.backends.rabbitmq.encoded_body import not_what_it_says
from brokercli.backends.rabbitmq.in_flight import Entry
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.outbox import NOT_TAKEN, Outbox, Target
from brokercli.backends.rabbitmq.perishing import ROOM, ROOM_BYTES, Fate
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts

WINDOW = 2000
WINDOW_BYTES = 32 * 1024 * 1024
_ENTRY_OVERHEAD = 64
# so many at a time to a queue that makes a copy of each message it refuses: those are stored, and nobody has asked for them
_WINDOW_TO_COPIES = 64
# how long a verdict may wait for others to come with it while the window is nearly full
_GATHER_SECONDS = 0.004


class RabbitMQPublisher(Publisher):
    """Converts messages and keeps the window; the outbox does the rest on the connection's thread."""

    def __init__(self, link: Link, target: Target, policy: PublishPolicy, converter: Converter, give_back: Callable[[], None]) -> None:
        """Open a channel; raises Unreachable, NotAuthorised, and UsageProblem for a template that AMQP cannot carry."""
        self._link = link
        self._target = target
        self._policy = policy
        self._converter = converter
        self._give_back = give_back
        self.withheld = converter.withheld
        self._window = max(1, min(policy.maximum_in_flight or WINDOW, WINDOW))
        self._largest_header = int(link.live.params.frame_max if link.live is not None else LARGEST_FRAME) - FRAME_OVERHEAD - 12
        try:
            self._template = self._prepare(policy.template)
        except CannotCarry as problem:
            raise UsageProblem(f"RabbitMQ cannot carry these messages: {problem}.") from None
        self._template_withheld = dict(self.withheld)
        self.withheld.clear()
        self._accepted = 0
        self._closed = False
        self._fate: Fate | None = None
        """Of what is given to a queue that has room for some more."""
        self._copies = ""
        """What becomes of a copy of each message that the queue refuses, where no more are to be given to it then."""
        self._shut = ""
        """Why it is given nothing any more."""
        self._outbox = outbox = Outbox(link, target, positions=policy.positions)
        self.notes: list[str] = outbox.notes
        link.watchers.append(outbox)
        link.post(outbox.open_channel)

    def beware(self, fate: Fate) -> None:
        """Take in what the queue does with what it takes: what is known of it now is noted, and that it is full once it is."""
        self.notes += fate.notes
        if fate.copies and self._policy.only_wanted:
            # what is refused stays where it came from, and its copy comes there as well, or elsewhere, with every try
            self._copies, self._window = fate.copies, min(self._window, _WINDOW_TO_COPIES)
        if fate.exceeded(ROOM, ROOM_BYTES):
            self.notes.append(fate.full)
        elif fate.full:
            self._fate = fate

    def _prepare(self, message: Message) -> Native:
        native = self._converter.convert(message)
        if len(native.properties) > self._largest_header:
            raise CannotCarry(f"its headers and properties are {len(native.properties)} bytes; the broker's frames hold {self._largest_header}")
        return native

    def send(self, messages: Sequence[Message]) -> int:
        outbox = self._outbox
        with outbox.changed:
            room, held = self._room(len(messages)), outbox.held_bytes
            index, deadline = self._accepted, monotonic() + self._policy.delivery_timeout
            entries: list[Entry] = []
            for message in messages[:room]:
                if held > WINDOW_BYTES:
                    break
                if self._shut:
                    outbox.refuse(index, self._shut)
                    index += 1
                    continue
                try:
                    native = self._prepare(message)
                    entries.append(self._entry(index, native, native.body, deadline))
                    held += entries[-1].size
                except CannotCarry as problem:
                    outbox.refuse(index, str(problem))
                index += 1
            return self._take(entries, index)

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        outbox, template = self._outbox, self._template
        with outbox.changed:
            room, held = self._room(len(bodies)), outbox.held_bytes
            index, deadline = self._accepted, monotonic() + self._policy.delivery_timeout
            entries: list[Entry] = []
            for body in bodies[:room]:
                if held > WINDOW_BYTES:
                    break
                try:
                    entries.append(self._entry(index, template, body, deadline))
                    held += entries[-1].size
                except CannotCarry as problem:
                    outbox.refuse(index, str(problem))
                index += 1
            for name, count in self._template_withheld.items():
                self.withheld[name] = self.withheld.get(name, 0) + count * (index - self._accepted)
            return self._take(entries, index)

    def _entry(self, index: int, native: Native, body: bytes, deadline: float) -> Entry:
        limit = self._outbox.size_limit
        if limit is not None and len(body) > limit:
            raise CannotCarry(f"it is {len(body)} bytes; the broker takes {limit} (max_message_size)")
        if (why := not_what_it_says(native.properties, body)):
            raise CannotCarry(why)
        key = self._target.routing_key
        if key is None:
            key = native.routing_key or b""
        return Entry(index, key, native.properties, body, len(body) + len(native.properties) + _ENTRY_OVERHEAD, deadline, native.risk)

    def _room(self, wanted: int) -> int:
        if self._closed or self._outbox.failure is not None:
            return 0
        room = self._window - self._outbox.open
        # many small steps cost more than the wait for a larger one
        return 0 if room < min(wanted, self._window // 4) else min(room, wanted)

    def _take(self, entries: list[Entry], index: int) -> int:
        accepted = index - self._accepted
        self._accepted = index
        if entries:
            self._outbox.put(entries)
            if self._fate is not None and self._fate.give(len(entries), sum([len(entry.body) for entry in entries])):
                self.notes.append(self._fate.full)
                self._fate = None
        return accepted

    def collect(self, timeout: float) -> Receipts:
        outbox = self._outbox
        deadline = monotonic() + timeout
        with outbox.changed:
            self._check_clock()
            while not len(outbox.news) and outbox.failure is None and (left := deadline - monotonic()) > 0 and outbox.open:
                outbox.changed.wait(min(left, 0.25))
                self._check_clock()
            if timeout and outbox.open > self._window * 3 // 4 and outbox.failure is None:
                outbox.changed.wait_for(lambda: outbox.open <= self._window * 3 // 4, min(timeout, _GATHER_SECONDS))
            return self._news()

    def _check_clock(self) -> None:
        # without this every window would wait for its timeout, one after the other, until the input ends
        silence = self._outbox.expire()
        if silence >= self._policy.delivery_timeout:
            self._outbox.give_up(silence)

    def _news(self) -> Receipts:
        outbox = self._outbox
        if not len(outbox.news) and outbox.failure is not None:
            raise outbox.failure
        return self._judged()

    def _judged(self) -> Receipts:
        news, self._outbox.news = self._outbox.news, Receipts()
        if self._copies and not self._shut and any(receipt.reason == NOT_TAKEN for receipt in news.problems):
            self._shut = f"it is full, and a copy of what it refuses is {self._copies}: it gets no more"
        return news

    def finish(self, timeout: float) -> Receipts:
        outbox = self._outbox
        deadline = monotonic() + timeout
        with outbox.changed:
            while outbox.open and outbox.failure is None and (left := deadline - monotonic()) > 0:
                outbox.changed.wait(min(left, 0.25))
                outbox.expire()
            outbox.abandon("given up")
            return self._judged()

    @property
    def in_flight(self) -> int:
        with self._outbox.changed:
            return self._outbox.open

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._outbox in self._link.watchers:
            self._link.watchers.remove(self._outbox)
        self._link.post(self._outbox.close)
        self._give_back()
