"""What a stream holds, asked of the stream itself: its first offset, its end, the first offset at a time.

AMQP 0.9.1 has no question for that, and the broker moves a start that is not stored to one that is without a word. What the
management API says is up to five seconds old. So a consumer is opened there and looked at: a chunk comes as a whole, and an
answer to the next question on the channel without a delivery before it says that there is nothing more. The very first
delivery may come after that answer, because the stream's own process has to wake the channel (RabbitMQ's osiris), so for
that there is some patience.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.bulk_frames import Delivery, Returned
from brokercli.backends.rabbitmq.failures import failed_itself, translate
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.opening import Step
from brokercli.backends.rabbitmq.records import offset_of
from brokercli.backends.rabbitmq.unconvertible import no_form_for_record
from brokercli.model.errors import BrokercliError, Unreachable

Place = str | int | datetime
"""As `x-stream-offset` takes it: first, last, next, an offset, a time in whole seconds."""
# more than one chunk holds, so that a chunk comes in one go
_ALL = 10_000
_NANOSECONDS = 1_000_000_000
_PATIENCE, _PATIENCE_WITH_NOTHING = 2.0, 0.25
"""Seconds to wait for the first delivery where the broker counts messages, and where it counts none."""
_LOOK_AGAIN = 0.02


class Edge(NamedTuple):
    """Where the visible records of a stream begin or end."""

    offset: int
    largest: int
    """The size of the largest body that was seen on the way."""


def consume(queue: str, place: Place, prefetch: int) -> tuple[Step, ...]:
    """Return the questions that open a consumer; what it gets goes to the channel's sink."""
    return (lambda channel, answered: channel.basic_qos(prefetch_count=prefetch, callback=answered),
            lambda channel, answered: channel.basic_consume(queue, _ignore, arguments={"x-stream-offset": place}, callback=answered))


def first_at(link: Link, queue: str, place: Place, at_least: float = 0.0) -> Edge | None:
    """Return the first visible record from a place on; None where there is none yet. `at_least` so many seconds it is waited for."""
    found = _probe(link, queue, place, 1, at_least)
    return None if found is None else Edge(found.first, found.largest)


def ask_first(link: Link, queue: str, answered: Callable[[int | None], None]) -> None:
    """Have somebody told the first visible offset, None where that was not to be learnt; he is not told where the connection is lost meanwhile. Both
    are on the connection's thread."""
    def told(found: Future[_Found | None]) -> None:
        if found.exception() is None:
            first = found.result()
            answered(None if first is None else first.first)
        elif link.live is not None and link.live.is_open:
            answered(None)

    probe = _Probe(link, queue, "first", once=True)
    probe.found.add_done_callback(told)
    link.open_channel(probe, consume(queue, "first", 1), probe.opened, probe.failed, probe.failed)


def end_of(link: Link, queue: str) -> Edge | None:
    """Return one past the last visible record; None where there is no record."""
    found = _probe(link, queue, "last", _ALL)
    return None if found is None else Edge(found.last + 1, found.largest)


def range_of(link: Link, queue: str) -> tuple[Edge, Edge] | None:
    """Return where the visible records begin and end; None where there is no record."""
    found = _probe(link, queue, "last", _ALL)
    if found is None:
        return None
    if found.first == 0:
        # the last chunk is the first one as well, and to ask for that costs the broker a consumer
        return Edge(0, found.largest), Edge(found.last + 1, found.largest)
    # where all that was there is deleted meanwhile, nothing is left of it
    first = first_at(link, queue, "first") or Edge(found.last + 1, 0)
    return first, Edge(max(first.offset, found.last + 1), found.largest)


def at_time(nanoseconds: int) -> datetime:
    """Return a time as `x-stream-offset` takes it: whole seconds, none of them before 1970 or after what Python knows."""
    return datetime.fromtimestamp(min(max(0, nanoseconds // _NANOSECONDS), 253_402_300_799), UTC)


class _Found(NamedTuple):
    first: int
    last: int
    largest: int


def _probe(link: Link, queue: str, place: Place, prefetch: int, at_least: float = 0.0) -> _Found | None:
    probe = _Probe(link, queue, place, once=prefetch == 1, at_least=at_least)
    link.watchers.append(probe)
    link.post(lambda: link.open_channel(probe, consume(queue, place, prefetch), probe.opened, probe.failed, probe.failed))
    try:
        return probe.found.result(link.where.connect_timeout * 2 + max(_PATIENCE, at_least))
    except FutureTimeout:
        raise Unreachable(f"{link.where} did not answer about the stream {queue}.", hint="the broker may be overloaded") from None
    except BrokercliError:
        raise
    except Exception as problem:  # noqa: BLE001  whatever pika raises has a translation
        raise translate(problem, f"reading the stream {queue}", link.where) from None
    finally:
        link.watchers.remove(probe)


class _Probe:
    """Looks at deliveries until an answer comes without one before it; waits for the first where there may be one."""

    def __init__(self, link: Link, queue: str, place: Place, *, once: bool, at_least: float = 0.0) -> None:
        self.found: Future[_Found | None] = Future()
        self._link = link
        self._queue = queue
        self._place = place
        self._once = once
        self._at_least = at_least
        self._seen: _Found | None = None
        self._tag = self._asked_at = 0
        self._channel: Any = None
        self._began = 0.0

    def opened(self, channel: Any, answers: list[Any]) -> None:
        self._channel = channel
        self._began = monotonic()
        self._ask()

    def failed(self, problem: BaseException) -> None:
        if not self.found.done():
            self.found.set_exception(problem)

    def lost(self, reason: str) -> None:
        if failed_itself(reason):
            self.failed(no_form_for_record(self._queue, None))

    def restored(self) -> None:
        """Whoever asked waits no longer."""

    def given_up(self, failure: BrokercliError) -> None:
        self.failed(failure)

    def blocked(self, reason: str | None) -> None:
        """Concerns publishers only."""

    def delivered(self, deliveries: list[Delivery]) -> None:
        if self._once and self._seen is not None:
            return
        if self._once:
            deliveries = deliveries[:1]
        last, largest = offset_of(deliveries[-1]), max(len(delivery.body) for delivery in deliveries)
        seen = self._seen
        self._seen = _Found(offset_of(deliveries[0]), last, largest) if seen is None else _Found(seen.first, last, max(seen.largest, largest))
        self._tag = deliveries[-1].tag

    def returned(self, message: Returned) -> None:
        raise AssertionError("nothing is published here")

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        raise AssertionError("nothing is published here")

    def _ask(self) -> None:
        if self._channel.is_open:
            self._asked_at = self._tag
            self._channel.queue_declare(self._queue, passive=True, callback=self._answered)

    def _answered(self, answer: Any) -> None:
        if self._seen is None and monotonic() - self._began < self._patience(answer.method.message_count):
            self._link.later(_LOOK_AGAIN, self._ask)
        elif self._tag > self._asked_at and not self._once:
            self._channel.basic_ack(self._tag, multiple=True)
            self._ask()
        else:
            self._channel.close()
            self.found.set_result(self._seen)

    def _patience(self, counted: int) -> float:
        # the count is up to five seconds old; that it is not 0 is certain, and that after a time there is nothing is usual
        return max(self._at_least, _PATIENCE if counted and not isinstance(self._place, datetime) else _PATIENCE_WITH_NOTHING)


def _ignore(*arguments: Any) -> None:
    """What pika would call for a delivery; the sink gets them."""
