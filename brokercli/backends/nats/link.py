"""One connection on a thread of its own, served however slow we are; questions and answers over it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError as ThreadCancelled
from dataclasses import dataclass
from typing import Any, TypeVar

from brokercli.backends.contract import ANSWER_SECONDS
from brokercli.backends.nats.bulk_parser import BulkParser, Delivery, Sink, split_headers, status_of
from brokercli.backends.nats.connect import as_failure, connect
from brokercli.backends.nats.failures import inbox_prefix, not_permitted
from brokercli.backends.nats.refusals import Refusals
from brokercli.backends.nats.transport import CheckedTransport
from brokercli.backends.nats.watcher import Watcher
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Bug, NotAuthorised, TimedOut, Unreachable

Result = TypeVar("Result")
Item = TypeVar("Item")

GIVE_UP_SECONDS = 30.0
"""How long a lost connection is tried again before it counts as lost for good: whoever publishes or redrives may say otherwise, and the option
`give_up_after` has the last word."""
NO_RESPONDERS = 503


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back on an inbox: a status (0 where it is a message), its header block and its body."""

    status: int
    headers: bytes
    body: bytes


class Link:
    """Connects when made. `run` and `post` are for other threads, everything async for the connection's own."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.connected = False
        self.failure: BrokercliError | None = None
        self.watchers: list[Watcher] = []
        self.too_large: int | None = None
        """Of messages this large, headers included, it is known that the server takes none from this account."""
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._giving_up: asyncio.TimerHandle | None = None
        self._waiting: dict[bytes, tuple[str, asyncio.Future[Answer]]] = {}
        self._back = asyncio.Event()
        self._gone = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._inboxes: dict[int, str] = {}
        self._inbox = ""
        self._listening = asyncio.Lock()
        self._last_problem = ""
        self._give_up_after = float(connection.options.get("give_up_after", GIVE_UP_SECONDS))
        self._thread = threading.Thread(target=self._serve, name="nats", daemon=True)
        self._thread.start()
        self._client: Any
        self._parser: BulkParser
        self._transport: CheckedTransport
        try:
            self.run(self._open())
        except BaseException:
            self._stop()
            raise

    # from other threads

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run on the connection's thread and wait for the result."""
        return self.begin(work)()

    def begin(self, work: Coroutine[Any, Any, Result]) -> Callable[[], Result]:
        """Run on the connection's thread, and return what waits for the result."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)

        def finish() -> Result:
            try:
                return future.result()
            except ThreadCancelled:
                raise Unreachable(f"The connection to {self.connection} was closed meanwhile.") from None
            except BaseException:
                future.cancel()
                raise
        return finish

    def post(self, callback: Callable[..., object], *arguments: object) -> None:
        """Have the connection's thread call this soon; nothing happens once closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have the connection's thread run this; whatever it raises gives the connection up, so that nobody waits for ever."""
        self.post(self._start, work)

    def tidy(self, work: Coroutine[Any, Any, None], seconds: float = 2.0) -> None:
        """Run and wait, but not for long and whatever happens: for what `close` methods take back."""
        if self._closing or self.failure is not None:
            work.close()
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def give_up_after(self, seconds: float) -> None:
        """Count a connection that is lost from now on as lost for good after so long, unless the option says how long."""
        if "give_up_after" not in self.connection.options:
            self._give_up_after = seconds

    @property
    def patience(self) -> float:
        """For how many seconds what has gone is tried again before it counts as lost for good."""
        return self._give_up_after

    @property
    def why_away(self) -> str:
        """What to add to a sentence about the server; empty while it is connected."""
        return "" if self.connected else f" (the connection is away: {self._last_problem.rstrip('.') or 'no reason given'})"

    def close(self) -> None:
        """Say goodbye, for a second at most, and end the thread."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(1.5)
        self._stop()

    # on the connection's thread

    async def _open(self) -> None:
        self._client, self._parser, self._transport = await connect(self.connection, self)
        self.connected = True
        self._back.set()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            # one that is ended in the midst of connecting again may have begun others
            for _ in range(5):
                if not (pending := asyncio.all_tasks(self._loop)):
                    break
                for task in pending:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self._loop.close()

    def _stop(self) -> None:
        self.post(self._loop.stop)
        self._thread.join(2.0)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except BrokercliError as failure:
            self._give_up(failure)
        except Exception as problem:  # noqa: BLE001  a task nobody awaits must not fail unseen
            self._give_up(Bug("in the NATS backend", problem))

    def guard(self, callback: Callable[[Item], None]) -> Callable[[Item], None]:
        """Wrap what a Sink calls: nats-py would log an exception and read no further, for ever."""
        def guarded(messages: Item) -> None:
            try:
                callback(messages)
            except Exception as problem:  # noqa: BLE001
                self._give_up(Bug("in the NATS backend", problem))
        return guarded

    def new_inbox(self) -> str:
        """Return a subject that nobody else has."""
        return f"{inbox_prefix(self.connection)}.{secrets.token_hex(11)}"

    async def subscribe(self, subject: str, sink: Sink) -> int:
        """Subscribe, and return once the server has it. Raises NotAuthorised where it is not permitted."""
        refusals: list[str] = []
        watcher = Refusals(subject, refusals)
        self.watchers.append(watcher)
        try:
            # the sink must be there before the first message; ids are given in order
            sid: int = self._client._sid + 1
            self._parser.sinks[b"%d" % sid] = sink
            subscription = await self._client.subscribe(subject)
            assert subscription._id == sid
            await self.barrier()
        finally:
            self.watchers.remove(watcher)
        if refusals:
            await self.unsubscribe(sid)
            raise not_permitted("subscription", subject, self.connection)
        if subject.startswith(f"{inbox_prefix(self.connection)}."):
            self._inboxes[sid] = subject
        return sid

    async def unsubscribe(self, sid: int) -> None:
        """Take a subscription back."""
        self._parser.sinks.pop(b"%d" % sid, None)
        self._client._subs.pop(sid, None)
        self._inboxes.pop(sid, None)
        if self.connected:
            self.write(b"UNSUB %d\r\n" % sid)

    def require_answer(self) -> None:
        """Wait until the server has answered, `ANSWER_SECONDS` at most. Raises Unreachable."""
        self.run(self.barrier(ANSWER_SECONDS))

    async def barrier(self, timeout: float = 10.0) -> None:
        """Return once the server has read everything written so far. Raises Unreachable where the connection is lost meanwhile."""
        pong: asyncio.Future[bool] = self._loop.create_future()
        # nats-py writes what it has pending first; without that, what we write ourselves would overtake its SUB
        await self._client._flush_pending(force_flush=True)
        self._client._pongs.append(pong)
        self.write(b"PING\r\n")
        lost = self._loop.create_task(self._gone.wait())
        either: set[asyncio.Future[Any]] = {pong, lost}
        try:
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        if not pong.done():
            raise Unreachable(f"{self.connection} " + ("does not answer." if self.connected else "dropped the connection."))

    @property
    def takes_writes(self) -> bool:
        """Whether what is written now may leave."""
        return self.connected and not self._transport.is_closing()

    def write(self, frames: bytes) -> bool:
        """Write frames; return False where they certainly did not leave."""
        if not self.takes_writes:
            return False
        try:
            self._transport.write(frames)
        except (OSError, AttributeError):
            return False
        return True

    async def ask(self, subject: str, payload: bytes, timeout: float = 5.0, *, repeat: bool = True) -> Answer:
        """Send a question and return the answer. With `repeat` it is asked again after a lost connection.

        Raises Unreachable, NotAuthorised where it is not permitted, TimedOut where no answer comes.
        """
        deadline = time.monotonic() + timeout
        while True:
            answer = await self._ask_once(subject, payload, deadline)
            if answer is not None:
                return answer
            if self.failure is not None:
                raise self.failure
            if not repeat:
                raise Unreachable(f"{self.connection} dropped the connection before it answered.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._back.wait(), max(0.01, self._give_up_after))
            deadline = time.monotonic() + timeout

    async def _ask_once(self, subject: str, payload: bytes, deadline: float) -> Answer | None:
        try:
            await self._listen()
        except Unreachable:
            if self.connected:
                raise
            return None
        token = secrets.token_hex(6).encode()
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[token] = (subject, future)
        try:
            if not self.write(b"PUB %b %b.%b %d\r\n%b\r\n" % (subject.encode(errors="surrogateescape"), self._inbox.encode(), token, len(payload), payload)):
                return None
            try:
                return await asyncio.wait_for(future, max(0.01, deadline - time.monotonic()))
            except _Lost:
                return None
            except TimeoutError:
                raise TimedOut(f"{self.connection} did not answer a request to {subject} in time.",
                               hint=f"a permission missing on the answer's subject ({inbox_prefix(self.connection)}.>) looks like this, "
                                    "and so does an overloaded server") from None
        finally:
            self._waiting.pop(token, None)

    async def _listen(self) -> None:
        """Subscribe to answers, at the first question: a login that only hears and publishes may have no inbox."""
        async with self._listening:
            if not self._inbox:
                inbox = self.new_inbox()
                await self.subscribe(f"{inbox}.*", Sink(self._answered))
                self._inbox = inbox

    def _answered(self, messages: list[Delivery]) -> None:
        for delivery in messages:
            _, future = self._waiting.get(delivery[0][1].rpartition(b".")[2], ("", None))
            if future is not None and not future.done():
                headers, body = split_headers(delivery)
                future.set_result(Answer(status_of(headers)[0], headers, body))

    @property
    def max_payload(self) -> int:
        """The most bytes the server takes in one message, headers included, as far as that is known."""
        announced = int(self._client._max_payload)
        return announced if self.too_large is None else min(announced, self.too_large - 1)

    @property
    def server(self) -> dict[str, Any]:
        """What the server last said about itself."""
        return dict(self._client._server_info)

    # what nats-py tells

    def on_server_error(self, text: str) -> None:
        """Take an -ERR. nats-py would close for good on most; the server hangs up itself where it means it."""
        self._last_problem = text
        lowered = text.lower()
        if lowered.startswith("permissions violation for "):
            kind, _, rest = text[len("permissions violation for "):].partition(" to ")
            subject = rest.strip("\"'").partition('"')[0]
            for waiting_for, future in list(self._waiting.values()):
                if waiting_for == subject and not future.done():
                    future.set_exception(not_permitted("publish", subject, self.connection))
            for watcher in list(self.watchers):
                watcher.refused(kind.lower(), subject)
            if kind.lower() == "subscription" and subject in self._inboxes.values():
                # taken back by a reload: whatever is asked or published from now on would stay without an answer (seen on 2.15.1)
                self._give_up(not_permitted("subscription", subject, self.connection))
        elif lowered.startswith("maximum payload violation"):
            # it reads in order and hangs up at one that its account may not send, of which INFO says nothing (seen on 2.15.1): none larger is taken either
            self.too_large = max([watcher.largest_sent() for watcher in self.watchers], default=0) or self.too_large
        elif "authorization" in lowered or "authentication" in lowered:
            self._give_up(NotAuthorised(f"{self.connection} ended the session: {text}.", hint="the login has expired or was revoked"))

    def on_client_error(self, problem: Exception) -> None:
        """Keep the last reason, for the sentence when we give up."""
        failure = as_failure(problem, self.connection)
        self._last_problem = str(failure)
        if isinstance(failure, NotAuthorised):
            self._give_up(failure)

    async def on_disconnected(self) -> None:
        """Tell everybody, and start the clock."""
        if not self.connected or self._closing:
            return
        self.connected = False
        self._back.clear()
        self._gone.set()
        for _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(_Lost())
        for watcher in list(self.watchers):
            watcher.lost()
        self._giving_up = self._loop.call_later(self._give_up_after, self._out_of_time)

    async def on_reconnected(self) -> None:
        """Tell everybody. nats-py has subscribed again by now."""
        if self._giving_up is not None:
            self._giving_up.cancel()
        if self.failure is not None:
            return
        self.connected = True
        self._gone.clear()
        self._back.set()
        for watcher in list(self.watchers):
            self._start(watcher.restored())

    async def on_closed(self) -> None:
        """nats-py has closed by itself."""
        if not self._closing:
            self._give_up(Unreachable(f"The connection to {self.connection} was closed: {self._last_problem or 'no reason given'}."))

    def _out_of_time(self) -> None:
        self._give_up(Unreachable(f"The connection to {self.connection} was lost and could not be re-established within "
                                  f"{self._give_up_after:g} s: {self._last_problem.rstrip('.') or 'no reason given'}."))

    def _give_up(self, failure: BrokercliError) -> None:
        if self.failure is not None or self._closing:
            return
        self.failure = failure
        self.connected = False
        self._back.set()
        for _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(failure)
        for watcher in list(self.watchers):
            watcher.given_up(failure)


class _Lost(Exception):
    """The connection went while an answer was awaited."""
