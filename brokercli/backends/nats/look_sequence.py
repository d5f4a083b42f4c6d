"""Reading a stream by sequence number: no consumer, so nothing is taken from a work-queue or interest stream and nothing is kept back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import orjson

from brokercli.backends.contract import Batch
from brokercli.backends.nats.bulk_parser import Delivery, Sink
from brokercli.backends.nats.direct_get import answer_status, row_of, stream_of
from brokercli.backends.nats.fetch import fetch_message, fetch_next
from brokercli.backends.nats.link import NO_RESPONDERS
from brokercli.backends.nats.overtaken import Overtaken
from brokercli.backends.nats.reading import OVERHEAD, BufferedReader, fewer_bytes
from brokercli.backends.nats.records import Fetched, Row
from brokercli.backends.nats.span import Source, ask_again
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.backends.nats.subjects import covers
from brokercli.model.errors import BrokercliError, Bug, TimedOut, Unreachable

BATCH = 2500
BATCH_BYTES = 2 << 20
PIPELINE = 128
"""Questions under way where each message must be asked for by itself. They begin with few and become more, as far as what is answered
is small: all answers of one round are held in memory."""
FIRST_PIPELINE = 8
PIPELINE_BYTES = 4 << 20
ANSWER_SECONDS = 10.0
FOLLOW_SECONDS = 0.1
NOTE = "read by sequence number: a message that its consumers have finished with before we come to it is gone, and not shown"


class SequenceReader(BufferedReader[list[Row]]):
    """Asks for batches (`DIRECT.GET`, nats-server 2.11) where the stream allows it, else for one message at a time, many at once.

    Batches come from whichever replica answers, so the end is settled by the leader: nothing that is stored is left out. What was removed a moment
    ago a replica may still show, and a mirror that answers in its place is not believed.
    """

    def __init__(self, jetstream: JetStream, source: Source, start: int, end: int | None, note: str = "", *, of_leader: bool = False) -> None:
        """`note` says why this way was taken, where the stream's retention does not; `of_leader`: show nothing that its leader has removed by then."""
        super().__init__(jetstream.link)
        self._jetstream = jetstream
        self._source = source
        self._next = start
        self._end = end
        self._overtaken = Overtaken(source, start, end)
        self._room = asyncio.Event()
        self._sid = 0
        self._subject = source.subject or ">"
        self._inbox = ""
        self._questions = 0
        self._asked = b""
        self._answers: list[Delivery] = []
        self._ended = False
        self._heard = asyncio.Event()
        config = source.info["config"]
        replicated = int(config.get("num_replicas") or 1) > 1
        self._direct = bool(config.get("allow_direct")) and int(self.link.server.get("api_lvl", 0)) >= 1 and not (of_leader and replicated)
        self._batch_bytes = BATCH_BYTES
        self._pipeline = FIRST_PIPELINE
        self._task: asyncio.Task[None] | None = None
        if note or end is None:
            self.notes.append(note or NOTE)
        if end is not None:
            held = int(source.info["state"]["messages"])
            self.expected = min(held, max(0, end - start)) if source.subject is None else None
        self.link.run(self._open())

    async def _open(self) -> None:
        self.link.watchers.append(self)
        self._room.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        failing: float | None = None
        try:
            while self._end is None or self._next < self._end:
                await self._room.wait()
                try:
                    rows = await self._some()
                    failing = None
                    if not rows and self._end is None:
                        await self._wait_for_more()
                except (TimedOut, Unreachable):
                    now = asyncio.get_running_loop().time()
                    failing = now if failing is None or not self.link.connected else failing
                    if self.link.failure is not None or now - failing >= self.link.patience:
                        raise
                    await asyncio.sleep(0.2)
                    continue
                if rows:
                    self._hand_on(rows)
                elif self._end is not None:
                    break
            self.at_the_end()
        except BrokercliError as failure:
            self._handover.fail(failure)
        except Exception as problem:  # noqa: BLE001  a task nobody awaits must not fail unseen
            self._handover.fail(Bug("in the NATS backend", problem))

    async def _wait_for_more(self) -> None:
        """Return once the stream has got something, whether it is for us or not."""
        info: Json = {}
        while not info or int(info["state"]["last_seq"]) < self._next:
            await asyncio.sleep(FOLLOW_SECONDS)
            info = await ask_again(self._jetstream, self._source)

    def _hand_on(self, rows: list[Row]) -> None:
        self._next = (rows[-1].sequence or 0) + 1
        if self._end is not None and self._next > self._end:
            rows = [row for row in rows if row.sequence is not None and row.sequence < self._end]
        self.came(len(rows), self._next)
        if rows and not self._handover.offer(rows, sum([len(row.body) + len(row.block) for row in rows]) + OVERHEAD * len(rows)):
            self._room.clear()

    async def _some(self) -> list[Row]:
        """Return the next messages in order, none where there are no more for now."""
        if self._direct:
            rows = await self._batch_direct()
            if rows:
                return rows
        # nothing: the leader says whether that is so, and leaps over what is deleted
        row = await fetch_next(self._jetstream, self._source.stream, self._next, self._subject)
        if row is None or row.sequence is None or (self._end is not None and row.sequence >= self._end):
            return []
        if self._direct:
            return [row]
        rows = [row, *await self._neighbours(row.sequence + 1)]
        largest = max([len(row.body) + len(row.block) for row in rows])
        self._pipeline = max(1, min(2 * self._pipeline, PIPELINE, PIPELINE_BYTES // max(1, largest)))
        return rows

    async def _neighbours(self, first: int) -> Iterable[Row]:
        """Return what lies directly behind, asked for all at once; deleted ones are left out."""
        stop = first + self._pipeline if self._end is None else min(first + self._pipeline, self._end)
        asked = [fetch_message(self._jetstream, self._source.stream, sequence) for sequence in range(first, stop)]
        rows: list[Row] = []
        for row in await asyncio.gather(*asked):
            if row is None:
                if self._end is None:
                    break  # it may be there in a moment
                continue
            if self._source.subject is None or covers(self._source.subject, row.subject.decode(errors="surrogateescape")):
                rows.append(row)
        return rows

    async def _batch_direct(self) -> list[Row]:
        """Ask for one batch. Raises TimedOut where its end does not come; each message is asked for by itself then."""
        if not self._sid:
            self._inbox = self.link.new_inbox()
            self._sid = await self.link.subscribe(f"{self._inbox}.*", Sink(self.link.guard(self._arrived)))
        question: Json = {"seq": self._next, "batch": BATCH, "max_bytes": self._batch_bytes}
        if self._source.subject is not None:
            question["next_by_subj"] = self._source.subject
        payload = orjson.dumps(question)
        # answers to an older question must not mix in
        self._questions += 1
        self._asked = b"%b.%d" % (self._inbox.encode(), self._questions)
        self._answers, self._ended = [], False
        if not self.link.write(b"PUB %b %b %d\r\n%b\r\n" % (self._asked_on.encode(), self._asked, len(payload), payload)):
            raise Unreachable("The connection was lost.")
        while not self._ended and self._direct:
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), ANSWER_SECONDS)
            except TimeoutError:
                self._direct = False  # one answer to one question comes through where several may not (an import of another account's API)
                raise TimedOut(f"Stream {self._source.stream} did not answer in time.") from None
            if not self.link.connected:
                self._batch_bytes = fewer_bytes(self._batch_bytes)
                raise Unreachable("The connection was lost.")
        if self._answers and answer_status(self._answers[-1]):
            # allow_direct may have been taken back meanwhile
            self._direct = self._direct and answer_status(self._answers.pop()) != NO_RESPONDERS
        if self._answers and stream_of(self._answers[0]) != self._source.stream.encode():
            # a mirror answers for its origin (mirror_direct) and keeps what is handled there
            self._direct = False
            return []
        return [row_of(delivery) for delivery in self._answers]

    def _arrived(self, messages: list[Delivery]) -> None:
        if messages[0][0][1] != self._asked or messages[-1][0][1] != self._asked:
            messages = [delivery for delivery in messages if delivery[0][1] == self._asked]
        if messages:
            self._answers += messages
            self._ended = answer_status(messages[-1]) != 0
            self._heard.set()

    @property
    def _asked_on(self) -> str:
        return f"{self._jetstream.prefix}.DIRECT.GET.{self._source.stream}"

    def refused(self, kind: str, subject: str) -> None:
        """A login that may not ask for batches may still ask for each message."""
        if kind == "publish" and subject == self._asked_on:
            self._direct = False
            self._heard.set()

    def lost(self) -> None:
        self._heard.set()

    def batch(self, items: list[Row]) -> Batch:
        return Fetched(items, self._source.stream)

    async def more(self) -> None:
        self._room.set()

    async def let_go(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._sid:
            await self.link.unsubscribe(self._sid)
