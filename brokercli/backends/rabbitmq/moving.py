"""Publishing letters one by one to where each belongs: confirmed, mandatory, through the default exchange where that is a queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from brokercli.backends.contract import ANSWER_SECONDS, withheld_in_words
from brokercli.backends.dead_letters import Goal
from brokercli.backends.rabbitmq.answering import require_answer
from brokercli.backends.rabbitmq.bulk_frames import FRAME_OVERHEAD, LARGEST_FRAME, Delivery
from brokercli.backends.rabbitmq.convert import CannotCarry, Converter
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.encoded_body import not_what_it_says
from brokercli.backends.rabbitmq.existing import Existing
from brokercli.backends.rabbitmq.forwarding import Envelope, Forwarding
from brokercli.backends.rabbitmq.harmless import harmless
from brokercli.backends.rabbitmq.in_flight import Entry
from brokercli.backends.rabbitmq.layouts import Layout
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.outbox import NOT_TAKEN, Outbox, Target
from brokercli.backends.rabbitmq.perishing import ROOM_BYTES, Fate
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable
from brokercli.model.message import Header, Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.model.remembered import Remembered

_ENTRY_OVERHEAD = 64
_HELD_BYTES = 32 * 1024 * 1024
# the broker works on these while the next are converted
_AT_ONCE = 250
_ROUTES_ASKED = 20
"""About so many routing keys of exchanges it is asked whether a queue is bound for them: each may be several questions."""
LANES = 8
"""So many channels carry what goes to queues, each queue's on one of them: a leader that does nothing holds up all that comes behind it
on its channel (seen on 4.3.6 with a quorum queue's). A broker may allow a connection, or a login, as few as 16 (`failures.py`)."""
_OTHER_CHANNELS = 8
"""Of those that are allowed, so many are for letters that are held, for questions, and for exchanges."""

Lane = tuple[str, int]
"""An exchange and a number: messages that go one after the other, on a channel of their own."""


Home = tuple[str, bytes]
"""An exchange and a routing key: the default exchange's is a queue's name."""


Forwarded = tuple[Delivery, Layout | None, Goal, tuple[Header, ...]]
"""A letter that goes on as it is but for its headers."""


class ToQueues(Target):
    """The default exchange, with the queue's name as each message's routing key: one place behind it, whatever the name."""

    __slots__ = ()

    @property
    def is_queue(self) -> bool:
        return True


@dataclass(slots=True)
class Window:
    """Messages that were begun together. Their numbers among all of a mover's follow each other from `first` on."""

    first: int
    count: int
    deadline: float
    problems: dict[int, Receipt]
    """By index in the window."""
    homes: list[Home | None] = field(default_factory=list)
    """Of each message; None for one that was not given to anybody."""
    used: list[Outbox] = field(default_factory=list)


class Mover:
    """Windows of messages, at most two at a time. Everything a letter carries goes with it, x-death as well; never what would route
    it elsewhere (CC, BCC), what the broker would refuse (another's user_id) or what would kill it again (expiration)."""

    def __init__(self, link: Link, existing: Existing, user: str | None, timeout: float, give_back: Callable[[], None],
                 fate_of: Callable[[str], Fate | None], handed_on: Callable[[Address], Sequence[str]], expected: int) -> None:
        """`fate_of` says what a queue does with what it takes, for the notes, and `handed_on` where an exchange lets its alternate exchange take
        letters; `expected` are to be moved."""
        self._link = link
        self._existing = existing
        self._fate_of = fate_of
        self._handed_on = handed_on
        self._asked_about: set[tuple[str, bytes]] = set()
        """Exchanges, and the routing keys by which letters go to them, of which it is known where they lead."""
        self._expected = expected
        self._user = user
        self._timeout = timeout
        self._give_back = give_back
        self._outboxes: dict[Lane, Outbox] = {}
        self._lanes: dict[bytes, int] = {}
        allowed = int(link.live.params.channel_max or LANES + _OTHER_CHANNELS) if link.live is not None else 0
        self._most = max(1, min(LANES, allowed - _OTHER_CHANNELS))
        self._shut: dict[Home, str] = {}
        """What takes nothing any more, and why."""
        self._copying: dict[Home, str] = {}
        """What becomes of a copy of each letter that a home refuses because it is full: with every one that it is given there is one letter more."""
        self._one_by_one: set[Home] = set()
        """Those of them that have no room for all that may come: they get the next letter when they have taken the last."""
        self._stalled: list[Outbox] = []
        """Channels that such a home holds up: nothing more is given to them."""
        self._suspects: dict[Outbox, Home] = {}
        """Channels on which not all was confirmed in time, and whose turn it was: where nothing more comes, that is what holds up the others."""
        self._converters: dict[tuple[str | None, str], Converter | str] = {}
        self._largest_header = int(link.live.params.frame_max if link.live is not None else LARGEST_FRAME) - FRAME_OVERHEAD - 12
        self._envelopes: Remembered[tuple[tuple[Any, ...], Envelope]] = Remembered()
        """What letters of a kind have around their bodies, by their headers."""
        self._next = 0
        self.notes: list[str] = []
        """What the broker said meanwhile that explains a wait, and what queues do with the letters they take; grows."""
        self._left_out: Counter[str] = Counter()
        self._judged: dict[int, Receipt] = {}
        """Verdicts other than plain confirmations of windows that are not finished, by number."""
        self.failure: BrokercliError | None = None
        """Why nothing more can be published."""
        self.denial: BrokercliError | None = None
        """Why an exchange takes nothing any more; what goes elsewhere goes."""

    def begin(self, items: Sequence[tuple[Message, Address]]) -> Window:
        """Give all to the connection, in order; some may be on their way when this returns."""
        def envelopes() -> Iterator[Envelope | CannotCarry]:
            for message, destination in items:
                try:
                    yield self._envelope_of(message, destination)
                except CannotCarry as problem:
                    yield problem

        return self._begin([message.body or b"" for message, _ in items], envelopes())

    def forward(self, items: Sequence[Forwarded], message_of: Callable[[Delivery, Goal, tuple[Header, ...]], Message]) -> Window:
        """The same for letters that go on as they are but for their headers; `message_of` makes what is to be published."""
        forwarding = Forwarding(lambda delivery, goal, headers: self._envelope(message_of(delivery, goal, headers), goal.address), self._largest_header)
        return self._begin([delivery.body for delivery, *_ in items], (forwarding.envelope(*item) for item in items))

    def _begin(self, bodies: Sequence[bytes], envelopes: Iterator[Envelope | CannotCarry]) -> Window:
        window = Window(self._next, len(bodies), monotonic() + self._timeout, {}, [None] * len(bodies))
        self._next += len(bodies)
        pending: dict[Lane, list[Entry]] = {}
        held = waiting = 0
        for index, (body, envelope) in enumerate(zip(bodies, envelopes, strict=True)):
            if isinstance(envelope, CannotCarry):
                window.problems[index] = Receipt(index, Verdict.REFUSED, reason=str(envelope))
                continue
            exchange, key, properties, risk, left_out = envelope
            home = exchange, key
            if home in self._shut:
                window.problems[index] = Receipt(index, Verdict.REFUSED, reason=self._shut[home])
                continue
            lane = self._lane(exchange, key)
            outbox = self._outboxes.get(lane)
            if outbox is not None and outbox.size_limit is not None and len(body) > outbox.size_limit:
                too_large = f"it is {len(body)} bytes; the broker takes {outbox.size_limit} (max_message_size)"
                window.problems[index] = Receipt(index, Verdict.REFUSED, reason=too_large)
                continue
            if (mistyped := not_what_it_says(properties, body)):
                window.problems[index] = Receipt(index, Verdict.REFUSED, reason=mistyped)
                continue
            if left_out:
                self._left_out.update(left_out)
            size = len(body) + len(properties) + _ENTRY_OVERHEAD
            window.homes[index] = home
            pending.setdefault(lane, []).append(Entry(window.first + index, key, properties, body, size, window.deadline, risk))
            held += size
            waiting += 1
            if home in self._one_by_one:
                self._put(pending, window)
                held = waiting = 0
                self._see_taken(self._outboxes[lane], window, window.first + index, home)
            elif waiting >= _AT_ONCE or held > _HELD_BYTES // 8:
                self._put(pending, window)
                held = waiting = 0
                for outbox in window.used:
                    self._wait(outbox, window, lambda outbox: outbox.held_bytes < _HELD_BYTES)
        self._put(pending, window)
        return window

    def finish(self, window: Window) -> dict[int, Receipt]:
        """Wait for every verdict on a window, its delivery timeout at most; windows are finished in the order they were begun. Return
        what is not plainly confirmed, by index in the window."""
        end = window.first + window.count
        for outbox in window.used:
            self._wait(outbox, window, lambda outbox: outbox.all_before(end))
            with outbox.changed:
                if not outbox.all_before(end):
                    outbox.abandon("given up")
                news, outbox.news = outbox.news, Receipts()
                if outbox.shut:
                    self.denial = self.denial or outbox.failure
                elif outbox not in self._stalled:
                    self.failure = self.failure or outbox.failure
            self._judged.update({receipt.index: receipt for receipt in news.problems})
            if news.confirmed:
                self._suspects.pop(outbox, None)
            if news.unknown:
                self._find_stalled(outbox, window, news)
            if not news.confirmed and outbox.why_blocked and monotonic() >= window.deadline:
                # with an alarm that stays each window would wait for all the time it has, one after the other
                self.failure = self.failure or Unreachable(
                    f"{self._link.where} has confirmed nothing for {self._timeout:g} s (blocked by the broker: {outbox.why_blocked}).",
                    hint="when it takes messages again, the same command goes on with what is left")
        for number in [number for number in self._judged if number < end]:
            receipt = self._judged.pop(number)
            index = number - window.first
            window.problems[index] = Receipt(index, receipt.verdict, reason=receipt.reason)
            self._learn(window.homes[index], receipt)
        return window.problems

    def _learn(self, home: Home | None, receipt: Receipt) -> None:
        """Take in that a home refused a letter: one that makes copies of them gets no more."""
        if home in self._copying and receipt.reason == NOT_TAKEN:
            self._shut.setdefault(home, f"queue:{_text(home[1])} is full, and a copy of what it refuses is {self._copying[home]}: it gets no more")

    def _see_taken(self, outbox: Outbox, window: Window, number: int, home: Home) -> None:
        """Wait until a letter has its verdict; a window in which such a one is given has all its time anew for the next."""
        self._wait(outbox, window, lambda outbox: outbox.all_before(number + 1))
        with outbox.changed:
            if not outbox.all_before(number + 1):
                return
            verdict = next((receipt for receipt in reversed(outbox.news.problems) if receipt.index == number), None)
        if verdict is not None:
            self._learn(home, verdict)
        else:
            window.deadline = monotonic() + self._timeout

    def _find_stalled(self, outbox: Outbox, window: Window, news: Receipts) -> None:
        """Take in that not all of a window was confirmed on a channel in all the time there was. Where the broker answers, one home holds it up and is
        left out: a queue that does not answer, or else the one of the oldest message without a verdict, where nothing of it was confirmed."""
        if monotonic() < window.deadline or outbox in self._stalled or outbox.failure is not None or outbox.held_back:
            return
        try:
            require_answer(self._link)
        except BrokercliError:
            return
        without = sorted(receipt.index - window.first for receipt in news.problems if receipt.verdict is Verdict.UNKNOWN)
        homes = list(dict.fromkeys(home for index in without if 0 <= index < window.count and (home := window.homes[index]) is not None))
        if not homes:
            return
        # what a queue confirmed just before it may wait behind its message in the channel (seen on 4.3.6): the order alone tells too little
        home = next((home for home in homes if self._is_silent(home)), None)
        if home is None:
            home = self._suspects.setdefault(outbox, homes[0])
            if any(given == home and window.first + index not in self._judged for index, given in enumerate(window.homes)):
                return
        exchange, key = home[0], _text(home[1])
        name = Address(exchange, "exchange", key) if exchange else Address(key, "queue")
        self._shut[home] = f"{name} takes nothing any more: it has confirmed nothing for {self._timeout:g} s"
        with outbox.changed:
            outbox.give_up(self._timeout)
        self._stalled.append(outbox)
        for lane in [lane for lane, one in self._outboxes.items() if one is outbox]:
            del self._outboxes[lane]

    def _is_silent(self, home: Home) -> bool:
        """Whether a queue does not answer, on a connection that does."""
        exchange, key = home
        if exchange:
            return False
        queue = key.decode(errors="surrogateescape")
        try:
            (count,) = self._link.ask(f"asking whether {queue} answers", counting(queue), timeout=ANSWER_SECONDS)
        except Unreachable:
            return True
        except BrokercliError:
            return False
        return not count.certain

    def _put(self, pending: dict[Lane, list[Entry]], window: Window) -> None:
        for lane, entries in pending.items():
            outbox = self._outbox(lane)
            if outbox not in window.used:
                window.used.append(outbox)
            with outbox.changed:
                outbox.put(entries)
        pending.clear()

    def _wait(self, outbox: Outbox, window: Window, reached: Callable[[Outbox], bool]) -> None:
        with outbox.changed:
            while not reached(outbox) and outbox.failure is None and (left := window.deadline - monotonic()) > 0:
                outbox.changed.wait(min(left, 0.25))
                outbox.expire()

    def _envelope_of(self, message: Message, destination: Address) -> Envelope:
        """Return what goes around the body, as it was for the last message that differs in its body only. Raises CannotCarry."""
        said = destination, message.origin, message.key, message.id, message.time, message.partition, message.route, message.properties
        known = self._envelopes.get(message.headers)
        if known is None or known[0] != said or message.body is None:
            known = self._envelopes.put(message.headers, (said, self._envelope(message, destination)))
        return known[1]

    def _envelope(self, message: Message, destination: Address) -> Envelope:
        """Return what goes around the body. Raises CannotCarry."""
        message, left_out = harmless(message, self._user)
        native = self._converter(destination).convert(message)
        if len(native.properties) > self._largest_header:
            raise CannotCarry(f"its headers and properties are {len(native.properties)} bytes; the broker's frames hold {self._largest_header}")
        if destination.kind == "exchange":
            exchange = destination.name
            key = (native.routing_key or b"") if destination.route is None else destination.route.encode()
            if (exchange, key) not in self._asked_about and len(self._asked_about) < _ROUTES_ASKED:
                self._asked_about.add((exchange, key))
                self.notes += self._handed_on(Address(exchange, "exchange", _text(key)))
        else:
            exchange, key = "", destination.name.encode(errors="surrogateescape")
        if len(key) > 255:
            raise CannotCarry("a queue's name has 255 bytes at most")
        return exchange, key, native.properties, native.risk, left_out

    def _converter(self, destination: Address) -> Converter:
        key = destination.kind, destination.name
        known = self._converters.get(key)
        if known is None:
            try:
                known = self._converters[key] = self._make_converter(destination)
            except BrokercliError as problem:
                # whoever is to be asked before anything is sent there does not answer
                self.failure = self.failure or problem
                raise CannotCarry(f"not sent: {problem}") from None
        if isinstance(known, str):
            raise CannotCarry(known)
        return known

    def _make_converter(self, destination: Address) -> Converter | str:
        if destination.kind == "exchange":
            try:
                if self._existing.exchange(destination.name) is None:
                    return f"there is no exchange {destination.name}"
            except NotAuthorised:
                pass  # who may not ask for it may publish to it all the same
            return Converter(user=self._user, to_stream=False, certain=False, keep_control_headers=True)
        try:
            queue = self._existing.queue(destination.name)
        except NotAuthorised:
            queue = None
        if (fate := self._fate_of(destination.name)) is not None:
            self.notes += fate.of(self._expected)
            if fate.copies:
                home = "", destination.name.encode(errors="surrogateescape")
                self._copying[home] = fate.copies
                if fate.exceeded(self._expected, ROOM_BYTES):
                    self._one_by_one.add(home)
        # one that is not there may be made while this runs: the broker says of each message whether there is one
        return Converter(user=self._user, to_stream=queue is not None and queue.kind == "stream", certain=queue is not None and queue.type is not None,
                         keep_control_headers=True)

    def _lane(self, exchange: str, key: bytes) -> Lane:
        return exchange, 0 if exchange else self._lanes.setdefault(key, len(self._lanes) % self._most)

    def _outbox(self, lane: Lane) -> Outbox:
        outbox = self._outboxes.get(lane)
        if outbox is None:
            exchange, _ = lane
            target = Target(exchange.encode(), None) if exchange else ToQueues(b"", None)
            outbox = self._outboxes[lane] = Outbox(self._link, target, positions=False)
            outbox.notes = self.notes
            self._link.watchers.append(outbox)
            self._link.post(outbox.open_channel)
        return outbox

    def close(self) -> None:
        """Let go without waiting; what did not go along with letters is among the notes then."""
        if self._left_out:
            self.notes.append(withheld_in_words(self._left_out))
            self._left_out.clear()
        for outbox in (*self._outboxes.values(), *self._stalled):
            if outbox in self._link.watchers:
                self._link.watchers.remove(outbox)
            self._link.post(outbox.close)
        self._outboxes.clear()
        self._give_back()


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
