"""Many questions to JetStream under way at once: joined writes, a window of answers, asked again after a lost connection or leader."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from brokercli.backends.nats.bulk_parser import Delivery, Sink, split_headers, status_of
from brokercli.backends.nats.failures import NOT_AVAILABLE, nobody_answers, not_permitted
from brokercli.backends.nats.link import NO_RESPONDERS, Link
from brokercli.backends.nats.watcher import Watcher
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, TimedOut, Unreachable

# the server drops questions beyond some 10,000 that wait for their turn (js api queue limit)
WINDOW = 1000
JOINED = 250
SILENCE_SECONDS = 5.0
_SHORTEST_SILENCE = 0.5
ATTEMPTS = 3
"""How often what has no answer is asked; every question must be one that may be asked twice."""
# a cluster whose stream, or whose JetStream, is choosing a leader: it is worth asking again (nats-server's errors.json, seen on 2.15.1), as it is where
# nobody listens, because the leaf node is away that leads to another domain
_LEADERLESS = re.compile(rb'\{"type":"io\.nats\.jetstream\.api\.v1\.\w+","error":\{"code":503,"err_code":%d,' % NOT_AVAILABLE)


class Answers(NamedTuple):
    """What was answered."""

    bodies: list[bytes]
    """In the order of the questions."""
    asked_again: bool
    """Whether some question had to be asked again: what it asked for may have been done by the first, unheard."""


class Questions(Watcher):
    """Asks one operation about many things."""

    def __init__(self, link: Link) -> None:
        self.silence = SILENCE_SECONDS
        """How long nothing may come before what has no answer is asked again."""
        self._link = link
        self._sid = 0
        self._inbox = b""
        self._asked = 0
        self._answers: dict[int, bytes | None] = {}
        self._awaited: range = range(0)
        self._heard = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._subject = ""
        self._refusal: BrokercliError | None = None
        self._last_time = False

    def answer_within(self, seconds: float) -> None:
        """Give up after so long in which no answer came at all, where that is less than it would be."""
        self.silence = min(SILENCE_SECONDS, max(_SHORTEST_SILENCE, seconds / ATTEMPTS))

    async def ask(self, subject: str, payloads: Sequence[bytes]) -> Answers:
        """Return the answers. Raises TimedOut, Unreachable, NotAuthorised, Failed."""
        async with self._one_at_a_time:
            if not self._sid:
                self._inbox = self._link.new_inbox().encode()
                self._sid = await self._link.subscribe(f"{self._inbox.decode()}.*", Sink(self._link.guard(self._arrived)))
            if self not in self._link.watchers:
                self._link.watchers.append(self)
            self._subject, self._refusal = subject, None
            first = self._asked
            self._asked += len(payloads)
            self._answers, self._awaited = {}, range(first, self._asked)
            try:
                asked_again = await self._ask(subject, payloads, first)
                answers = [self._answers[number] for number in self._awaited]
            finally:
                self._answers, self._awaited = {}, range(0)
                self._link.watchers.remove(self)
        if None in answers:
            raise nobody_answers(subject.partition(".STREAM.")[0])
        return Answers([answer for answer in answers if answer is not None], asked_again)

    async def _ask(self, subject: str, payloads: Sequence[bytes], first: int) -> bool:
        """Ask until each has its answer; return whether one was asked again."""
        for attempt in range(ATTEMPTS):
            left = [number for number in range(len(payloads)) if first + number not in self._answers]
            if not left:
                return attempt > 1
            self._last_time = attempt == ATTEMPTS - 1
            await self._connection()
            await self._round(subject.encode(errors="surrogateescape"), payloads, first, left)
        if len(self._answers) < len(payloads):
            raise TimedOut(f"{self._link.connection} did not answer {amount(len(payloads) - len(self._answers), 'request')} to {subject} in time.",
                           hint="the server may be overloaded")
        return True

    async def _round(self, subject: bytes, payloads: Sequence[bytes], first: int, numbers: Sequence[int]) -> None:
        """Ask once, as far as the connection lasts and answers keep coming."""
        before, sent = len(self._answers), 0
        while len(self._answers) - before < len(numbers):
            room = WINDOW - (sent - (len(self._answers) - before))
            if sent < len(numbers) and room >= min(JOINED, len(numbers) - sent):
                some = numbers[sent:sent + JOINED]
                frames = b"".join([b"PUB %b %b.%d %d\r\n%b\r\n" % (subject, self._inbox, first + number, len(payloads[number]), payloads[number])
                                   for number in some])
                if not self._link.write(frames):
                    return
                sent += len(some)
                continue
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), self.silence)
            except TimeoutError:
                return
            if self._refusal is not None:
                raise self._refusal
            if not self._link.connected:
                return

    async def _connection(self) -> None:
        # the client calls itself connected until it has heard that it is not: asked into that, each attempt was over before the next one began
        while not self._link.takes_writes:
            if self._link.failure is not None:
                raise self._link.failure
            await asyncio.sleep(0.05)

    def _arrived(self, messages: list[Delivery]) -> None:
        awaited, answers = self._awaited, self._answers
        for delivery in messages:
            number = int(delivery[0][1].rpartition(b".")[2])
            if number in awaited:
                block, body = split_headers(delivery)
                nobody = status_of(block)[0] == NO_RESPONDERS
                if self._last_time or not (nobody or _LEADERLESS.match(body)):
                    answers[number] = None if nobody else body
        self._heard.set()

    def lost(self) -> None:
        """Wake whoever waits: what has no answer is asked again."""
        self._heard.set()

    def given_up(self, failure: BrokercliError) -> None:
        """Wake whoever waits."""
        self._heard.set()

    def refused(self, kind: str, subject: str) -> None:
        """Take a permission violation of ours."""
        if kind == "publish" and subject == self._subject:
            self._refusal = not_permitted(kind, subject, self._link.connection)
            self._heard.set()


def decode(answer: bytes) -> dict[str, Any]:
    """Read an answer; what is no JSON object is an error that says so."""
    try:
        decoded = orjson.loads(answer)
    except orjson.JSONDecodeError:
        decoded = None
    if not isinstance(decoded, dict):
        raise Unreachable("What answers on JetStream's subjects is not JetStream.")
    return decoded
