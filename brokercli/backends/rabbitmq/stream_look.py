"""Reading a stream from a place to a place; a stream keeps what was read, so this leaves no trace."""

from __future__ import annotations

from itertools import chain
from threading import Event
from time import monotonic, sleep
from typing import Any

from pika.exceptions import ChannelClosedByClient

from brokercli.backends.contract import Reader
from brokercli.backends.handover import Handover
from brokercli.backends.rabbitmq.bulk_frames import GATHER_SECONDS, Delivery, Returned
from brokercli.backends.rabbitmq.failures import NoCopy, failed_itself, translate
from brokercli.backends.rabbitmq.link import GIVE_UP_SECONDS, Link
from brokercli.backends.rabbitmq.overtaken import Gap, Overtaken, gaps
from brokercli.backends.rabbitmq.records import RabbitMQBatch, offset_of
from brokercli.backends.rabbitmq.stream_range import ask_first, consume, end_of
from brokercli.backends.rabbitmq.unconvertible import no_form_for_record
from brokercli.model.errors import BrokercliError, NotFound, Unreachable
from brokercli.model.position import Number, Span

PREFETCH = 8000
_HELD_BYTES = 16 * 1024 * 1024
_FEWEST = 8
_LARGEST_BATCH = 5000
_IDLE_SECONDS = 2.0
_OPEN_AGAIN_SECONDS = 0.25
_SURE = 3
"""How often in a row nothing at all is seen in a stream before what is to be read counts as deleted."""
_LAST_WORD_SECONDS = 2.0
"""How long a look that is over waits to be told whether what it passed over had been deleted."""


class StreamReader(Reader):
    """Records from `start` up to `end` (not included; None: for ever), in order.

    Offsets that AMQP clients do not see (compressed batches of stream clients) are passed over; of those that were deleted before they could be
    read it is said that they were. A lost connection is taken up again behind the last record that was read. The broker is asked for no more than
    what fits `_HELD_BYTES`.
    """

    def __init__(self, link: Link, stream: str, start: int | str, end: int | None, largest: int, give_back: Any) -> None:
        """`start` is an offset, or `next` for what comes from now on."""
        self._link = link
        self._stream = stream
        self._end = end
        self._place = start
        self._prefetch = _prefetch_for(largest)
        self._give_back = give_back
        self._closed = self._at_end = False
        self._last_came = monotonic()
        self._handed_on = self._found_nothing = self._found_less = 0
        self._came_back = False
        """The connection was lost since the last record came: there may be another stream of that name."""
        self._overtaken = Overtaken(lambda answered: ask_first(link, stream, answered), link.later)
        self._patient_until = 0.0
        """Until when a node that has no copy of the stream may still get it: one that led it is gone, and with it our connection."""
        self._again: Any = None
        self._channel: Any = None
        self._unacknowledged = 0
        self._alone = 0
        """So many records are to come one by one, because RabbitMQ failed over one of them."""
        self.notes: list[str] = []
        self.expected = None
        self._handover: Handover[list[Delivery]] = Handover(_HELD_BYTES, lambda: link.post(self._resume))
        if end is not None and isinstance(start, int):
            self.expected = max(0, end - start)
            self.bounds = Span(Number(start), Number(max(start, end)))
            if start >= end:
                self._at_end = True
                self._handover.end()
                return
        link.watchers.append(self)
        link.post(self._open)

    # from the user's thread

    def read(self, timeout: float) -> RabbitMQBatch | None:
        waiting = self._handover.take_together(timeout, _LARGEST_BATCH)
        if not waiting:
            self._look_for_the_end()
            self.notes += self._overtaken.unsaid(None if self.finished else self._handed_on)
            return None
        self._last_came = monotonic()
        self._found_nothing = 0
        self._handed_on = offset_of(waiting[-1][-1])
        self.notes += self._overtaken.unsaid(self._handed_on)
        return RabbitMQBatch(list(chain.from_iterable(waiting)), self._stream, numbered=True)

    def _look_for_the_end(self) -> None:
        """End where the records between here and the end were deleted meanwhile, and fail where what was read is of another stream."""
        if (self._end is None and not self._came_back) or self._at_end or monotonic() - self._last_came < _IDLE_SECONDS or self._link.live is None:
            return
        self._last_came = monotonic()
        before = self._place
        try:
            last, place = end_of(self._link, self._stream), self._place
        except NoCopy:
            return  # where that lasts, whoever opens the consumer says it
        except Unreachable:
            if self._end is None:
                return
            raise
        # of a stream that was made anew the broker sends nothing up to the place that was asked for; a copy that is behind catches up
        if self._came_back and last is not None and isinstance(before, int) and last.offset < before:
            self._found_less += 1
            if self._found_less >= _SURE:
                self._handover.fail(NotFound(f"The stream {self._stream} ends at the offset {last.offset} by now, and was read up to {before}: it was deleted"
                                             " and made anew while the connection was lost, or the copy on this node is behind.",
                                             hint="the same command reads what is there now"))
            return
        self._found_less = 0
        self._came_back = self._came_back and last is None
        if self._end is None:
            return
        # a broker that is slow shows nothing as well, for a while
        self._found_nothing = self._found_nothing + 1 if last is None else 0
        shorter = last is not None and isinstance(place, int) and last.offset <= place
        if not self._at_end and isinstance(place, int) and (shorter or self._found_nothing >= _SURE):
            self._overtaken.deleted(Gap(place, self._end))
            self._at_end = True
            self._handover.end()

    @property
    def finished(self) -> bool:
        return self._handover.drained

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._link.post(self._let_go)
        if self._overtaken.open_before(self._handed_on) and self._link.live is not None:
            known = Event()
            self._link.post(lambda: self._overtaken.when_known(known.set))
            known.wait(_LAST_WORD_SECONDS)
        self.notes += self._overtaken.unsaid(None if self.finished else self._handed_on) + self._overtaken.stopped(self._handed_on)
        if self in self._link.watchers:
            self._link.watchers.remove(self)
        self._give_back()

    # on the connection's thread

    def _open(self) -> None:
        self._again = None
        if not self._closed:
            self._link.open_channel(self, consume(self._stream, self._place, self._prefetch), self._opened, self._failed, self._failed)

    def _opened(self, channel: Any, answers: list[Any]) -> None:
        self._channel = channel
        channel.add_on_cancel_callback(self._cancelled)

    def _cancelled(self, method: Any) -> None:
        self._handover.fail(NotFound(f"The stream {self._stream} was deleted, or lost its copy on this node, while it was being read."))

    def _failed(self, problem: BaseException) -> None:
        # with the whole connection gone, `restored` or `given_up` follows; a channel that we closed is no failure
        if self._closed or isinstance(problem, ChannelClosedByClient) or self._link.live is None or not self._link.live.is_open:
            return
        failure = translate(problem, f"reading the stream {self._stream}", self._link.where)
        if isinstance(failure, NoCopy) and monotonic() < self._patient_until:
            self._again = self._link.later(_OPEN_AGAIN_SECONDS, self._open)
        else:
            self._handover.fail(failure)

    def delivered(self, deliveries: list[Delivery]) -> None:
        self._came_back = False
        tag, last = deliveries[-1].tag, offset_of(deliveries[-1])
        place, end = self._place, self._end
        if isinstance(place, int) and offset_of(deliveries[0]) < place:
            deliveries = [delivery for delivery in deliveries if offset_of(delivery) >= place]
        if end is not None and last >= end:
            deliveries = [delivery for delivery in deliveries if offset_of(delivery) < end]
        if isinstance(place, int) and last + 1 - place != len(deliveries):
            self._overtaken.passed(gaps(place, [*map(offset_of, deliveries), last], end))
        self._place = last + 1
        size = sum([len(delivery.body) + len(delivery.properties) for delivery in deliveries])
        go_on = self._handover.offer(deliveries, size) if deliveries else True
        if end is not None and last + 1 >= end:
            self._at_end = True
            self._overtaken.when_known(self._handover.end)
            self._let_go()
        elif not go_on:
            self._unacknowledged = tag
        elif 0 < self._alone <= len(deliveries):
            # it did not fail over a record
            self._alone = 0
            self._ask_for_fewer(size // len(deliveries))
        elif size > len(deliveries) * (_HELD_BYTES * 4 // self._prefetch) and self._prefetch > _FEWEST:
            self._ask_for_fewer(size // len(deliveries))
        elif self._channel is not None:
            self._alone = max(0, self._alone - len(deliveries))
            self._channel.basic_ack(tag, multiple=True)
            if not self._alone:
                sleep(GATHER_SECONDS)
        else:
            # the first records may come before the answer that opens the consumer
            self._unacknowledged = tag
            self._link.later(0, self._resume)

    def returned(self, message: Returned) -> None:
        raise AssertionError("nothing is published here")

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        raise AssertionError("nothing is published here")

    def lost(self, reason: str) -> None:
        self._patient_until = monotonic() + GIVE_UP_SECONDS
        if self._again is not None:
            self._link.forget(self._again)
            self._again = None
        self._channel = None
        self._unacknowledged = 0
        if failed_itself(reason) and not self._at_end:
            if self._alone or not isinstance(self._place, int):
                self._handover.fail(no_form_for_record(self._stream, self._place if isinstance(self._place, int) else None))
            # which record it failed over is certain only where those before it had time to come
            self._alone, self._prefetch = self._prefetch, 1

    def restored(self) -> None:
        if not self._at_end:
            self._came_back = True
            self._open()
        self._overtaken.restored()

    def given_up(self, failure: BrokercliError) -> None:
        self._overtaken.given_up()
        if not self._at_end:
            self._handover.fail(failure)

    def blocked(self, reason: str | None) -> None:
        """Concerns publishers only."""

    def _resume(self) -> None:
        if self._unacknowledged and self._channel is None and self._link.live is not None and not self._closed:
            self._link.later(0.001, self._resume)
        elif self._unacknowledged and self._channel is not None and self._channel.is_open:
            self._channel.basic_ack(self._unacknowledged, multiple=True)
            self._unacknowledged = 0

    def _ask_for_fewer(self, size: int) -> None:
        self._prefetch = _prefetch_for(size)
        self._let_go()
        self._open()

    def _let_go(self) -> None:
        channel, self._channel = self._channel, None
        self._unacknowledged = 0
        if channel is not None and channel.is_open:
            if self._link.live is not None:
                self._link.live.silence(channel.channel_number)
            channel.close()


def _prefetch_for(size: int) -> int:
    return max(_FEWEST, min(PREFETCH, _HELD_BYTES // max(1, size)))
