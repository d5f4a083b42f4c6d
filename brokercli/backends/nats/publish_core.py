"""Publishing to whoever listens now. No broker confirms it, so a confirmation here says less: the notes say what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.nats.convert import Converter, Refusal, check_size
from brokercli.backends.nats.failures import not_permitted
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.silence import Silence
from brokercli.backends.nats.watcher import Watcher
from brokercli.model.errors import BrokercliError, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict

NOTE = ("published without confirmation: counted as confirmed once the server has read it (PING and PONG after it); whether anybody listened, "
        "or a stream stored it, is not known")
CHUNK = 1000
CHUNK_BYTES = 1 << 20


class CorePublisher(Publisher, Watcher):
    """Sends in chunks, each followed by PING; its PONG is the verdict on all of it. Nothing is ever sent twice."""

    def __init__(self, link: Link, subject: str, policy: PublishPolicy) -> None:
        self.notes = (NOTE,)
        self._converter = Converter(policy.template, keep_control_headers=policy.keep_control_headers)
        self.withheld = self._converter.withheld
        self._link = link
        self._name = subject
        self._subject = subject.encode(errors="surrogateescape")
        self._policy = policy
        self._changed = threading.Condition()
        self._receipts = Receipts()
        self._next = 0
        self._waiting = 0
        self._permission_errors = 0
        self._failure: BrokercliError | None = None
        self._silence = Silence(link, policy.delivery_timeout)
        link.watchers.append(self)

    def send(self, messages: Sequence[Message]) -> int:
        return self._send(messages, lambda message: self._converter.convert(message, self._link.max_payload))

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        block, largest = self._converter.template_block, self._link.max_payload

        def convert(body: bytes) -> tuple[bytes, bytes]:
            check_size(len(block) + len(body), largest)
            return block, body
        return self._send(bodies, convert)

    def _send(self, items: Sequence[Message] | Sequence[bytes], convert: Callable[..., tuple[bytes, bytes]]) -> int:
        frames: list[bytes] = []
        first, size, taken = self._next, 0, 0
        numbers: list[int] = []
        if not self._has_room(len(items)):
            return 0
        for item in items[:CHUNK]:
            try:
                frames.append(self._frame(*convert(item)))
                numbers.append(first + taken)
                size += len(frames[-1])
            except Refusal as refusal:
                with self._changed:
                    self._receipts.count(Receipt(first + taken, Verdict.REFUSED, reason=str(refusal)))
            taken += 1
            if size >= CHUNK_BYTES:
                break
        self._next += taken
        self._hand_over(frames, numbers)
        return taken

    def _has_room(self, wanted: int) -> bool:
        with self._changed:
            room = self._failure is None and self._link.connected and not self._waiting
            self._silence.offered(wanted if room else 0, 0 if room else wanted, self._waiting, time.monotonic())
            return room

    def _frame(self, block: bytes, body: bytes) -> bytes:
        if block:
            return b"HPUB %b %d %d\r\n%b%b\r\n" % (self._subject, len(block), len(block) + len(body), block, body)
        return b"PUB %b %d\r\n%b\r\n" % (self._subject, len(body), body)

    def _hand_over(self, frames: list[bytes], numbers: list[int]) -> None:
        if not numbers:
            return
        with self._changed:
            self._waiting += len(numbers)
        self._link.start(self._deliver(b"".join(frames), numbers))

    async def _deliver(self, frames: bytes, numbers: list[int]) -> None:
        self._permission_errors = 0
        verdict, reason = Verdict.CONFIRMED, ""
        if not self._link.write(frames):
            verdict, reason = Verdict.REFUSED, "the connection was lost, and it never left"
        else:
            try:
                await self._link.barrier(self._policy.delivery_timeout)
            except Unreachable as problem:
                verdict, reason = Verdict.UNKNOWN, str(problem).rstrip(".")
        if self._permission_errors:
            # one error for each message; fewer would leave open which ones they were
            all_of_them = self._permission_errors >= len(numbers)
            verdict, reason = Verdict.REFUSED if all_of_them else Verdict.UNKNOWN, f"this login is not permitted to publish to {self._name}"
        with self._changed:
            for number in numbers if verdict is not Verdict.CONFIRMED else ():
                self._receipts.count(Receipt(number, verdict, reason=reason))
            if verdict is Verdict.UNKNOWN:
                # else chunk after chunk would wait for its timeout, until the input ends
                self._failure = self._failure or self._silence.too_long(waiting=True)
            else:
                self._silence.heard()
            if verdict is Verdict.REFUSED and self._permission_errors:
                self._failure = self._failure or not_permitted("publish", self._name, self._link.connection)
            if verdict is Verdict.CONFIRMED:
                self._receipts.confirmed += len(numbers)
                if self._policy.positions:
                    self._receipts.confirmations += [Receipt(number, verdict) for number in numbers]
            self._waiting -= len(numbers)
            self._changed.notify()

    def collect(self, timeout: float) -> Receipts:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not len(self._receipts):
                self._failure = self._failure or self._silence.too_long(waiting=False)
                if (failure := self._failure or self._link.failure) is not None:
                    raise failure
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.5))
            receipts, self._receipts = self._receipts, Receipts()
        return receipts

    def finish(self, timeout: float) -> Receipts:
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._waiting and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, 0.5))
            receipts, self._receipts = self._receipts, Receipts()
        return receipts

    @property
    def in_flight(self) -> int:
        with self._changed:
            return self._waiting

    def close(self) -> None:
        self._link.post(self._forget)

    def _forget(self) -> None:
        if self in self._link.watchers:
            self._link.watchers.remove(self)

    def given_up(self, failure: BrokercliError) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._changed.notify()

    def refused(self, kind: str, subject: str) -> None:
        """Count permission violations until the next PONG."""
        if kind == "publish" and subject == self._name:
            self._permission_errors += 1
