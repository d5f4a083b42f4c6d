"""What was accepted for publishing until it has its verdict: written by the connection's thread, in order, and settled there."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import takewhile

from brokercli.backends.nats.bulk_parser import Delivery, Sink
from brokercli.backends.nats.denials import Denials
from brokercli.backends.nats.in_flight import UNHEARD, Sent, plain_acknowledgement, read_acknowledgement, without_groups
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.recovery import Outcome, Recovery, Target
from brokercli.backends.nats.silence import Silence
from brokercli.backends.nats.watcher import Watcher
from brokercli.model.errors import BrokercliError
from brokercli.model.receipt import Receipt, Receipts, Verdict

_TOO_LARGE = "with its headers it is larger than what the server takes from this account (Maximum Payload Violation)"
_NEVER_LEFT = "the connection was lost, and it never left"


class Outbox(Watcher):
    """The messages on their way to one stream, by their numbers.

    After a lost connection `recovery.py` finds out about them: what can be repeated without a second copy is repeated, what is
    certainly stored counts as confirmed, the rest is unknown. Nothing new is sent until then, so the order holds. The same happens
    where the stream loses its leader. Where nothing is heard of any message for as long as one may wait, nothing is sent any more.
    """

    def __init__(self, link: Link, target: Target | None, *, positions: bool, delivery_timeout: float) -> None:
        """`target` None where the stream could not be asked about."""
        self.changed = threading.Condition()
        """Guards everything here; told about every verdict."""
        self.news = Receipts()
        self.held_bytes = 0
        self.confirmed_by = ""
        """The stream that the last message lies in whose acknowledgement did not just say that it lies where it was to go."""
        self.unsent: deque[int] = deque()
        self.denials = Denials(link.connection)
        self.silence = Silence(link, delivery_timeout)
        self._link = link
        self._target = target
        self._positions = positions
        self._delivery_timeout = delivery_timeout
        self._pending: dict[int, Sent] = {}
        self._last_sequence = target.last_sequence if target is not None else 0
        self._gapless = target is not None
        """Whether every sequence since we began is one of ours."""
        self._settling = False
        self._losses = 0
        self._failure: BrokercliError | None = None
        self._inbox = link.new_inbox().encode()
        self._recovery = Recovery(link, target) if target is not None else None

    # from the user's thread; all but `put` and `forget` while holding `changed`

    def put(self, batch: Mapping[int, Sent], size: int, refused: Sequence[Receipt]) -> None:
        """Take messages to write, so many bytes in all, and the verdicts on those that were refused beforehand."""
        with self.changed:
            for receipt in refused:
                self.news.count(receipt)
            self._pending.update(batch)
            self.held_bytes += size
            self.unsent.extend(batch)
        if batch:
            self._link.post(self._write_unsent)

    def forget(self) -> None:
        """Drop what has no verdict: nobody will ask for it."""
        with self.changed:
            self._pending.clear()
            self.unsent.clear()

    @property
    def open(self) -> int:
        """How many have no verdict."""
        return len(self._pending)

    @property
    def takes_more(self) -> bool:
        """Whether new messages may be given to it now."""
        return self._failure is None and self._link.connected and not self._settling

    @property
    def failure(self) -> BrokercliError | None:
        """Why nothing more can be sent; None while something can."""
        return self._failure or self._link.failure

    def waits(self, before: int | None) -> bool:
        """Whether a message has no verdict; `before` narrows it to those with a lower number."""
        # kept in the order of their numbers
        first = next(iter(self._pending), None)
        return first is not None and (before is None or first < before)

    def take_news(self) -> Receipts:
        """Return the verdicts since the last time."""
        news, self.news = self.news, Receipts()
        return news

    def expire(self) -> None:
        """Count what has waited too long. Sent in order, so the oldest come first."""
        limit = time.monotonic() - self._delivery_timeout
        late = [number for number, _ in takewhile(lambda waiting: 0 < waiting[1].first_sent <= limit, self._pending.items())]
        for number in late:
            self._give_up(number, f"no acknowledgement came within {self._delivery_timeout:g} s")
        if self._recovery is not None and not self._settling and self.silence.time_to_ask(bool(self._pending)):
            self._link.start(self._ask_for_leader(self._recovery))
        # without this every window would wait for its timeout, one after the other, until the input ends
        self._failure = self._failure or self.silence.too_long(bool(late or self._pending))

    def abandon(self, before: int | None) -> None:
        """Judge what has no verdict now; `before` narrows it to messages with a lower number."""
        why = "" if self.failure is None else f": {str(self.failure).rstrip('.')}"
        for number in [number for number in self._pending if before is None or number < before]:
            self._give_up(number, f"no acknowledgement came{why}")

    def _give_up(self, number: int, why: str, nobody: str = "") -> None:
        sent = self._pending[number]
        if sent.first_sent and not sent.unheard:
            self._settle(Receipt(number, Verdict.UNKNOWN, reason=f"{why} from its stream; {sent.elsewhere}" if sent.elsewhere else why))
        else:
            self._settle(Receipt(number, Verdict.REFUSED, reason=(nobody or self._nobody) if sent.unheard else _NEVER_LEFT))

    @property
    def _nobody(self) -> str:
        return UNHEARD if self._recovery is None else self._recovery.nobody

    def _settle(self, receipt: Receipt) -> None:
        """Enter one verdict; the first one stands. Holds the lock."""
        if (sent := self._pending.pop(receipt.index, None)) is None:
            return
        self.held_bytes -= sent.size
        self.news.count(receipt)
        if self._positions and receipt.verdict is Verdict.CONFIRMED and not receipt.duplicate:
            self.news.confirmations.append(receipt)

    # on the connection's thread

    async def open_inbox(self) -> None:
        """Listen for acknowledgements; everything else comes after that."""
        run = None
        if self._target is not None:
            one = plain_acknowledgement(self._inbox, self._target.stream, self._target.domain)
            self._plain = re.compile(one)
            run = re.compile(b"(?:" + without_groups(one) + b")+")
        self._sid = await self._link.subscribe(f"{self._inbox.decode()}.*", Sink(self._link.guard(self._answered), run, self._acknowledged))
        self._link.watchers.append(self)

    async def close(self) -> None:
        """Listen no longer."""
        if self in self._link.watchers:
            self._link.watchers.remove(self)
        await self._link.unsubscribe(self._sid)

    def _write_unsent(self) -> None:
        with self.changed:
            if self._settling or not self._link.connected:
                return
            numbers, self.unsent = [number for number in self.unsent if number in self._pending], deque()
            if numbers:
                self._write(numbers)

    def _write(self, numbers: Sequence[int]) -> None:
        """Write messages and note when. Holds the lock, so that none is given up as never sent while it leaves."""
        inbox, pending = self._inbox, self._pending
        frames = b"".join([pending[number].frame(b"%b.%d" % (inbox, number)) for number in numbers])
        now, floor = time.monotonic(), self._last_sequence
        if self._failure is not None or not self._link.write(frames):
            self.unsent.extendleft(reversed(numbers))
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
        positions = self._positions
        with self.changed:
            pending = self._pending
            for index, sequence in found:
                sent = pending.pop(int(index), None)
                if sent is None:
                    continue
                self.held_bytes -= sent.size
                self.news.confirmed += 1
                if positions:
                    self.news.confirmations.append(Receipt(int(index), Verdict.CONFIRMED, sequence.decode()))
            self.silence.heard()
            first, last = int(found[0][1]), int(found[-1][1])
            if self._gapless and last > self._last_sequence and (first != self._last_sequence + 1 or last - first + 1 != len(found)):
                self._gapless = False
            self._last_sequence = max(self._last_sequence, last)
            self.changed.notify()

    def _answered(self, messages: list[Delivery]) -> None:
        """Take whatever else came: duplicates, refusals, no responders, and all of it where the stream is not known."""
        stream, domain = (self._target.stream, self._target.domain) if self._target is not None else (None, "")
        with self.changed:
            for delivery in messages:
                digits = delivery[0][1].rpartition(b".")[2]
                sent = self._pending.get(int(digits)) if digits.isdigit() else None
                if sent is None:
                    continue
                answer = read_acknowledgement(int(digits), delivery, sent, stream, domain)
                if answer.elsewhere:
                    sent.elsewhere = answer.elsewhere
                    continue
                if answer.unheard and self._recovery is not None:
                    sent.unheard = not sent.in_doubt
                    self._interrupt()
                    continue
                self._settle(answer.receipt)
                self.confirmed_by = answer.stream or self.confirmed_by
                self.silence.heard()
                if answer.sequence:
                    self._gapless = self._gapless and answer.sequence == self._last_sequence + 1
                    self._last_sequence = max(self._last_sequence, answer.sequence)
            self.changed.notify()

    def lost(self) -> None:
        """Stop sending until what was in flight is settled."""
        with self.changed:
            self._settling, self._losses = True, self._losses + 1
            self.changed.notify()

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

    def largest_sent(self) -> int:
        """As promised."""
        with self.changed:
            return max([sent.payload for sent in self._pending.values() if sent.first_sent], default=0)

    def _too_large(self, sent: Sent) -> bool:
        return self._link.too_large is not None and sent.payload >= self._link.too_large

    def _on_their_way(self) -> tuple[dict[int, Sent], int | None]:
        """Return what was sent and the server may have read, and the last sequence where all up to that are ours. At a message that is too large
        it hangs up: of those behind it, it has read only what was sent once before."""
        with self.changed:
            waiting = [(number, sent) for number, sent in self._pending.items() if sent.first_sent]
            hung_up = next((number for number, sent in waiting if self._too_large(sent)), None)
            read = {number: sent for number, sent in waiting if hung_up is None or number < hung_up or (sent.repeated and not self._too_large(sent))}
            return read, self._last_sequence if self._gapless else None

    async def _settle_all(self, lost: str) -> None:
        losses, outcome = self._losses, Outcome(why="nothing is known of the stream")
        if self._recovery is not None:
            outcome = await self._recovery.find_out(self._on_their_way, self._delivery_timeout, starting=lost == "the connection")
        with self.changed:
            if losses != self._losses:
                return  # lost once more meanwhile: the next one settles it
            again: list[int] = []
            read, waiting = self._on_their_way()[0], list(self._pending.items())
            for number, sent in waiting:
                if self._too_large(sent):
                    self._settle(sent.turned_away(number, _TOO_LARGE))
                    self.silence.heard()
                elif not sent.first_sent:
                    continue
                elif number in outcome.stored:
                    self._settle(Receipt(number, Verdict.CONFIRMED, str(outcome.stored[number])))
                elif number in outcome.repeat:
                    sent.repeated = True
                    again.append(number)
                elif number not in read:
                    sent.first_sent = 0.0
                    again.append(number)
                else:
                    nobody = outcome.out_of_reach.get(number, outcome.nobody)
                    self._give_up(number, f"{lost} was lost before its acknowledgement came, and {outcome.why}", nobody)
            if outcome.stored:
                self.silence.heard()
            self._last_sequence = max(self._last_sequence, outcome.last_sequence)
            self._settling = False
            anew = set(again)
            # what was to be sent again the last time, and could not be, has been found out about anew
            self.unsent = deque([number for number in self.unsent if number in self._pending and not self._pending[number].first_sent
                                 and number not in anew])
            if again:
                self._write(again)
            self.changed.notify()
        self._write_unsent()

    def given_up(self, failure: BrokercliError) -> None:
        """Wake whoever waits."""
        with self.changed:
            self.changed.notify()

    def refused(self, kind: str, subject: str) -> None:
        """Take one permission violation."""
        name = subject.encode(errors="surrogateescape")
        with self.changed:
            waiting = [number for number, sent in self._pending.items() if sent.subject == name and sent.first_sent] if kind == "publish" else ()
            for number in self.denials.take(name, waiting):
                self.silence.heard()
                self._settle(self._pending[number].turned_away(number, self.denials.reason(name)))
            self.changed.notify()
