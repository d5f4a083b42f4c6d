"""Reads the copies that reach a tap: a bounded queue of our own that drops its oldest messages, and says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import chain
from time import monotonic
from typing import Any, NamedTuple

from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient

from brokercli.backends.contract import Reader
from brokercli.backends.handover import Handover
from brokercli.backends.rabbitmq.bulk_frames import Delivery, Returned
from brokercli.backends.rabbitmq.failures import NO_ANSWER, failed_itself, translate
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.opening import Step
from brokercli.backends.rabbitmq.records import RabbitMQBatch
from brokercli.backends.rabbitmq.unconvertible import no_form_for_passing
from brokercli.model.errors import BrokercliError, Failed, NotFound, Unreachable

MOST_WAITING = 10_000
MOST_BYTES_WAITING = 64 * 1024 * 1024
PREFETCH = 250
_HELD_BYTES = 16 * 1024 * 1024
_LARGEST_BATCH = 5000
# the connection deletes the tap when it ends; this is for a broker that does not notice
_UNUSED_MILLISECONDS = 10 * 60 * 1000
_CHECK_SECONDS = 1.0
_BINDINGS_SECONDS = 5.0
"""So often it is asked whether the exchanges are those that were tapped."""
_SURE = 2
"""How often in a row nobody but the tap is seen to get messages before it ends: a worker that is restarted may make its queue anew."""
_GONE_SECONDS = 3.0
_NO_PERMISSION = 403


class Binding(NamedTuple):
    """One way messages reach the tap."""

    exchange: str
    routing_key: str
    arguments: dict[str, Any]


class TapReader(Reader):
    """What is published from when this returns until it is closed.

    What is not read waits at the broker, `MOST_WAITING` messages or `MOST_BYTES_WAITING` bytes at most; then the oldest are
    dropped, which shows because they are dead lettered into a second queue that holds one. When the connection was lost the
    tap is made again, and what was published in between is missed. Both are said in `notes`, as soon as they are known. Where an
    exchange is deleted, or the queue is unbound, that is said as well; after the last exchange, or the queue, is gone nothing more comes: NotFound.
    """

    def __init__(self, link: Link, bindings: list[Binding], queue: str | None, notes: list[str], give_back: Any,
                 sources_of: Callable[[str], set[str] | None], has_others: Callable[[str], bool | None] | None = None) -> None:
        """Make the tap; raises NotAuthorised, NotFound and Unreachable. `queue` is what its records say they lie in; `sources_of` returns the
        exchanges from which a queue gets messages, None where that is not known, and is asked now and then while messages are read; so is
        `has_others`, whether something else is bound to the one exchange: where nothing is, the tap would make messages count as routed."""
        self._link = link
        self._bindings = bindings
        self._queue = queue
        self._give_back = give_back
        self.notes: list[str] = notes
        self._handover: Handover[list[Delivery]] = Handover(_HELD_BYTES, lambda: link.post(self._resume))
        self._channel: Any = None
        self._unacknowledged = 0
        self._overflow = ""
        """The queue that dropped messages go to; empty where none could be made."""
        self._counts_drops = True
        self._sources_of, self._has_others = sources_of, has_others
        self._tap = ""
        self._tapped = {binding.exchange for binding in bindings}
        """The exchanges that are not known to be gone."""
        self._asked = monotonic()
        self._seen_alone = 0
        self._told: set[str] = set()
        self._timer: Any = None
        self._closed = False
        self._ready = threading.Event()
        self._refusal: BaseException | None = None
        link.watchers.append(self)
        link.post(self._open)
        in_time = self._ready.wait(link.where.connect_timeout * 2)
        if not in_time or self._refusal is not None:
            self._forget()
            if self._refusal is None:
                raise Unreachable(f"{link.where} did not answer while making a tap.", hint=NO_ANSWER)
            raise translate(self._refusal, f"tapping {', '.join(sorted({binding.exchange for binding in bindings})[:3])}", link.where)

    # from the user's thread

    def read(self, timeout: float) -> RabbitMQBatch | None:
        self._look_after_bindings()
        waiting = self._handover.take_together(timeout, _LARGEST_BATCH)
        return RabbitMQBatch(list(chain.from_iterable(waiting)), self._queue, numbered=False) if waiting else None

    def _look_after_bindings(self) -> None:
        if monotonic() < self._asked + _BINDINGS_SECONDS:
            return
        alone = self._has_others is not None and self._has_others(self._tap) is False
        # before the tap's own: what is gone from there as well was deleted, not unbound
        leading = None if self._queue is None else self._sources_of(self._queue)
        tap, sources = self._tap, None if self._channel is None else self._sources_of(self._tap)
        # an answer may take a while
        self._asked = monotonic()
        if not sources or tap != self._tap or self._closed:
            return
        for exchange in sorted(self._tapped - sources):
            self._tapped.discard(exchange)
            gone = f"The exchange {exchange} was deleted while it was tapped"
            if self._tapped:
                self._tell(f"{gone}: what is published to one that is made anew is not shown")
            else:
                self._handover.fail(NotFound(f"{gone}; one that is made anew under its name has not this tap.", hint="the same command taps what is there now"))
                return
        self._seen_alone = self._seen_alone + 1 if alone or leading == set() else 0
        if self._seen_alone >= _SURE and alone:
            self._handover.fail(Failed(f"Nothing but this tap is bound to the exchange {', '.join(self._tapped)} any more, and for it alone messages would"
                                       " count as routed.", hint="the same command taps it once a queue is bound to it"))
        elif self._seen_alone >= _SURE:
            self._handover.fail(NotFound(f"The queue {self._queue} was deleted while what reaches it was shown.",
                                         hint="the same command shows what reaches one that is made anew"))
        for exchange in sorted(self._tapped - leading) if leading else ():
            self._tell(f"{self._queue} gets nothing of {exchange} any more, because it was unbound, and what it would have got is shown until this ends")

    @property
    def finished(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closed:
            self._forget()
            self._give_back()

    def _forget(self) -> None:
        self._closed = True
        if self in self._link.watchers:
            self._link.watchers.remove(self)
        gone = threading.Event()
        self._link.post(lambda: self._let_go(gone))
        # so that whoever looks next finds the broker as it was
        gone.wait(_GONE_SECONDS)

    # on the connection's thread

    def _open(self) -> None:
        if not self._closed:
            self._link.open_channel(self, self._steps(), self._opened, self._failed, self._failed)

    def _steps(self) -> tuple[Step, ...]:
        def make_overflow(channel: Any, answered: Any) -> None:
            def made(answer: Any) -> None:
                self._overflow = answer.method.queue
                answered(answer)

            # only a queue with a consumer deletes itself; this one goes with the connection
            channel.queue_declare("", exclusive=True, callback=made,
                                  arguments={"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "drop-head", "x-expires": _UNUSED_MILLISECONDS})

        def make_tap(channel: Any, answered: Any) -> None:
            arguments = {"x-queue-type": "classic", "x-max-length": MOST_WAITING, "x-max-length-bytes": MOST_BYTES_WAITING, "x-overflow": "drop-head",
                         "x-expires": _UNUSED_MILLISECONDS}
            if self._counts_drops:
                arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self._overflow}
            channel.queue_declare("", exclusive=True, auto_delete=True, arguments=arguments, callback=lambda answer: bind(channel, answer, answered))

        def bind(channel: Any, answer: Any, answered: Any) -> None:
            self._tap = answer.method.queue
            for binding in self._bindings[:-1]:
                channel.queue_bind(self._tap, binding.exchange, binding.routing_key, binding.arguments)
            last = self._bindings[-1]
            channel.queue_bind(self._tap, last.exchange, last.routing_key, last.arguments, callback=answered)

        steps: list[Step] = [make_overflow] if self._counts_drops else []
        return (*steps, make_tap, lambda channel, answered: channel.basic_qos(prefetch_count=PREFETCH, callback=answered),
                lambda channel, answered: channel.basic_consume(self._tap, _ignore, callback=answered))

    def _opened(self, channel: Any, answers: list[Any]) -> None:
        self._channel = channel
        channel.add_on_cancel_callback(self._cancelled)
        if not self._counts_drops:
            self._tell("this login cannot be told when messages are dropped: if they come faster than they are read, the oldest that wait are left out")
        self._timer = self._link.later(_CHECK_SECONDS, self._check_drops)
        self._ready.set()
        self._resume()

    def _failed(self, problem: BaseException) -> None:
        if self._closed or isinstance(problem, ChannelClosedByClient):
            return
        if self._counts_drops and self._channel is None and isinstance(problem, ChannelClosedByBroker) and problem.reply_code == _NO_PERMISSION:
            # to dead letter takes the permission to write to the default exchange; to tap does not
            self._counts_drops = False
            self._open()
        elif not self._ready.is_set():
            self._refusal = problem
            self._ready.set()
        elif self._link.live is not None and self._link.live.is_open:
            self._handover.fail(translate(problem, "reading a tap", self._link.where))

    def _cancelled(self, method: Any) -> None:
        self._handover.fail(Failed("The broker deleted the tap.", hint="somebody deleted its queue, or the node it was on went away"))

    def delivered(self, deliveries: list[Delivery]) -> None:
        tag = deliveries[-1].tag
        go_on = self._handover.offer(deliveries, sum([len(delivery.body) + len(delivery.properties) for delivery in deliveries]))
        if go_on and self._channel is not None:
            self._channel.basic_ack(tag, multiple=True)
            self._unacknowledged = 0
        else:
            self._unacknowledged = tag

    def returned(self, message: Returned) -> None:
        raise AssertionError("nothing is published here")

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        raise AssertionError("nothing is published here")

    def _resume(self) -> None:
        if self._unacknowledged and self._channel is not None and self._channel.is_open:
            self._channel.basic_ack(self._unacknowledged, multiple=True)
            self._unacknowledged = 0

    def _check_drops(self) -> None:
        channel = self._channel
        if channel is None or not channel.is_open or self._closed:
            return
        self._timer = self._link.later(_CHECK_SECONDS, self._check_drops)
        if self._counts_drops:
            channel.queue_declare(self._overflow, passive=True, callback=self._dropped)

    def _dropped(self, answer: Any) -> None:
        if answer.method.message_count:
            self._tell(f"messages came faster than they were read: of those that waited, the oldest were dropped (more than {MOST_WAITING:,},"
                       f" or than {MOST_BYTES_WAITING >> 20} MiB), or expired where they say how long they last")

    def _tell(self, note: str) -> None:
        if note not in self._told:
            self._told.add(note)
            self.notes.append(note)

    def lost(self, reason: str) -> None:
        self._channel = None
        self._unacknowledged = 0
        if self._timer is not None:
            self._link.forget(self._timer)
            self._timer = None
        why = no_form_for_passing(reason) if failed_itself(reason) else reason
        self.notes.append(f"{why}; what is published until it is back is missed")

    def restored(self) -> None:
        self._open()

    def given_up(self, failure: BrokercliError) -> None:
        if not self._ready.is_set():
            self._refusal = failure
            self._ready.set()
        self._handover.fail(failure)

    def blocked(self, reason: str | None) -> None:
        """Concerns publishers only."""

    def _let_go(self, gone: threading.Event) -> None:
        channel, self._channel = self._channel, None
        if channel is None or not channel.is_open:
            gone.set()
            return
        channel.add_on_close_callback(lambda *_: gone.set())
        if self._counts_drops:
            # of what was dropped since this was asked last nobody has been told
            channel.queue_declare(self._overflow, passive=True, callback=lambda answer: self._delete(channel, answer))
        else:
            self._delete(channel)

    def _delete(self, channel: Any, answer: Any = None) -> None:
        if answer is not None:
            self._dropped(answer)
        channel.queue_delete(self._tap)
        if self._overflow:
            channel.queue_delete(self._overflow)
        channel.close()


def _ignore(*arguments: Any) -> None:
    """What pika would call for a delivery; the sink gets them."""
