"""Confirmed publishing to JetStream: joined writes, a window of acknowledgements, and what became of it all."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.nats.bulk_parser import Delivery, Sink
from brokercli.backends.nats.convert import Refusal, check_carried, header_block
from brokercli.backends.nats.denials import Denials
from brokercli.backends.nats.in_flight import LEADERLESS, Sent, plain_acknowledgement, read_acknowledgement, too_large, without_groups
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.recovery import Outcome, Recovery, Target
from brokercli.backends.nats.silence import Silence
from brokercli.model.errors import BrokercliError, Failed
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict

WINDOW = 4000
"""Messages without acknowledgement, unless the policy says how many."""
LARGEST_WINDOW = 8000
"""So many at most. What would be more than a server buffers for a stream it refuses (`max_buffered_msgs` of its configuration)."""
WINDOW_BYTES = 16 << 20
JOINED = 512
"""Messages per write: one system call and one wake-up of the connection's thread for all of them."""
_NEVER_LEFT = "the connection was lost, and it never left"


class JetStreamPublisher(Publisher):
    """Publishes to one stream's subjects with acknowledgements.

    After a lost connection the messages in flight are settled by `recovery.py`: what can be repeated without a second
    copy is, what is certainly stored counts as confirmed, the rest is unknown. Nothing new is sent until then, so that
    the order holds; the same where their stream loses its leader. Where nothing is heard of any message for as long as one
    may wait, nothing is sent any more.
    """

    def __init__(self, link: Link, subject: str | None, target: Target | None, policy: PublishPolicy, notes: Sequence[str] = ()) -> None:
        """`subject` None takes each message's own; `target` None where the stream could not be asked about."""
        self.withheld = {}
        self.notes = notes
        self._link = link
        self._subject = subject.encode(errors="surrogateescape") if subject is not None else None
        self._policy = policy
        self._target = target
        self._window = min(LARGEST_WINDOW, policy.maximum_in_flight or WINDOW)
        self._changed = threading.Condition()
        self._pending: dict[int, Sent] = {}
        self._pending_bytes = 0
        self._unsent: deque[int] = deque()
        self._receipts = Receipts()
        self._next = 0
        self._last_sequence = target.last_sequence if target is not None else 0
        self._gapless = target is not None
        self.denials = Denials(link.connection)
        self._settling = False
        self._losses = 0
        self._closed = False
        self._failure: BrokercliError | None = None
        self._silence = Silence(link, policy.delivery_timeout)
        self._block = b""
        if policy.template.headers or policy.template.id is not None:
            try:
                self._block = header_block(policy.template, keep_control=policy.keep_control_headers, withheld={})
            except Refusal as refusal:
                raise Failed(f"Nothing was sent: {refusal}.") from None
        self._inbox = link.new_inbox().encode()
        self._recovery = Recovery(link, target) if target is not None else None
        self._sid = link.run(self._open())

    async def _open(self) -> int:
        run = None
        if self._target is not None:
            one = plain_acknowledgement(self._inbox, self._target.stream)
            self._plain = re.compile(one)
            run = re.compile(b"(?:" + without_groups(one) + b")+")
        sid = await self._link.subscribe(f"{self._inbox.decode()}.*", Sink(self._link.guard(self._answered), run, self._acknowledged))
        self._link.watchers.append(self)
        return sid

    # accepting, on the caller's thread

    def send(self, messages: Sequence[Message]) -> int:
        return self._accept(messages, self._prepare)

    def send_prepared(self, messages: Sequence[Sent]) -> int:
        """The same as `send` for messages whose subject this stream captures, with headers as they go out."""
        return self._accept(messages, self._fitting)

    def _fitting(self, message: Sent) -> Sent:
        if (size := len(message.block) + len(message.body)) > self._link.max_payload:
            raise Refusal(too_large(size, self._link.max_payload))
        return message

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        subject, block = self._subject, self._block
        largest = self._link.max_payload
        if subject is None:
            template = self._policy.template
            return self._accept(bodies, lambda body: self._prepare(Message(body=body, headers=template.headers, id=template.id, route=template.route)))
        own_subject: bytes = subject

        def prepare(body: bytes) -> Sent:
            if len(block) + len(body) > largest:
                raise Refusal(too_large(len(block) + len(body), largest))
            return Sent(own_subject, block, body)
        return self._accept(bodies, prepare)

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        accepted, in_flight, began = 0, len(self._pending), time.monotonic()
        while accepted < len(items) and (room := self._room()) > 0:
            taken = self._accept_some(items[accepted:accepted + min(room, JOINED)], prepare)
            accepted += taken
            if not taken:
                break
        with self._changed:
            self._silence.offered(accepted, len(items) - accepted, in_flight, began)
        return accepted

    def _room(self) -> int:
        with self._changed:
            if self._failure is not None or not self._link.connected or self._settling or self._pending_bytes >= WINDOW_BYTES:
                return 0
            return self._window - len(self._pending)

    def _accept_some(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        batch, refused = dict[int, Sent](), list[Receipt]()
        number, denied = self._next, bool(self.denials.first)
        before = size = self._pending_bytes
        for item in items:
            if size >= WINDOW_BYTES:
                break
            try:
                sent = prepare(item)
                if denied:
                    self.denials.check(sent.subject)
                batch[number] = sent
                size += sent.size
            except Refusal as refusal:
                refused.append(Receipt(number, Verdict.REFUSED, reason=str(refusal)))
            number += 1
        taken, self._next = number - self._next, number
        with self._changed:
            for receipt in refused:
                self._receipts.count(receipt)
            if batch:
                self._pending.update(batch)
                self._pending_bytes += size - before
                self._unsent.extend(batch)
        if batch:
            self._link.post(self._write_unsent)
        return taken

    def _prepare(self, message: Message) -> Sent:
        check_carried(message)
        subject = self.subject_for(message.route)
        body = message.body or b""
        held: dict[str, int] = {}
        block = header_block(message, keep_control=self._policy.keep_control_headers, withheld=held)
        sent = self._fitting(Sent(subject, block, body))
        for name, count in held.items():
            self.withheld[name] = self.withheld.get(name, 0) + count
        return sent

    def subject_for(self, route: str | None) -> bytes:
        """Return the subject on which a message of this route goes out. Raises Refusal where the stream does not capture it."""
        if self._subject is not None:
            return self._subject
        assert self._target is not None
        return self._target.subject_for(route)

    # verdicts, for the caller's thread

    def collect(self, timeout: float) -> Receipts:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not len(self._receipts):
                self._expire()
                left = deadline - time.monotonic()
                if len(self._receipts):
                    break
                if (failure := self.failure or (None if self._pending else self.denials.of(self._subject))) is not None:
                    raise failure
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.5))
            return self._take()

    def finish(self, timeout: float, before: int | None = None) -> Receipts:
        """As promised; `before` narrows it to the messages whose number is lower."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._waits(before) and self.failure is None and (left := deadline - time.monotonic()) > 0:
                self._expire()
                if self._waits(before):
                    self._changed.wait(min(left, 0.5))
            self._expire()
            why = "" if self.failure is None else f": {str(self.failure).rstrip('.')}"
            for number in [number for number in self._pending if before is None or number < before]:
                self._give_up(number, f"no acknowledgement came{why}")
            return self._take()

    @property
    def failure(self) -> BrokercliError | None:
        """Why nothing more can be sent; None while something can."""
        return self._failure or self._link.failure

    def waits(self, before: int) -> bool:
        """Return whether a message with a lower number is still without a verdict."""
        with self._changed:
            return self._waits(before)

    def _waits(self, before: int | None) -> bool:
        # kept in the order of their numbers
        first = next(iter(self._pending), None)
        return first is not None and (before is None or first < before)

    @property
    def in_flight(self) -> int:
        with self._changed:
            return len(self._pending)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with self._changed:
                self._pending.clear()
                self._unsent.clear()
            self._link.tidy(self._detach())

    async def _detach(self) -> None:
        if self in self._link.watchers:
            self._link.watchers.remove(self)
        await self._link.unsubscribe(self._sid)

    def _take(self) -> Receipts:
        receipts, self._receipts = self._receipts, Receipts()
        return receipts

    def _expire(self) -> None:
        """Count what has waited too long. Sent in order, so the oldest come first."""
        limit = time.monotonic() - self._policy.delivery_timeout
        late = [number for number, _ in takewhile(lambda waiting: 0 < waiting[1].first_sent <= limit, self._pending.items())]
        for number in late:
            self._give_up(number, f"no acknowledgement came within {self._policy.delivery_timeout:g} s")
        if self._recovery is not None and not self._settling and self._silence.time_to_ask(bool(self._pending)):
            self._link.start(self._ask_for_leader(self._recovery))
        # without this every window would wait for its timeout, one after the other, until the input ends
        self._failure = self._failure or self._silence.too_long(bool(late or self._pending))

    def _give_up(self, number: int, why: str, nobody: str = LEADERLESS) -> None:
        sent = self._pending[number]
        if sent.first_sent and not sent.unheard:
            self._settle(Receipt(number, Verdict.UNKNOWN, reason=why))
        else:
            self._settle(Receipt(number, Verdict.REFUSED, reason=nobody if sent.unheard else _NEVER_LEFT))

    def _settle(self, receipt: Receipt) -> None:
        """Enter one verdict; the first one stands. Holds the lock."""
        if (sent := self._pending.pop(receipt.index, None)) is None:
            return
        self._pending_bytes -= sent.size
        self._receipts.count(receipt)
        if self._policy.positions and receipt.verdict is Verdict.CONFIRMED and not receipt.duplicate:
            self._receipts.confirmations.append(receipt)

    # on the connection's thread

    def _write_unsent(self) -> None:
        with self._changed:
            if self._settling or not self._link.connected:
                return
            numbers, self._unsent = [number for number in self._unsent if number in self._pending], deque()
            if numbers:
                self._write(numbers)

    def _write(self, numbers: Sequence[int]) -> None:
        """Write messages and note when. Holds the lock, so that none is given up as never sent while it leaves."""
        inbox, pending = self._inbox, self._pending
        frames = b"".join([pending[number].frame(b"%b.%d" % (inbox, number)) for number in numbers])
        now, floor = time.monotonic(), self._last_sequence
        if self._failure is not None or not self._link.write(frames):
            self._unsent.extendleft(reversed(numbers))
            return
        for number in numbers:
            sent = pending[number]
            if sent.first_sent:
                sent.in_doubt, sent.unheard = not sent.unheard, False
            else:
                sent.first_sent, sent.floor = now, floor

    def _acknowledged(self, run: bytes) -> None:
        """Take a run of plain acknowledgements of the right stream."""
        found = self._plain.findall(run)
        positions = self._policy.positions
        with self._changed:
            pending = self._pending
            for index, sequence in found:
                sent = pending.pop(int(index), None)
                if sent is None:
                    continue
                self._pending_bytes -= sent.size
                self._receipts.confirmed += 1
                if positions:
                    self._receipts.confirmations.append(Receipt(int(index), Verdict.CONFIRMED, sequence.decode()))
            self._silence.heard()
            first, last = int(found[0][1]), int(found[-1][1])
            if self._gapless and last > self._last_sequence and (first != self._last_sequence + 1 or last - first + 1 != len(found)):
                self._gapless = False
            self._last_sequence = max(self._last_sequence, last)
            self._changed.notify()

    def _answered(self, messages: list[Delivery]) -> None:
        """Take whatever else came: duplicates, refusals, no responders, and all of it where the stream is not known."""
        with self._changed:
            for delivery in messages:
                digits = delivery[0][1].rpartition(b".")[2]
                sent = self._pending.get(int(digits)) if digits.isdigit() else None
                if sent is None:
                    continue
                answer = read_acknowledgement(int(digits), delivery, sent, self._target.stream if self._target is not None else None)
                if answer.unheard and self._recovery is not None:
                    sent.unheard = not sent.in_doubt
                    self._interrupt()
                    continue
                self._settle(answer.receipt)
                self._silence.heard()
                if answer.sequence:
                    self._gapless = self._gapless and answer.sequence == self._last_sequence + 1
                    self._last_sequence = max(self._last_sequence, answer.sequence)
            self._changed.notify()

    def lost(self) -> None:
        """Stop sending until what was in flight is settled."""
        with self._changed:
            self._settling, self._losses = True, self._losses + 1
            self._changed.notify()

    async def restored(self) -> None:
        """Settle what was in flight when the connection went, in order, then go on."""
        await self._settle_all("the connection")

    def _interrupt(self) -> None:
        """Stop sending, find out about what is in flight, then go on: the stream has no leader, or another one."""
        if not self._settling:
            self.lost()
            self._link.start(self._settle_all("its stream's leader"))

    async def _ask_for_leader(self, recovery: Recovery) -> None:
        if await recovery.led_by_another():
            self._interrupt()

    def _on_their_way(self) -> tuple[dict[int, Sent], int | None]:
        with self._changed:
            return {number: sent for number, sent in self._pending.items() if sent.first_sent}, self._last_sequence if self._gapless else None

    async def _settle_all(self, lost: str) -> None:
        losses, outcome = self._losses, Outcome(why="nothing is known of the stream")
        if self._recovery is not None:
            outcome = await self._recovery.find_out(self._on_their_way, self._policy.delivery_timeout, starting=lost == "the connection")
        with self._changed:
            if losses != self._losses:
                return  # lost once more meanwhile: the next one settles it
            again: list[int] = []
            for number in self._on_their_way()[0]:
                if number in outcome.stored:
                    self._settle(Receipt(number, Verdict.CONFIRMED, str(outcome.stored[number])))
                elif number in outcome.repeat:
                    self._pending[number].repeated = True
                    again.append(number)
                else:
                    self._give_up(number, f"{lost} was lost before its acknowledgement came, and {outcome.why}", outcome.nobody)
            if outcome.stored:
                self._silence.heard()
            self._last_sequence = max(self._last_sequence, outcome.last_sequence)
            self._settling = False
            if again:
                self._write(again)
            self._changed.notify()
        self._write_unsent()

    def given_up(self, failure: BrokercliError) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._changed.notify()

    def refused(self, kind: str, subject: str) -> None:
        """Take one permission violation."""
        name = subject.encode(errors="surrogateescape")
        with self._changed:
            waiting = [number for number, sent in self._pending.items() if sent.subject == name and sent.first_sent] if kind == "publish" else ()
            for number in self.denials.take(name, waiting):
                self._silence.heard()
                self._settle(Receipt(number, Verdict.REFUSED, reason=self.denials.reason(name)))
            self._changed.notify()
