"""Reading a limits stream through an ephemeral consumer of its own: nothing is acknowledged, nothing is changed, nothing stays."""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left
from contextlib import suppress

import orjson

from brokercli.backends.contract import Batch
from brokercli.backends.nats.bulk_parser import Delivery, Sink, split_headers, status_of
from brokercli.backends.nats.coordinates import Coordinates, coordinates
from brokercli.backends.nats.failures import NoConsumer, not_permitted
from brokercli.backends.nats.fetch import fetch_next
from brokercli.backends.nats.link import NO_RESPONDERS
from brokercli.backends.nats.overtaken import Overtaken
from brokercli.backends.nats.reading import OVERHEAD, BufferedReader, fewer_bytes
from brokercli.backends.nats.records import Delivered, DeliveredRun, is_stored
from brokercli.backends.nats.runs import Run
from brokercli.backends.nats.span import NANOSECONDS, Source, ask_again, create_consumer
from brokercli.backends.nats.streams import JetStream
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, TimedOut, Unreachable

BATCH = 20_000
"""Messages per pull, two pulls at a time; with the bytes below the bound of what is under way. A million messages take 2.1 s
in pulls of this size, 3.4 s in pulls of 2,500."""
FIRST_BATCH = 500
"""The first pulls are small, so that a look at a few messages fetches few; they grow while messages come."""
BATCH_BYTES = 4 << 20
LARGEST_PULL = 256 << 20
EXPIRES_SECONDS = 20
# longer than the server needs to say that a pull has expired
SILENCE_SECONDS = 30.0
# seen on nats-server 2.15.1: of an export without it one message comes for each pull, and no word that there is nothing more
_ONE_ANSWER = "{}.> is imported from another account, which must export its API with `response: stream`: else one answer to a question comes through"


class ConsumerReader(BufferedReader[list[Delivery] | Run]):
    """Pulls while there is room in the buffer. A lost consumer or connection is replaced behind the last message handed on: a consumer is lost as
    well where whoever reads is slower than the server keeps it, which it does while a pull waits, and for a time after the last one.

    Deliveries are numbered without holes by the consumer, so that a lost one shows, whatever lost it.
    """

    def __init__(self, jetstream: JetStream, source: Source, start: int, end: int | None) -> None:
        super().__init__(jetstream.link)
        self._jetstream = jetstream
        self._source = source
        self._next = start
        self._end = end
        self._overtaken = Overtaken(source, start, end)
        self._name = ""
        self._delivered = 0
        self._credit = 0
        self._pulls = 0
        self._size = FIRST_BATCH
        self._sid = 0
        self._inbox = ""
        self._batch_bytes = BATCH_BYTES
        self._served = False
        """Whether a pull came to its end on this connection."""
        self._grown_at = 0
        """The pull after which they asked for more bytes."""
        self._paused = False
        self._done = False
        self._replacing = False
        self._heard = 0.0
        self._since_word = 0
        self._verifying = False
        self._unanswered = 0.0
        """Since when the stream does not say whether that was all; 0 while it does."""
        self._verified = 0
        """What came next when the consumer last had nothing more and the stream had."""
        self._watch: asyncio.TimerHandle | None = None
        try:
            self.link.run(self._open())
        except BrokercliError:
            self.close()
            raise

    async def _open(self) -> None:
        self.link.watchers.append(self)
        if self._end is not None and self._next >= self._end:
            self.expected = 0
            self._finish()
            return
        pending = await self._start()
        if self._end is not None:
            self.expected = min(pending, self._end - self._next)
        self._watch_silence()

    async def _start(self) -> int:
        """Make a consumer at the next sequence with an inbox of its own, so that nothing of an older one mixes in."""
        if self._sid:
            await self.link.unsubscribe(self._sid)
        await self._give_up()
        self._inbox = self.link.new_inbox()
        self._sid = await self.link.subscribe(f"{self._inbox}.*", Sink(self.link.guard(self._arrived), on_stored=self.link.guard(self._came)))
        self._name = f"brokercli-{secrets.token_hex(6)}"
        try:
            answer = await create_consumer(self._jetstream, self._source, self._name, self._next)
        except NoConsumer:
            self._name = ""
            raise
        self._delivered = self._credit = 0
        self._heard = asyncio.get_running_loop().time()
        self._since_word = 0
        self._pull()
        return int(answer.get("num_pending", 0))

    async def _give_up(self) -> None:
        """Delete the consumer that we had: until it goes by itself it counts where a stream or an account allows only so many. Who keeps it may
        be what was lost, so that it is not waited for long."""
        if self._name:
            with suppress(Failed, NotAuthorised, TimedOut):
                await self._jetstream.try_ask(f"CONSUMER.DELETE.{self._source.stream}.{self._name}", timeout=1.0)
            self._name = ""

    def _pull(self) -> None:
        size = min(self._size, BATCH)
        while not self._paused and not self._done and self._credit <= size:
            self._pulls += 1
            question = {"batch": size, "max_bytes": self._batch_bytes}
            # a span that ends asks for what is there: "nothing" is then an answer, and the end
            question |= {"expires": EXPIRES_SECONDS * NANOSECONDS} if self._end is None else {"no_wait": True}
            payload = orjson.dumps(question)
            self._credit += size
            if not self.link.write(b"PUB %b %b.%d %d\r\n%b\r\n" % (self._pulled_on.encode(), self._inbox.encode(), self._pulls, len(payload), payload)):
                return  # restored() starts anew

    @property
    def _pulled_on(self) -> str:
        return f"{self._jetstream.prefix}.CONSUMER.MSG.NEXT.{self._source.stream}.{self._name}"

    def refused(self, kind: str, subject: str) -> None:
        """A login may make consumers and not pull from them: no answer comes then, and none would."""
        if kind == "publish" and subject == self._pulled_on and not self._done:
            self._done = True
            self._handover.fail(not_permitted(kind, subject, self.link.connection))

    def _came(self, run: Run) -> None:
        """Take messages without headers, nothing else among them."""
        if self._done or self._replacing:
            return
        if run.coordinates(-1).delivered != self._delivered + len(run):
            self._arrived(run.deliveries())
            return
        self._heard = asyncio.get_running_loop().time()
        self._since_word += len(run)
        self._hand_on(run, run.coordinates(-1))
        if not self._done and not self._verifying:
            self._pull()

    def _arrived(self, messages: list[Delivery]) -> None:
        if self._done or self._replacing:
            return
        self._heard = asyncio.get_running_loop().time()
        last = messages[-1]
        # where the last is as far along as the list is long, all of them are messages in order
        if not (is_stored(last) and coordinates(last[0][3]).delivered == self._delivered + len(messages)):
            messages = self._sort_out(messages)
        else:
            self._since_word += len(messages)
        if messages:
            self._hand_on(messages, coordinates(messages[-1][0][3]))
        if not self._done and not self._replacing and not self._verifying:
            self._pull()

    def _sort_out(self, messages: list[Delivery]) -> list[Delivery]:
        """Take words about the pulls out, and stop at the first hole."""
        kept: list[Delivery] = []
        expected = self._delivered
        for delivery in messages:
            if not is_stored(delivery):
                self._told(delivery)
            else:
                expected += 1
                if coordinates(delivery[0][3]).delivered != expected:
                    self._replace()
                else:
                    kept.append(delivery)
                    self._since_word += 1
            if self._replacing:
                break
        return kept

    def _told(self, delivery: Delivery) -> None:
        block, _ = split_headers(delivery)
        status, description = status_of(block)
        words = description.lower()
        if status == 100:
            return
        if status == NO_RESPONDERS or (status == 409 and ("deleted" in words or "shutdown" in words)):
            self._replace()
            return
        self._served = True
        self._credit = max(0, self._credit - _left_of_pull(block))
        if status == 409 and "maxbytes" in words and not self._since_word and int(delivery[0][1].rpartition(b".")[2]) > self._grown_at:
            # the next message alone is larger than this pull might bring; no more is asked for than such messages need: all of it is held in memory
            self._batch_bytes = min(self._batch_bytes * 2, LARGEST_PULL)
            self._grown_at = self._pulls
        self._since_word = 0
        if status == 404 and self._end is not None and not self._verifying:
            self._verifying = True
            self.link.start(self._verify_end())

    async def _verify_end(self) -> None:
        """The consumer has nothing more: what is missing up to the end was deleted meanwhile, or does not match. The stream
        itself has the last word, because a consumer's count of what is left has been wrong in past servers."""
        try:
            left = await fetch_next(self._jetstream, self._source.stream, self._next, self._source.subject or ">")
        except (NotAuthorised, NotFound):
            left = None
        except (TimedOut, Unreachable):
            # it is choosing a leader perhaps, and whoever publishes over this connection goes on
            now = asyncio.get_running_loop().time()
            self._unanswered = self._unanswered or now
            if now - self._unanswered >= self.link.patience:
                raise
            self._verifying = False
            self._replace()
            return
        self._verifying, self._unanswered = False, 0.0
        if self._done or self._replacing or self._end is None:
            return
        if left is None or left.sequence is None or left.sequence >= self._end:
            self._finish()
        elif self._next == self._verified:
            self._replace()  # it has delivered what never came, and would say so for ever
        else:
            self._verified = self._next
            self._pull()

    def _hand_on(self, messages: list[Delivery] | Run, last: Coordinates) -> None:
        self._delivered = last.delivered
        self._credit -= len(messages)
        self._size = min(self._size * 2, BATCH)
        self._next = last.sequence + 1
        if self._end is not None and self._next >= self._end:
            if self._next > self._end:
                messages = _before(messages, self._end)
            self._give(messages)
            self._finish()
            return
        self._give(messages)

    def _give(self, messages: list[Delivery] | Run) -> None:
        bodies = messages.bodies if isinstance(messages, Run) else [payload for _, payload in messages]
        self.came(len(bodies), self._next)
        if bodies and not self._handover.offer(messages, sum(map(len, bodies)) + OVERHEAD * len(bodies)):
            self._paused = True

    def _finish(self) -> None:
        self._done = True
        if self._watch is not None:
            self._watch.cancel()
        self.at_the_end()

    def _replace(self) -> None:
        """Make a new consumer behind the last message handed on."""
        if not self._replacing and not self._done and self.link.connected:
            self._replacing = True
            self.link.start(self._replaced())

    async def _replaced(self) -> None:
        limit = asyncio.get_running_loop().time() + self.link.patience
        try:
            while not self._closed:
                try:
                    await ask_again(self._jetstream, self._source)
                    await self._start()
                    self._replacing = False
                    return
                except (TimedOut, Unreachable):
                    if self.link.failure is not None or not self.link.connected:
                        self._replacing = False
                        return
                    if asyncio.get_running_loop().time() >= limit:
                        raise
                    await asyncio.sleep(0.2)
        except BrokercliError as failure:
            self._handover.fail(failure)
            self._done = True

    def _watch_silence(self) -> None:
        """A consumer that says nothing, not even that a pull has expired, is gone."""
        loop = asyncio.get_running_loop()
        if self._done or self._closed:
            return
        if not self._paused and self.link.connected and not self._replacing and loop.time() - self._heard > SILENCE_SECONDS:
            if self._jetstream.imported:
                self._done = True
                self._handover.fail(Failed(f"Stream {self._source.stream} was asked for messages, and no more came in {SILENCE_SECONDS:g} s.",
                                           hint=_ONE_ANSWER.format(self._jetstream.prefix)))
                return
            self._replace()
        self._watch = loop.call_later(min(5.0, SILENCE_SECONDS), self._watch_silence)

    async def restored(self) -> None:
        if not self._served:
            self._batch_bytes = fewer_bytes(self._batch_bytes)
        self._served = self._replacing = False
        self._replace()

    def batch(self, items: list[Delivery] | Run) -> Batch:
        return DeliveredRun(items, self._source.stream) if isinstance(items, Run) else Delivered(items, self._source.stream)

    async def more(self) -> None:
        self._paused = False
        self._heard = asyncio.get_running_loop().time()
        if not self._replacing:
            self._pull()

    async def let_go(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._done = True
        if self._sid:
            await self.link.unsubscribe(self._sid)
        with suppress(BrokercliError):
            await self._give_up()


def _before(messages: list[Delivery] | Run, end: int) -> list[Delivery] | Run:
    """Return those whose sequence is below `end`."""
    if isinstance(messages, Run):
        return messages.first(bisect_left(range(len(messages)), end, key=lambda index: messages.coordinates(index).sequence))
    return messages[:bisect_left(messages, end, key=lambda delivery: coordinates(delivery[0][3]).sequence)]


def _left_of_pull(block: bytes) -> int:
    """Return how many messages a pull that has ended did not bring."""
    start = block.find(b"Nats-Pending-Messages:")
    if start < 0:
        return BATCH
    text = block[start + len(b"Nats-Pending-Messages:"):block.find(b"\r\n", start)].strip()
    return int(text) if text.isdigit() else BATCH
