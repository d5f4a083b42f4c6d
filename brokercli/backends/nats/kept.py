"""Publishing for whoever takes a message away elsewhere once it is confirmed: its stream has to keep it until that is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats import INTEREST_STREAM
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.recovery import Target
from brokercli.backends.nats.schedules import Schedules
from brokercli.backends.nats.streams import ANSWER_SECONDS, JetStream, Json, resource_of, told_in
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised
from brokercli.model.message import Message
from brokercli.model.position import parse_time
from brokercli.model.receipt import Receipt, Receipts, Verdict

_AT_ONCE = 1.0


class KeptPublisher(JetStreamPublisher):
    """Tells verdicts in `finish` alone. There the stream is asked about once more, after what it confirmed: of one that was deleted since, made anew,
    or told to keep only what is wanted, that is nowhere perhaps (each seen on 2.15.1), and it is unknown. Nothing more is sent to it then.
    Refuses what would end a schedule."""

    def __init__(self, jetstream: JetStream, link: Link, subject: str | None, target: Target, policy: PublishPolicy, info: Json,
                 schedules: Schedules) -> None:
        super().__init__(link, subject, target, policy)
        self._jetstream = jetstream
        self._stream = target.stream
        self._was = info
        self._schedules = schedules
        self._patience = policy.delivery_timeout
        self._told = 0
        """Messages with a lower number have had their verdict told."""
        self._problems: list[Receipt] = []
        self._positions: list[Receipt] = []
        self._change = ""
        """What has happened to the stream; empty while it is what it was."""

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        return 0 if self._change else super()._accept(items, self._schedules.passing(prepare))

    def obstacle(self, subject: str) -> str:
        """As promised: a schedule that waits there."""
        with suppress(BrokercliError):
            return self._schedules.refusal(subject)
        return ""

    def collect(self, timeout: float) -> Receipts:
        if self._change:
            raise self._ended
        self._hold(super().collect(timeout))
        return Receipts()

    def finish(self, timeout: float, before: int | None = None) -> Receipts:
        self._hold(super().finish(timeout, before))
        begin, end = self._told, self._next if before is None else before
        self._told = max(begin, end)
        problems = {receipt.index: receipt for receipt in self._problems if receipt.index < end}
        positions = [receipt for receipt in self._positions if receipt.index < end]
        self._problems = [receipt for receipt in self._problems if receipt.index >= end]
        self._positions = [receipt for receipt in self._positions if receipt.index >= end]
        confirmed = end - begin - len([receipt for receipt in problems.values() if receipt.verdict is not Verdict.CONFIRMED])
        doubt = self._doubt(timeout) if confirmed > 0 else ""
        if doubt:
            problems = {number: _in_doubt(problems.get(number), number, doubt) for number in range(begin, end)}
        told = Receipts(confirmed=max(0, end - begin) - len(problems), confirmations=[] if doubt else positions)
        for receipt in problems.values():
            told.count(self._sure(receipt) if receipt.duplicate else receipt)
        return told

    def _hold(self, receipts: Receipts) -> None:
        self._problems += receipts.problems
        self._positions += receipts.confirmations

    def _sure(self, duplicate: Receipt) -> Receipt:
        """Return the verdict on a message whose id the stream has had before."""
        return duplicate

    @property
    def failure(self) -> BrokercliError | None:
        return super().failure or (self._ended if self._change else None)

    @property
    def _ended(self) -> Failed:
        return Failed(f"Stream {self._stream} {self._change} meanwhile.", hint="the same command goes on, with the stream as it is now")

    def _doubt(self, timeout: float) -> str:
        """Return why what the stream has confirmed is perhaps not kept; empty where it is, or where this login may not ask."""
        try:
            self._change = self._change or self._change_to(self._link.run(self._asked(self._patience if timeout else 0)))
        except NotAuthorised:
            return ""
        except BrokercliError as problem:
            return f"stream {self._stream} confirmed it, and nobody could say whether it still keeps it: {str(problem).rstrip('.')}"
        return f"stream {self._stream} confirmed it, and {self._change} meanwhile" if self._change else ""

    def _change_to(self, now: Json | None) -> str:
        if now is None:
            return "was deleted"
        if parse_time(str(now["created"])) != parse_time(str(self._was["created"])):
            return "was deleted and made anew"
        if resource_of(now) == INTEREST_STREAM != resource_of(self._was):
            return "has come to keep only what a consumer wants"
        return ""

    async def _asked(self, seconds: float) -> Json | None:
        """Ask about the stream, for so many seconds where it is choosing a leader or a leaf node is away; None where there is none."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = await self._jetstream.try_ask(f"STREAM.INFO.{self._stream}", timeout=min(ANSWER_SECONDS, max(_AT_ONCE, seconds)), repeat=seconds > 0)
                return told_in(answer, self._stream)
            except BrokercliError as problem:
                if isinstance(problem, NotAuthorised) or self._link.failure is not None or time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(0.2)


def _in_doubt(receipt: Receipt | None, number: int, why: str) -> Receipt:
    return Receipt(number, Verdict.UNKNOWN, reason=why) if receipt is None or receipt.verdict is Verdict.CONFIRMED else receipt
