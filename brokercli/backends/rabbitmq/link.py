"""One connection on a thread of its own: heartbeats are answered however slow we are, and it comes back when it is lost.

Only `post` crosses threads (pika's `add_callback_threadsafe`); everything else here runs on the connection's thread unless
it says otherwise.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from time import monotonic
from typing import Any, Protocol

from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter
from pika.exceptions import NoFreeChannels

from brokercli.backends.rabbitmq.bulk_frames import BulkConnection, NotAMQP, Sink
from brokercli.backends.rabbitmq.connect import address, explain_end_of_tls, explain_login, open_socket, parameters, port_of
from brokercli.backends.rabbitmq.diagnose import explain_greeting, explain_silence
from brokercli.backends.rabbitmq.failures import NO_ANSWER, NotLetIn, NoVirtualHost, deleted_with_all, ended_for_good, too_few_channels, translate
from brokercli.backends.rabbitmq.opening import Opening, Step
from brokercli.model.amount import amount
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Unreachable

GIVE_UP_SECONDS = 30.0
"""How long a lost connection is tried again before it counts as lost for good; the option `give_up_after` changes it."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0
_LET_IN_SECONDS = 10.0
"""How long a login that was let in before is tried again that is not: its virtual host may be about to be deleted."""
_GOODBYE_SECONDS = 1.0


class Watcher(Protocol):
    """Who wants to know about the connection; called on its thread."""

    def lost(self, reason: str) -> None:
        """It is gone; what was written lately may or may not have arrived."""

    def restored(self) -> None:
        """It is there again; channels are not."""

    def given_up(self, failure: BrokercliError) -> None:
        """It will not come back."""

    def blocked(self, reason: str | None) -> None:
        """The broker takes nothing for the time being (an alarm), or does again (None)."""


class Link:
    """Connects when made, within `connection.connect_timeout` seconds, or raises Unreachable, NotAuthorised or UsageProblem.

    `ask`, `post` and `close` are for other threads.
    """

    def __init__(self, connection: Connection) -> None:
        self.where = connection
        self.live: BulkConnection | None = None
        """The open connection; None while there is none."""
        self.failure: BrokercliError | None = None
        self.watchers: list[Watcher] = []
        self.losses = 0
        """How often the connection was lost."""
        self.server_properties: dict[str, Any] = {}
        self.host = connection.hosts[0]
        """Which of the hosts the connection leads to, or led to last."""
        self._closing = False
        self._spare: Opening | None = None
        self._ended: BaseException | None = None
        parameters(connection)
        self._loop: Any = IOLoop()
        self._services = SelectorIOServicesAdapter(self._loop)
        first: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, args=(first,), name="rabbitmq", daemon=True)
        self._thread.start()
        try:
            first.result()
        except BaseException:
            self.close()
            raise

    # from other threads

    def post(self, callback: Callable[[], None]) -> None:
        """Have the connection's thread call this soon; nothing happens once closed."""
        with contextlib.suppress(Exception):
            self._loop.add_callback_threadsafe(callback)

    def ask(self, doing: str, *steps: Step, timeout: float | None = None, keep: bool = False) -> list[Any]:
        """Ask questions on a channel of their own, one after the other, and return the answers; waits for a lost connection.
        `keep` is for those that leave nothing on their channel: see `question`.

        Raises what `failures.translate` makes of a refusal, and Unreachable where no answer comes.
        """
        answers: Future[list[Any]] = Future()
        seconds = self.where.connect_timeout * 2 if timeout is None else timeout
        deadline = monotonic() + seconds
        self.post(lambda: self._ask(steps, answers, deadline, keep))
        try:
            return answers.result(seconds)
        except FutureTimeout:
            raise Unreachable(f"{self.where} did not answer while {doing}.", hint=NO_ANSWER) from None
        except BrokercliError:
            raise
        except Exception as problem:  # noqa: BLE001  whatever pika raises has a translation
            raise translate(problem, doing, self.where) from None

    def require_channels(self, count: int) -> None:
        """Raise Failed where the broker lets a connection have fewer channels than that."""
        live = self.live
        if live is not None and 0 < live.params.channel_max < count:
            raise too_few_channels(f"{amount(int(live.params.channel_max), 'channel')}", f"and this takes {count}")

    def close(self) -> None:
        """Say goodbye, for a second at most, and end the thread."""
        if self._closing:
            return
        self._closing = True
        self.post(self._say_goodbye)
        self._thread.join(_GOODBYE_SECONDS)
        if self._thread.is_alive():
            # a broker with an alarm reads nothing, not even a goodbye
            self.post(self._hang_up)
            self._thread.join(_GOODBYE_SECONDS)

    # on the connection's thread

    def open_channel(self, sink: Sink | None, steps: Sequence[Step], done: Callable[[Any, list[Any]], None], failed: Callable[[BaseException], None],
                     ended: Callable[[BaseException], None] | None = None) -> None:
        """Open a channel, ask `steps` on it, and call `done` with it and the answers, or `failed` with what ended it before;
        `ended` is called when it ends later, but not when the whole connection is lost."""
        live = self.live
        if live is None or not live.is_open:
            failed(self.failure or Unreachable(f"{self.where} is not connected."))
            return
        self._opening(live, sink, steps, done, failed, ended)

    def question(self, steps: Sequence[Step], done: Callable[[list[Any]], None], failed: Callable[[BaseException], None]) -> None:
        """Ask what leaves nothing on its channel, and keep that for the next such question: opening one costs both sides several times
        as much as a question. A refusal ends it."""
        spare, self._spare = self._spare, None

        def finished(channel: Any, answers: list[Any]) -> None:
            if self._spare is None:
                self._spare = asked
            else:
                channel.close()
            done(answers)

        asked: Opening | None
        if spare is not None and spare.usable(self.live):
            asked = spare
            spare.again(steps, finished, failed)
            return
        live = self.live
        if live is None or not live.is_open:
            failed(self.failure or Unreachable(f"{self.where} is not connected."))
            return
        asked = self._opening(live, None, steps, finished, failed, None)

    def _opening(self, live: BulkConnection, sink: Sink | None, steps: Sequence[Step], done: Callable[[Any, list[Any]], None],
                 failed: Callable[[BaseException], None], ended: Callable[[BaseException], None] | None) -> Opening | None:
        try:
            return Opening(live, sink, steps, done, failed, ended)
        except NoFreeChannels as problem:
            # raised on this thread it would end the connection, which serves others as well
            failed(problem)
            return None

    def later(self, seconds: float, callback: Callable[[], None]) -> Any:
        """Call back after a while, on this thread; returns what `forget` takes."""
        return self._loop.call_later(seconds, self._guard(callback))

    def forget(self, timer: Any) -> None:
        """Do not call back."""
        self._loop.remove_timeout(timer)

    def reconnect(self) -> None:
        """Drop the connection and make a new one; the watchers are told."""
        if self.live is not None:
            self.live.abort()

    def give_up(self, failure: BrokercliError) -> None:
        """Count the connection as lost for good."""
        if self.failure is None and not self._closing:
            self.failure = failure
            for watcher in list(self.watchers):
                watcher.given_up(failure)

    def _guard(self, callback: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as problem:  # noqa: BLE001  it would end the thread, and whoever waits for it would wait for ever
                self.give_up(translate(problem, "working", self.where))
        return guarded

    def _ask(self, steps: Sequence[Step], answers: Future[list[Any]], deadline: float, keep: bool) -> None:
        if self.failure is not None:
            answers.set_exception(self.failure)
            return
        if (self.live is None or not self.live.is_open) and monotonic() < deadline:
            self.later(_FIRST_WAIT / 2, lambda: self._ask(steps, answers, deadline, keep))
            return

        def done(channel: Any, results: list[Any]) -> None:
            channel.close()
            answers.set_result(results)
        try:
            if keep:
                self.question(steps, answers.set_result, answers.set_exception)
            else:
                self.open_channel(None, steps, done, answers.set_exception)
        except Exception as problem:  # noqa: BLE001  goes to whoever asked
            answers.set_exception(problem)

    def _serve(self, first: Future[None]) -> None:
        try:
            self._keep_connected(first)
        except Exception as problem:  # noqa: BLE001  whoever waits for this thread must hear of its end
            self.give_up(translate(problem, "serving the connection", self.where))
        finally:
            self._services.close()

    def _keep_connected(self, first: Future[None]) -> None:
        try:
            self._establish()
        except BaseException as problem:  # noqa: BLE001  goes to whoever connects
            first.set_exception(problem)
            return
        first.set_result(None)
        wait, since, short_lives = _FIRST_WAIT, 0.0, 0
        while not self._closing and self.failure is None:
            if self.live is not None:
                began = monotonic()
                self._loop.start()
                if self._closing or self.failure is not None:
                    break
                since, wait = monotonic(), _FIRST_WAIT
                reason = _reason_of(self._ended)
                self.losses += 1
                for watcher in list(self.watchers):
                    self._guard(watcher.lost)(reason)
                if (final := ended_for_good(self._ended, self.where.virtual_host)) is not None:
                    self.give_up(final)
                    break
                # a broker that takes us in and ends it at once is not asked without a pause; the first time may be chance
                short_lives = short_lives + 1 if since - began < _LONGEST_WAIT else 0
                if short_lives > 1:
                    self._pause(min(_FIRST_WAIT * 2 ** min(short_lives, 10), _LONGEST_WAIT))
            try:
                self._establish()
            except BrokercliError as problem:
                self._after_failed_attempt(problem, since)
                self._pause(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            for watcher in list(self.watchers):
                self._guard(watcher.restored)()
        if self.live is not None:
            self._hang_up()
            self._loop.start()
        while not self._closing:
            # it is lost for good: whoever still asks is told so
            self._loop.start()

    def _pause(self, seconds: float) -> None:
        """Serve what is posted meanwhile, and nothing else."""
        timer = self._loop.call_later(seconds, self._loop.stop)
        self._loop.start()
        self._loop.remove_timeout(timer)

    def _after_failed_attempt(self, problem: BrokercliError, since: float) -> None:
        limit, away = float(self.where.options.get("give_up_after", GIVE_UP_SECONDS)), monotonic() - since
        if isinstance(problem, NoVirtualHost):
            self.give_up(deleted_with_all(self.where.virtual_host))
        elif not isinstance(problem, Unreachable if away > min(limit, _LET_IN_SECONDS) else (Unreachable, NotLetIn)):
            self.give_up(problem)
        elif away > limit:
            self.give_up(Unreachable(f"{self.where} has been away for {limit:g} s: {problem}", hint=problem.hint))

    def _establish(self) -> None:
        deadline = monotonic() + self.where.connect_timeout
        failures: list[BrokercliError] = []
        hosts = self.where.hosts
        for number, (host, port) in enumerate(hosts):
            seconds = max(0.1, (deadline - monotonic()) / (len(hosts) - number))
            try:
                self._open(host, port_of(self.where, port), seconds)
                self.host = host, port
                return
            except BrokercliError as failure:
                failures.append(failure)
        # a login that one host refuses says more than that another is down
        raise next((failure for failure in failures if not isinstance(failure, Unreachable)), failures[0])

    def _open(self, host: str, port: int, seconds: float) -> None:
        deadline = monotonic() + seconds
        connected = open_socket(self.where, host, port, seconds)
        self._ended = None
        opening = BulkConnection(parameters(self.where), self._services, self._on_open, self._on_end, self._on_end, self._on_bug)
        opening.add_on_connection_blocked_callback(self._on_blocked)
        opening.add_on_connection_unblocked_callback(self._on_unblocked)
        opening.start(connected, encrypted=self.where.tls is not None)
        # what is left is for finding out why
        timer = self._loop.call_later(max(0.05, (deadline - monotonic()) * 0.8), self._loop.stop)
        self._loop.start()
        self._loop.remove_timeout(timer)
        if self.live is opening:
            self.server_properties = opening.server_properties or {}
            return
        where = address(self.where, host, port)
        greeting, closed_by, ended = opening.greeting, opening.closed_by_broker, self._ended
        if ended is None:
            opening.abort()
            self._loop.start()
            if not greeting:
                raise explain_silence(where, host, port, max(0.1, deadline - monotonic()))
            raise Unreachable(f"{where}: the broker did not finish the login within {seconds:.3g} s.", hint="it may be overloaded or starting")
        if closed_by is None and not greeting and self.where.tls is not None:
            raise explain_end_of_tls(where, self.where.tls, host, port, max(0.2, deadline - monotonic()))
        if closed_by is None and (isinstance(ended, NotAMQP) or not greeting):
            raise explain_greeting(self.where, where, greeting, host, port, max(0.2, deadline - monotonic()))
        raise explain_login(self.where, where, closed_by, ended)

    def _on_open(self, connection: BulkConnection) -> None:
        self.live = connection
        self._loop.stop()

    def _on_end(self, connection: BulkConnection, problem: BaseException) -> None:
        if self.live is connection:
            self.live = None
        self._ended = problem
        self._loop.stop()

    def _on_bug(self, problem: Exception) -> None:
        self.give_up(translate(problem, "reading frames", self.where))

    def _on_blocked(self, connection: Any, method: Any) -> None:
        for watcher in list(self.watchers):
            watcher.blocked(method.method.reason)

    def _on_unblocked(self, connection: Any, method: Any) -> None:
        for watcher in list(self.watchers):
            watcher.blocked(None)

    def _say_goodbye(self) -> None:
        if self.live is not None and self.live.is_open:
            self.live.close()
        elif self.live is None:
            self._loop.stop()

    def _hang_up(self) -> None:
        if self.live is not None:
            self.live.abort()


def _reason_of(problem: BaseException | None) -> str:
    code = getattr(problem, "reply_code", None)
    if code is not None:
        # what Erlang prints it breaks into lines
        return f"the broker closed the connection: {' '.join(getattr(problem, 'reply_text', '').split())} ({code})"
    return "the connection broke"
