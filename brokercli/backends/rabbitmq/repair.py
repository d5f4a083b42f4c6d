"""A run over the letters of a queue: published to where they belong, confirmed, and only then acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Goal, Move, Repair, RepairPolicy, State
from brokercli.backends.rabbitmq.amqp_table import decode_table
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.encoded_headers import decoded
from brokercli.backends.rabbitmq.exact_properties import split_headers
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.letters import count_ready, fewer, notes_on, unseen
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.moving import Forwarded, Mover, Window
from brokercli.backends.rabbitmq.records import RabbitMQBatch
from brokercli.backends.rabbitmq.survivable import Conditions, Taking
from brokercli.backends.rabbitmq.taken_again import TakenAgain
from brokercli.backends.rabbitmq.unconvertible import OfNoForm
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, NotFound
from brokercli.model.message import Header, Message, Record
from brokercli.model.receipt import Receipt, Receipts, Verdict

_STAMP = ("x-brokercli-redriven-at", "x-brokercli-redriven-count", "x-brokercli-redriven-from")
_STAMPS = set(_STAMP)
_STAMP_BYTES = _STAMP[0].encode()
_OVERLAPPING_BATCH = 4
_COUNT_SECONDS = 1.0
"""Letters wait for it, and asked just as the connection breaks nobody answers."""
_CUT_OFF = "the connection that held it broke"
_WHERE_IT_LIES = "its destination is where it lies"


@dataclass(slots=True)
class HeldRecord(Record):
    """A record that is held unacknowledged."""

    delivery: Delivery | None = None


class HeldBatch(RabbitMQBatch):
    """Letters that are held; their records know by which tag."""

    __slots__ = ()

    def _record(self, delivery: Delivery) -> Record:
        return HeldRecord("rabbitmq", *self._parts(delivery), delivery)

    def deliveries(self) -> list[Delivery]:
        """Return them as they came."""
        return self._deliveries

    def copied(self, delivery: Delivery, goal: Goal, headers: tuple[Header, ...]) -> Message:
        """Return the message that puts a letter back with these headers."""
        message = self._record(delivery).message
        return Message(message.body, None, decoded(headers), route=goal.route, origin="rabbitmq",
                       properties={name: value for name, value in message.properties.items() if name not in goal.without})


class RabbitMQRepair(Repair):
    """Takes as many letters as were ready when it was opened; what comes meanwhile is left alone, and so is what this run put back and
    died again, which it knows by what it wrote on it: clocks of others say nothing.

    Several runs, and other consumers, share a queue safely: the broker hands each letter to one of them. Letters that are not
    settled go back in their order when this is closed; should we be killed, the broker returns them by itself.
    """

    def __init__(self, link: Link, mover: Mover, conditions: Conditions, policy: RepairPolicy, let_go: Callable[[], None],
                 taking: Taking) -> None:
        self._link = link
        self._mover = mover
        self._conditions = conditions
        self._queue = conditions.name
        self._let_go = let_go
        # killed between confirm and acknowledgement, both of two windows that overlap are repeated
        self.overlapping = policy.batch >= _OVERLAPPING_BATCH
        self._part = max(1, policy.batch // 4)
        self._homeward = policy.homeward
        self._written: set[tuple[object, ...]] = set()
        """What this run wrote on letters that it put back: few, because those of a batch have it in common."""
        self._passed_over = 0
        self._came_first = False
        """Whether what was passed over has a priority: then it may have come before letters that were there when this was opened."""
        self._taken_out = 0
        self._losses = link.losses
        self._closed = False
        self._again: TakenAgain | None = None
        self._open_tags: set[int] = set()
        self.failure: BrokercliError | None = None
        self.expected = count_ready(conditions)
        self.notes: list[str] = mover.notes
        if self.expected != 0:
            self.notes += notes_on(conditions)
        self.guarantee = (f"at least once: each letter is confirmed at its destination before it is taken out of {self._queue}; where this process or the"
                          f" connection is killed between the two, at most {amount(self._part * (1 + self.overlapping), 'letter')} may be repeated, and where"
                          " the broker is, those whose acknowledgement it had not written yet")
        self._holding = Holding(link, self._queue, self.expected, part=self._part, others=conditions.queue.consumers or 0, rescue=conditions.rescue,
                                lasting=conditions.lasting, taking=taking)

    def read(self, timeout: float) -> HeldBatch | None:
        if isinstance(ended := self._holding.taken_back, OfNoForm) and not self._hold_again().complete:
            raise ended
        self.check()
        try:
            deliveries = self._holding.take(timeout)
        except BrokercliError:
            if self._holding.gone and self._link.failure is None:
                raise NotFound(f"The queue {self._queue} was deleted while its letters were being taken: those that this run had in hand go their way all"
                               " the same, the others are gone with it.") from None
            raise
        if deliveries is None:
            if self._holding.finished and self._holding.short:
                self.notes.append(fewer(self._holding.short))
                self._holding.short = 0
            return None
        # looked for in all of them at once; most have the same ones, often the very object
        different = {delivery.properties for delivery in deliveries}
        stamped = {properties for properties in different if _STAMP_BYTES in properties} if _STAMP_BYTES in b"\0".join(different) else None
        fresh = [delivery for delivery in deliveries if delivery.properties not in stamped or not self._is_ours(delivery)] if stamped else deliveries
        if len(fresh) < len(deliveries):
            self._passed_over += len(deliveries) - len(fresh)
            kept = set(map(id, fresh))
            self._came_first = self._came_first or any(delivery.properties[0] & _PRIORITY for delivery in deliveries if id(delivery) not in kept)
        self._open_tags.update([delivery.tag for delivery in fresh])
        return HeldBatch(fresh, self._queue, numbered=False)

    def _is_ours(self, delivery: Delivery) -> bool:
        """Whether this run has put it back already."""
        return bool(self._written) and _stamp_of(_headers_of(delivery)) in self._written

    def _write_down(self, sent: Iterable[tuple[tuple[Header, ...], Record | Delivery]]) -> None:
        """Remember what this run writes on letters, from the headers that go and the letter as it was. What is parked goes with what an earlier run
        wrote on it, and so many of those that are still to come have the same."""
        known: set[tuple[Header, ...]] = set()
        for one, letter in sent:
            # behind their own, and the letters of a batch have it in common
            last = one[-len(_STAMP):]
            if last in known:
                continue
            if {name for name, _ in last} == _STAMPS:
                known.add(last)
                one = last
            stamp = _stamp_of(one)
            if stamp != _UNSTAMPED and stamp not in self._written and stamp != _stamp_of(_headers_of(letter)):
                self._written.add(stamp)

    @property
    def finished(self) -> bool:
        return self._holding.finished

    def settle(self, moves: Sequence[Move]) -> Receipts:
        return self.begin(moves)()

    def begin(self, moves: Sequence[Move]) -> Callable[[], Receipts]:
        if (ending := self._ending()) is not None:
            return self._refuse(len(moves), ending)
        receipts = Receipts()
        chosen: list[tuple[int, Delivery, Move]] = []
        for index, move in enumerate(moves):
            letter = self._claim(move.record)
            if isinstance(letter, str):
                receipts.count(Receipt(index, Verdict.REFUSED, reason=letter))
            elif move.destination.kind != "exchange" and move.destination.name == self._queue:
                self._open_tags.add(letter.tag)
                receipts.count(Receipt(index, Verdict.REFUSED, reason=_WHERE_IT_LIES))
            else:
                chosen.append((index, letter, move))
        self._write_down((move.message.headers, move.record) for _, _, move in chosen)
        window = self._mover.begin([(move.message, move.destination) for _, _, move in chosen])
        return lambda: self._finish([(index, letter) for index, letter, _ in chosen], window, receipts)

    def forward(self, batch: Batch, goals: Sequence[Goal], headers: Sequence[tuple[Header, ...]]) -> Callable[[], Receipts]:
        if not isinstance(batch, HeldBatch):
            return super().forward(batch, goals, headers)
        if (ending := self._ending()) is not None:
            return self._refuse(len(batch), ending)
        receipts = Receipts()
        places: list[tuple[int, Delivery]] = []
        items: list[Forwarded] = []
        for index, (delivery, layout, goal, kept) in enumerate(zip(batch.deliveries(), batch.layouts(), goals, headers, strict=True)):
            why = self._settled_before(delivery.tag)
            if not why and goal.address.name == self._queue and goal.address.kind != "exchange":
                self._open_tags.add(delivery.tag)
                why = _WHERE_IT_LIES
            if why:
                receipts.count(Receipt(index, Verdict.REFUSED, reason=why))
            else:
                places.append((index, delivery))
                items.append((delivery, layout, goal, kept))
        self._write_down((kept, delivery) for delivery, _, _, kept in items)
        window = self._mover.forward(items, batch.copied)
        return lambda: self._finish(places, window, receipts)

    def _ending(self) -> BrokercliError | None:
        """Return why no letter can go any more. Where all go to one place, it may be that this one takes none."""
        return self._mover.failure or (None if self._homeward else self._mover.denial)

    def _refuse(self, count: int, failure: BrokercliError) -> Callable[[], Receipts]:
        """Refuse letters that never were on their way: they are still held, and go back."""
        refused = Receipts()
        for index in range(count):
            refused.count(Receipt(index, Verdict.REFUSED, reason=f"not sent: {failure}"))
        return lambda: refused

    def _finish(self, chosen: list[tuple[int, Delivery]], window: Window, receipts: Receipts) -> Receipts:
        problems = self._mover.finish(window)
        done = [letter for number, letter in enumerate(chosen) if number not in problems] if problems else chosen
        for number, problem in problems.items():
            index, letter = chosen[number]
            self._open_tags.add(letter.tag)
            receipts.count(Receipt(index, problem.verdict, reason=problem.reason))
        self._take_out(done, receipts, lambda why: f"stored at its destination, but {why} before it was taken out of {self._queue}: it may lie there still")
        self.failure = self._mover.failure or self.failure or self._mover.denial
        return receipts

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        receipts = Receipts()
        done: list[tuple[int, Delivery]] = []
        for index, record in enumerate(records):
            letter = self._claim(record)
            if isinstance(letter, str):
                receipts.count(Receipt(index, Verdict.REFUSED, reason=letter))
            else:
                done.append((index, letter))
        self._take_out(done, receipts, lambda why: f"{why} before it was certain that it is taken out of {self._queue}")
        return receipts

    def _claim(self, record: Record) -> Delivery | str:
        """Return a letter as it came and note it as settled, or why it cannot be."""
        if not isinstance(record, HeldRecord) or record.delivery is None or record.place.get("queue") != self._queue:
            return f"it is no letter that was read from {self._queue} in this run"
        return self._settled_before(record.delivery.tag) or record.delivery

    def _settled_before(self, tag: int) -> str:
        """Note a letter as settled; say why it cannot be, empty where it can."""
        ended = self._holding.taken_back
        if ended is not None and not (isinstance(ended, OfNoForm) and self._hold_again().complete):
            if self._holding.missing is not None:
                return f"{_CUT_OFF}, and whether {self._queue} is there is not known; where it is, the broker puts back what it has stored"
            return f"{_CUT_OFF}: the broker puts back in {self._queue} what it has stored"
        if tag not in self._open_tags:
            return "it is settled already"
        self._open_tags.discard(tag)
        return ""

    def _take_out(self, done: list[tuple[int, Delivery]], receipts: Receipts, in_doubt: Callable[[str], str]) -> None:
        """Acknowledge letters; `in_doubt` is told why that did not succeed, and returns what to say of each then."""
        if not done or self._holding.acknowledge(sorted(letter.tag for _, letter in done)):
            receipts.confirmed += len(done)
            self._taken_out += len(done)
            return
        # one with an alarm reads nothing more of a connection that publishes
        reason = in_doubt(_CUT_OFF if self._holding.cut_off else "the broker did not answer")
        out = self._hold_again().take_out([letter for _, letter in done]) if isinstance(self._holding.taken_back, OfNoForm) else set()
        receipts.confirmed += len(out)
        for index, letter in done:
            if letter.tag not in out:
                receipts.count(Receipt(index, Verdict.UNKNOWN, reason=reason))

    def _hold_again(self) -> TakenAgain:
        """Hold once more what the broker put back because it failed over a letter behind it. Every run comes to that one, so that else each would put
        home again what the one before could not take out."""
        if self._again is None:
            self._again = TakenAgain(self._link, self._queue, self._holding.taken - self._taken_out, part=self._part, lasting=self._conditions.lasting)
        return self._again

    def check(self) -> None:
        # of what is held again the rest is handed out before that is said
        failure = self._ending() or (self._holding.taken_back if self._again is None else None)
        if failure is not None:
            raise failure

    def arrived(self) -> int | None:
        """As promised. Letters that others took meanwhile make it too small."""
        # once we are cut off the broker puts back what we held, and that has not come
        if self._holding.cut_off:
            return None
        left = max(0, (self.expected or 0) - self._holding.taken)
        try:
            (count,) = self._link.ask("counting new letters", counting(self._queue), timeout=_COUNT_SECONDS, keep=True)
        except BrokercliError:
            # a count that cannot be had stops no run; what is wrong shows when settling
            return None
        return max(0, count.messages - left) if count.certain and not self._holding.cut_off else None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._mover.close()
            if self._again is not None:
                self._again.close()
            if self.expected == 0:
                # what is said before the first letter is touched nobody hears then
                self.notes += notes_on(self._conditions)
            if self._passed_over:
                unreached = "; where the queue goes by priority they came before others, which are left as well then: the same command goes on with those"
                self.notes.append(f"letters that were put back since this run began, died again and are left: {self._passed_over:,}"
                                  f"{unreached if self._came_first else ''}")
            if not self._holding.give_back() and not self._holding.cut_off:
                self.notes.append("the broker did not confirm in time that it has put the letters back that were left; it does so when the connection ends")
            self.notes += unseen(self._holding, self._conditions)
            # it has read what it was told, and writes it down a moment later (seen on 4.3.6)
            if self._taken_out and self._link.losses > self._losses and not self._holding.gone and not isinstance(self._holding.taken_back, OfNoForm):
                self.notes.append(f"the connection was lost after letters had been taken out of {self._queue}: where the broker was killed, the last of"
                                  " them may lie there again, and would be put back once more")
        finally:
            self._let_go()


_PRIORITY = 0x08
"""In the first octet of encoded properties: there is a priority among them."""
_UNSTAMPED = (None,) * len(_STAMP)


def _headers_of(letter: Record | Delivery) -> Iterable[tuple[str, Any]]:
    """Return the headers that a letter came with."""
    if isinstance(letter, Record):
        return letter.message.headers
    table = split_headers(letter.properties)[1]
    return decode_table(table)[0] if table else ()


def _stamp_of(headers: Iterable[tuple[str, Any]]) -> tuple[object, ...]:
    """Return what a run writes on what it puts back; time, count and place together are no other run's."""
    found = {name: value if isinstance(value, bytes) else None for name, value in headers if name in _STAMP}
    return tuple([found.get(name) for name in _STAMP])
