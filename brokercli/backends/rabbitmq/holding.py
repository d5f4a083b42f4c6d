"""Taking messages off a queue, in order, and holding them unacknowledged until they are acknowledged or given back.

Taken in parts: a consumer with a prefetch of just so many, which is cancelled once the next one is there, and before anything that it
got is acknowledged; cancelling leaves them ours (verified on 4.3.6, classic and quorum). So never more is taken than was asked for, and
what waits here is bounded, while the broker holds what was read. Returned part by part in ascending order, because of several
consumers at once a quorum queue puts the messages back in the order of the consumers' names (seen on 4.3.6). What lies in a classic queue and is
only looked at goes back in one piece, which costs the broker half as much, and lets nobody in between (`turns.py`).

One of them is there until all is taken, because the broker tells a consumer that its queue is deleted and nobody else: on the same
channel, acknowledging what a classic queue had delivered takes out of the one that is made anew what has the same numbers there, and a
channel's first delivery of any queue is 0 (verified on 4.3.6).
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from time import monotonic, sleep
from typing import Any

from pika.exceptions import ChannelClosedByClient

from brokercli.backends.handover import Handover
from brokercli.backends.rabbitmq.bulk_frames import GATHER_SECONDS, Delivery, Returned
from brokercli.backends.rabbitmq.channel_room import ChannelRoom
from brokercli.backends.rabbitmq.counting import Count, counting
from brokercli.backends.rabbitmq.cut_off import connection_lost, does_not_answer, gives_none
from brokercli.backends.rabbitmq.failures import NoSuch, deleted, failed_itself, translate
from brokercli.backends.rabbitmq.held_channels import MOST, HeldChannels
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.still_there import StillThere
from brokercli.backends.rabbitmq.survivable import Taking, nothing_lifted
from brokercli.backends.rabbitmq.turns import Turns
from brokercli.backends.rabbitmq.unconvertible import OfNoForm, no_form_for_letter
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound

PART_BYTES = 8 * 1024 * 1024
_FIRST_PART = 1  # nobody knows yet how large letters are
_GROWTH = 16
_TICK_SECONDS = 0.1
_EMPTY_ANSWERS, _ALONE_TICKS, _STALLED_TICKS = 3, 3, 100
_PATIENCE, _BACK_SECONDS, _BACK_STEP = 30.0, 10.0, 0.01
_BACK_AMONG_OTHERS_SECONDS = 2.0
"""Who else consumes may have taken them by then, so that they are never seen to be back."""
_LASTING_MILLISECONDS = 7 * 24 * 3600 * 1000


class Holding:
    """Takes up to `wanted` messages. `take`, `acknowledge`, `give_back` and the properties are for the reader's thread.

    When the connection or the channel is lost, the broker puts everything back by itself, and nothing more can be settled.
    """

    def __init__(self, link: Link, queue: str, wanted: int, *, part: int, others: int = 0, rescue: str = "", lasting: bool = False,
                 together: bool = False, taking: Taking = nothing_lifted) -> None:
        """`part` is how many are taken at once at most; two parts may be read ahead. `others` is how many consumers there are;
        `rescue` the queue to which what is given back may go instead. With `lasting` the broker is asked not to take back what is held
        for longer than its consumer_timeout; it then must know how to. `together`, of a classic queue of which nothing will be acknowledged, all go back
        in one piece. `taking` is told before the first is taken, and what it returns is
        called only where all are certainly back: then a limit may hold again, whatever ends this."""
        self._all_back = taking()
        self._others = others
        self._rescue = rescue
        self._link = link
        self._queue = queue
        self._wanted = wanted
        self._part = part
        self._limit = min(_FIRST_PART, part)
        self._handover: Handover[list[Delivery]] = Handover(1, lambda: link.post(self._next))
        self.taken = 0
        """How many were taken so far. Tags count from 1, so it is the last tag as well."""
        self._cut_by: BrokercliError | None = None
        self._there = StillThere(link, queue)
        self.back = False
        """Whether everything that was given back is certainly in the queue again, or in that of those rescued."""
        self.unseen = 0
        """How many were given back of which the queue does not show all, though nobody is known to take from it."""
        self.short = 0
        """How many fewer there were than wanted, once the end is reached."""
        self._channel: Any = None
        self._turns = Turns(queue, {"x-consumer-timeout": _LASTING_MILLISECONDS} if lasting else None, link.later, together=together)
        self._taking = self._moved = self._counting = False
        self._asked = 0
        self._waiting: list[Delivery] = []
        self._empty = self._ticks = 0
        self._heard = 0.0
        """When the queue last gave us something, or said how much it has."""
        self._channels = HeldChannels(part, ChannelRoom(link.where, MOST))
        self._closing = False
        link.watchers.append(self)
        if wanted:
            link.post(self._open)
        else:
            self._handover.end()

    # from the reader's thread

    def take(self, timeout: float) -> list[Delivery] | None:
        """Return the next part; None when none came in time or at the end. Raises what cut us off."""
        try:
            return self._handover.take(timeout)
        except BrokercliError as problem:
            if self.gone and self._link.failure is not None:  # with the virtual host
                raise self._link.failure from None
            if isinstance(problem, OfNoForm) and self.gone:
                # RabbitMQ fails so over a consumer that comes while a quorum queue is being deleted as well
                raise deleted(self._queue) from None
            raise

    @property
    def finished(self) -> bool:
        """Whether all there were have been taken and handed out."""
        return self._handover.drained

    def acknowledge(self, tags: list[int]) -> bool:
        """Take messages out of the queue for good; `tags` ascend. False where we were cut off before the broker had heard all
        of it: then they may be back in the queue, or gone. Out of one that was deleted they are taken."""
        return (self._ask(lambda answer: self._acknowledge(tags, answer)) if tags else not self.cut_off) or self.gone

    @property
    def cut_off(self) -> bool:
        """Whether the broker has put everything back because we were cut off."""
        return self._cut_by is not None

    @property
    def taken_back(self) -> BrokercliError | None:
        """What cut us off; None where nothing did, and where the queue is gone: then what we hold is nowhere else."""
        return None if self._cut_by is None or self.gone else self._cut_by

    @property
    def gone(self) -> bool:
        """Whether somebody is known to have deleted the queue, also where there is another of its name by now: then what we hold is
        nowhere else."""
        return isinstance(self.missing, NoSuch)

    @property
    def missing(self) -> BrokercliError | None:
        """After we were cut off: None where the queue is there, NoSuch where it was deleted, and else why that is not known."""
        # who was refused before anything came holds nothing that it matters for, and may not ask either
        refused = isinstance(self._cut_by, NotAuthorised) and not self.taken
        return self._there.ask() if self.cut_off and not refused else self._there.learnt

    def give_back(self) -> bool:
        """Return everything that is not acknowledged, in order, and let go. May be called twice."""
        if self._closing:
            return True
        self._closing = True
        self._ask(self._stop_taking)
        held = self._channels.held(self.taken)
        ready = self._counts()[0] if held and not self.cut_off else 0
        done = self._ask(self._give_back)
        if self in self._link.watchers:
            self._link.watchers.remove(self)
        # where it could not be counted before, nothing counted afterwards says that they are back
        self.back = done and (not held or (ready >= 0 and self._is_back(ready, held)))
        self.unseen = held if self.gone else self.unseen
        if self.back or (self.gone and (not held or not self._rescue)):
            self._all_back()
        return done

    def _is_back(self, ready: int, returned: int) -> bool:
        """Wait until whoever asks finds the queue as it was: a quorum queue takes its time (seen on 4.3.6)."""
        patience = _BACK_AMONG_OTHERS_SECONDS if self._others else _BACK_SECONDS
        since, most, consumers = monotonic(), 0, 0
        while monotonic() < since + patience:
            messages, consumers = self._counts()
            if messages >= ready + returned and consumers <= self._others:
                return True
            if messages < 0:
                return False
            if consumers > self._others:
                patience = _BACK_AMONG_OTHERS_SECONDS
            if self._rescue and messages > most:
                # they go there one after the other
                since, most = monotonic(), messages
            sleep(_BACK_STEP)
        self.unseen = 0 if consumers else returned
        return False

    def _counts(self) -> tuple[int, int]:
        """Return how many messages are ready and how many consumers there are; -1 where the queue or the connection is gone, or its leader
        does not answer."""
        try:
            both = map(counting, filter(None, (self._queue, self._rescue)))
            counts = self._link.ask("putting letters back", *both, timeout=_BACK_SECONDS, keep=True)
        except BrokercliError as problem:
            if not self._rescue:
                self._there.note(problem)
            return -1, 0
        return sum([count.messages for count in counts]) if all(count.certain for count in counts) else -1, counts[0].consumers

    def _ask(self, step: Any) -> bool:
        answer: Future[bool] = Future()
        self._link.post(lambda: step(answer))
        try:
            return answer.result(_PATIENCE)
        except FutureTimeout:
            return False

    # on the connection's thread

    def _open(self) -> None:
        self._link.open_channel(self, (lambda channel, answered: channel.basic_qos(prefetch_count=self._limit, callback=answered),), self._opened,
                                self._failed, self._failed)

    def _opened(self, channel: Any, answers: list[Any]) -> None:
        if self._closing:
            channel.close()
            return
        self._use(channel)
        self._next()
        self._link.later(_TICK_SECONDS, self._tick)

    def _use(self, channel: Any) -> None:
        self._channel = channel
        self._channels.add(channel, self.taken)
        channel.add_on_cancel_callback(self._cancelled)

    def _change_channel(self) -> None:
        """Have the next part come on another channel; on this one where there is none to be had."""
        def over() -> bool:
            return self._channel is None or self._turns.ending or not self._turns.current

        def changed(channel: Any, answers: list[Any]) -> None:
            if over():
                channel.close()
            else:
                self._use(channel)
            go_on()

        def failed(problem: BaseException) -> None:
            self._channels.no_more()
            go_on()

        def go_on() -> None:
            if over():
                self._turns.stay()
            else:
                self._turns.next(self._channel, self._asked)

        # what is acknowledged meanwhile must not make room for more
        self._turns.changing = True
        self._link.open_channel(self, (), changed, failed, self._failed)

    def _next(self) -> None:
        """Take the next part."""
        if self._channel is None or self._taking or self._closing or self.taken >= self._wanted:
            return
        self._taking = True
        self._asked = min(self._limit, self._wanted - self.taken)
        self._empty, self._ticks, self._heard = 0, 0, monotonic()
        if self._channels.crowded(self.taken):
            self._change_channel()
        else:
            self._turns.next(self._channel, self._asked)

    def delivered(self, deliveries: list[Delivery]) -> None:
        if self._channel is None:
            return
        deliveries = self._channels.numbered(deliveries)
        self._waiting += deliveries
        self._asked -= len(deliveries)
        self.taken = deliveries[-1].tag
        self._moved = True
        if self._asked:
            sleep(GATHER_SECONDS)
        elif self.taken >= self._wanted:
            self._end()
        elif not self._turns.ending:
            self._hand_over()

    def _hand_over(self) -> None:
        self._taking = False
        waiting, self._waiting = self._waiting, []
        self._channels.end_part(self.taken, joined=self._turns.joined)
        if waiting:
            largest = max([len(delivery.body) + len(delivery.properties) for delivery in waiting])
            self._limit = max(1, min(self._part, self._limit * _GROWTH, PART_BYTES // max(1, largest)))
            self._handover.offer(waiting, 1)

    def _end(self) -> None:
        """Take no more: cancel the consumer first, so that an acknowledgement never makes the broker send more."""
        def cancelled(answer: Any) -> None:
            self._turns.current = ""
            self._hand_over()
            self.short, self._wanted = max(0, self._wanted - self.taken), self.taken
            self._handover.end()

        self._turns.end(cancelled)

    def _tick(self) -> None:
        """Notice that there are fewer than there were: somebody else takes them as well."""
        if self._channel is None or self._closing or self.taken >= self._wanted or self._handover.drained:
            return
        self._link.later(_TICK_SECONDS, self._tick)
        if self._moved or not self._taking:
            self._moved, self._empty, self._ticks, self._heard = False, 0, 0, monotonic()
            return
        if not self._counting:
            self._counting = True
            self._link.open_channel(None, (counting(self._queue),), self._counted, self._not_counted)

    def _not_counted(self, problem: BaseException) -> None:
        self._counting = False

    def _counted(self, channel: Any, answers: list[Count]) -> None:
        self._counting = False
        channel.close()
        if self._moved or not self._taking or self._turns.between:
            return
        if answers[0].certain:
            self._ticks, self._heard = self._ticks + 1, monotonic()
            self._empty = self._empty + 1 if not answers[0].messages else 0
            if self._empty >= _EMPTY_ANSWERS:
                self._end()
            elif self._ticks == _ALONE_TICKS:
                self._turns.part()
            elif self._ticks >= _STALLED_TICKS:
                self._handover.fail(gives_none(self._queue, answers[0].messages, _STALLED_TICKS * _TICK_SECONDS))
        elif monotonic() > self._heard + _PATIENCE:
            self._handover.fail(does_not_answer(self._queue, _PATIENCE))

    def _acknowledge(self, tags: list[int], answer: Future[bool]) -> None:
        if self._turns.changing:
            # what the consumer before got must not make room for more
            self._turns.deferred.append(lambda: self._acknowledge(tags, answer))
            return
        said = self._channels.settle(tags)
        if self._channel is None or not self._channels.open or (live := self._link.live) is None:
            answer.set_result(False)
        else:
            self._channels.tell(said, live, answer)

    def _stop_taking(self, answer: Future[bool]) -> None:
        if self._channel is None or not self._channel.is_open or not self._turns.current:
            answer.set_result(True)
            return
        if not self._turns.ending and not self._turns.between:
            self._end()
        self._link.later(0.005, lambda: self._stop_taking(answer))

    def _give_back(self, answer: Future[bool]) -> None:
        if self._channel is None or not self._channels.open or self._link.live is None:
            answer.set_result(not self.taken)
            return
        given: Future[bool] = Future()
        given.add_done_callback(lambda done: self._let_go(answer, done.result()))
        self._channels.give_back(self._link.live, given)

    def _let_go(self, answer: Future[bool], done: bool) -> None:
        self._channel = None
        self._channels.close()
        answer.set_result(done)

    def _cancelled(self, method: Any) -> None:
        channel = self._channel
        if channel is not None:
            self._there.ask_soon(channel)
            self._cut(NotFound(f"The queue {self._queue} was deleted, or lost its leader, while letters were being read."))
            # what another of its name may have given to it goes back
            self._channels.close()

    def _failed(self, problem: BaseException) -> None:
        if not isinstance(problem, ChannelClosedByClient):
            failure = translate(problem, f"reading the queue {self._queue}", self._link.where)
            self._cut(deleted(self._queue) if self.taken and isinstance(failure, NoSuch) else failure)
            # what is held on the others goes back as well
            self._channels.close()

    def _cut(self, failure: BrokercliError) -> None:
        if self.cut_off:
            return
        self._there.note(failure)
        self._cut_by = failure
        self._channel = None
        self._channels.cut()
        self._turns.lost()
        if isinstance(failure, OfNoForm) and self._waiting:
            # what came before it is as good as a whole part
            self._hand_over()
        self._handover.fail(failure)

    def returned(self, message: Returned) -> None:
        raise AssertionError("nothing is published here")

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        raise AssertionError("nothing is published here")

    def lost(self, reason: str) -> None:
        of_no_form = failed_itself(reason) and self._taking
        self._cut(no_form_for_letter(self._queue, self.taken) if of_no_form else connection_lost(str(self._link.where), reason, self._queue))

    def restored(self) -> None:
        """What was held is back in the queue; whoever wants it begins again."""

    def given_up(self, failure: BrokercliError) -> None:
        self._cut(failure)

    def blocked(self, reason: str | None) -> None:
        """Concerns publishers only."""
