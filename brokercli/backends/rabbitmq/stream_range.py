"""What a stream holds, asked of the stream itself: its first offset, its end, the first offset at a time.

AMQP 0.9.1 has no question for that, and the broker moves a start that is not stored to one that is without a word. What the
management API says is up to five seconds old. So a consumer is opened there and looked at: the broker sends what it has
before it answers the next question on the channel (verified on 4.3.6), so that an answer without a delivery before it says
that there is nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.bulk_frames import Delivery, Returned
from brokercli.backends.rabbitmq.failures import translate
from brokercli.backends.rabbitmq.link import Link, Step
from brokercli.backends.rabbitmq.records import offset_of
from brokercli.model.errors import BrokercliError, Unreachable

Place = str | int | datetime
"""As `x-stream-offset` takes it: first, last, next, an offset, a time in whole seconds."""
# more than one chunk holds, so that a chunk comes in one go
_ALL = 10_000
_NANOSECONDS = 1_000_000_000


class Edge(NamedTuple):
    """Where the visible records of a stream begin or end."""

    offset: int
    largest: int
    """The size of the largest body that was seen on the way."""


def consume(queue: str, place: Place, prefetch: int) -> tuple[Step, ...]:
    """Return the questions that open a consumer; what it gets goes to the channel's sink."""
    return (lambda channel, answered: channel.basic_qos(prefetch_count=prefetch, callback=answered),
            lambda channel, answered: channel.basic_consume(queue, _ignore, arguments={"x-stream-offset": place}, callback=answered))


def first_at(link: Link, queue: str, place: Place) -> Edge | None:
    """Return the first visible record from a place on; None where there is none yet."""
    return _probe(link, queue, place, 1, lambda deliveries: deliveries[0])


def end_of(link: Link, queue: str) -> Edge | None:
    """Return one past the last visible record; None where there is no record."""
    last = _probe(link, queue, "last", _ALL, lambda deliveries: deliveries[-1])
    return None if last is None else Edge(last.offset + 1, last.largest)


def at_time(nanoseconds: int) -> datetime:
    """Return a time as `x-stream-offset` takes it: whole seconds, none of them before 1970 or after what Python knows."""
    return datetime.fromtimestamp(min(max(0, nanoseconds // _NANOSECONDS), 253_402_300_799), UTC)


def _probe(link: Link, queue: str, place: Place, prefetch: int, choose: Callable[[list[Delivery]], Delivery]) -> Edge | None:
    probe = _Probe(queue, once=prefetch == 1)
    link.post(lambda: link.open_channel(probe, consume(queue, place, prefetch), probe.opened, probe.failed, probe.failed))
    try:
        deliveries = probe.found.result(link.where.connect_timeout * 2)
    except FutureTimeout:
        raise Unreachable(f"{link.where} did not answer about the stream {queue}.", hint="the broker may be overloaded") from None
    except BrokercliError:
        raise
    except Exception as problem:  # noqa: BLE001  whatever pika raises has a translation
        raise translate(problem, f"reading the stream {queue}", link.where) from None
    if not deliveries:
        return None
    return Edge(offset_of(choose(deliveries)), max(len(delivery.body) for delivery in deliveries))


class _Probe:
    """Collects deliveries until an answer comes without one before it."""

    def __init__(self, queue: str, *, once: bool) -> None:
        self.found: Future[list[Delivery]] = Future()
        self._queue = queue
        self._once = once
        self._deliveries: list[Delivery] = []
        self._seen = 0
        self._channel: Any = None

    def opened(self, channel: Any, answers: list[Any]) -> None:
        self._channel = channel
        self._ask()

    def failed(self, problem: BaseException) -> None:
        if not self.found.done():
            self.found.set_exception(problem)

    def delivered(self, deliveries: list[Delivery]) -> None:
        if self._once:
            self._deliveries = self._deliveries or deliveries[:1]
        else:
            # bodies of a whole chunk would be kept for their sizes only
            self._deliveries += deliveries

    def returned(self, message: Returned) -> None:
        raise AssertionError("nothing is published here")

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        raise AssertionError("nothing is published here")

    def _ask(self) -> None:
        self._channel.queue_declare(self._queue, passive=True, callback=self._answered)

    def _answered(self, answer: Any) -> None:
        seen, self._seen = self._seen, len(self._deliveries)
        if self._seen > seen and not self._once:
            self._channel.basic_ack(self._deliveries[-1].tag, multiple=True)
            self._ask()
        else:
            self._channel.close()
            self.found.set_result(self._deliveries)


def _ignore(*arguments: Any) -> None:
    """What pika would call for a delivery; the sink gets them."""
