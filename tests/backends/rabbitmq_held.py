"""A connection to a queue of letters that does what it is told, and what holds letters over it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

from brokercli.backends.rabbitmq import holding
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.counting import Count
from brokercli.backends.rabbitmq.failures import NoSuch
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.errors import BrokercliError

_SETTLE = struct.Struct(">BHI4sQBB")
ACK, NACK = b"\0\x3c\0\x50", b"\0\x3c\0\x78"
MULTIPLE, REQUEUE = 1, 2
GONE = NoSuch("There is no queue orders.dlq.")


class Channel:
    """One that answers at once, unless it is mute."""

    channel_number = 7
    is_open = True

    def __init__(self) -> None:
        self.mute = self.ended = False
        self.unanswered: list[Callable[[Any], None]] = []
        self.prefetches: list[int] = []
        self.consumers: list[str] = []
        self.cancelled: list[str] = []
        self.arguments: Any = None

    def basic_qos(self, *, prefetch_count: int, callback: Callable[[Any], None] | None = None) -> None:
        self.prefetches.append(prefetch_count)
        self._answer(callback)

    def basic_consume(self, queue: str, ignore: Any, *, consumer_tag: str, arguments: Any, callback: Callable[[Any], None]) -> None:
        self.consumers.append(consumer_tag)
        self.arguments = arguments
        self.begun = lambda: callback(None)
        if not self.mute:
            callback(None)

    def basic_cancel(self, consumer: str, *, callback: Callable[[Any], None] | None = None) -> None:
        self.cancelled.append(consumer)
        self._answer(callback)

    def _answer(self, callback: Callable[[Any], None] | None) -> None:
        if callback is not None and self.mute:
            self.unanswered.append(callback)
        elif callback is not None:
            callback(None)

    def add_on_cancel_callback(self, callback: Callable[[Any], None]) -> None:
        self._cancel = callback

    def cancel(self) -> None:
        self.ended = True
        self._cancel(None)

    def add_on_close_callback(self, callback: Callable[..., None]) -> None:
        self.closed = lambda: callback(self, None)

    def close(self) -> None:
        self.is_open = False
        if self.ended and not self.mute:
            self.closed()


class Broker:
    """A connection to a queue that says of itself what it is told to say."""

    where = "amqp://host"
    failure: BrokercliError | None = None

    def __init__(self, *counts: Count | BrokercliError) -> None:
        self.live = self
        self.watchers: list[Any] = []
        self.channel = Channel()
        self.said: list[tuple[bytes, int, int]] = []
        self.counts = list(counts)
        """What it says one after the other; the last again and again."""
        self.gone = False
        self.asked_whether_there = 0
        self.there: BrokercliError | None = GONE
        """What it says of its queue when it has ended a consumer of it; None: that it is there."""
        self.ticks: list[Callable[[], None]] = []
        self._opening: list[Callable[[], None]] = []

    def post(self, callback: Callable[[], None]) -> None:
        callback()

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        if seconds < holding._TICK_SECONDS:
            callback()
        else:
            self.ticks.append(callback)

    def open_channel(self, sink: Any, steps: Any, done: Any, failed: Any, ended: Any = None) -> None:
        if sink is None and self.channel.ended:
            self.asked_whether_there += 1
            done(Channel(), [None]) if self.there is None else failed(self.there)
        elif sink is None:
            done(Channel(), [self._count()])
        else:
            self._opening.append(lambda: done(self.channel, []))

    @property
    def asked(self) -> int:
        return len(self._opening)

    def open(self) -> None:
        self._opening.pop()()

    def tick(self) -> None:
        self.ticks.pop()()

    def ask(self, doing: str, *steps: Any, timeout: float = 0, keep: bool = False) -> list[Any]:
        if self.gone:
            raise GONE
        return [self._count() for _ in steps] if doing == "putting letters back" else []

    def _count(self) -> Count:
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        if isinstance(count, BrokercliError):
            raise count
        return count

    def emit(self, frames: bytes) -> None:
        for start in range(0, len(frames), _SETTLE.size):
            kind, channel, _, method, tag, bits, _ = _SETTLE.unpack_from(frames, start)
            assert (kind, channel) == (1, 7)
            assert method == ACK or sorted(self.channel.cancelled) == sorted(self.channel.consumers), "what goes back would come again"
            self.said.append((method, tag, bits))


class Held:
    """Letters that are held, and how often all were said to be back."""

    def __init__(self, broker: Broker, wanted: int, *, part: int = 16, others: int = 0, rescue: str = "", lasting: bool = False,
                 together: bool = False) -> None:
        self.broker = broker
        self.back = 0
        self.holding = Holding(cast("Link", broker), "orders.dlq", wanted, part=part, others=others, rescue=rescue, lasting=lasting,
                               together=together, taking=lambda: self._all_back)

    def _all_back(self) -> None:
        self.back += 1

    def deliver(self, *tags: int, size: int = 10) -> None:
        self.holding.delivered([Delivery(tag, False, b"", b"orders.dlq", b"\0\0", b"." * size) for tag in tags])

    def taken(self, *parts: Sequence[int]) -> Held:
        self.broker.open()
        for part in parts:
            self.deliver(*part)
            assert [delivery.tag for delivery in self.holding.take(0) or ()] == list(part)
        return self
