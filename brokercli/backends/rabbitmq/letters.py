"""Looking at the letters of a queue or a stream, and leaving them where and as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.dead_letters import LetterLook, LetterReader
from brokercli.backends.rabbitmq import QUORUM_QUEUE
from brokercli.backends.rabbitmq.counting import out_of_sight
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.records import RabbitMQBatch
from brokercli.backends.rabbitmq.survivable import Conditions, Taking, require_fit, require_survivable
from brokercli.model.amount import amount

PART = 5000


class StreamLetterReader(LetterLook):
    """A stream keeps what was read: a look like any other. It has no place to write down what was handled."""

    side_effects = "none"

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._note = "a stream does not say which of its letters were handled: all of them count as pending"

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What the look has to say; may grow while reading."""
        return [self._note, *self._reader.notes]


class QueueLetterReader(LetterReader):
    """Takes as many letters as were ready when it was opened, holds them all, and returns them together when it is closed:
    only so are they all seen, and only so does their order stay. Meanwhile nobody else gets them. Should we be killed, the
    broker returns them by itself."""

    def __init__(self, link: Link, conditions: Conditions, wanted: int, notes: list[str], give_back: Callable[[], None],
                 taking: Taking) -> None:
        self._conditions = conditions
        self._give_back = give_back
        self._closed = False
        self.expected = wanted
        self.notes: list[str] = notes
        self._holding = Holding(link, conditions.name, wanted, part=PART, others=conditions.queue.consumers or 0, rescue=conditions.rescue,
                                lasting=conditions.lasting, together=conditions.queue.type == "classic", taking=taking)

    @property
    def side_effects(self) -> str:  # type: ignore[override]
        """What the look has cost up to now."""
        taken = self._holding.taken
        if not taken:
            return "none"
        letters = amount(taken, "letter is", "letters are")
        if self._holding.unseen or self._holding.cut_off:
            return f"{letters} marked as redelivered; whether all are there is not known"
        counted = " and has one acquisition more (x-acquired-count)" if taken == 1 else " and have one acquisition more each (x-acquired-count)"
        kept = ("how many there are is as it was, and so are the order and the contents of those that did not go over the limit; the others have one header"
                " more (x-brokercli-deaths), and CC no longer"
                if self._conditions.rescue else
                "how many there are and their contents are as they were; this RabbitMQ puts what is returned to a quorum queue behind its other letters"
                if self._conditions.behind else "how many there are, their order and their contents are as they were")
        return f"{letters} marked as redelivered{counted if self._conditions.queue.resource == QUORUM_QUEUE else ''}; {kept}"

    def read(self, timeout: float) -> Batch | None:
        deliveries = self._holding.take(timeout)
        if deliveries is None:
            if self._holding.finished and self._holding.short:
                self.notes.append(fewer(self._holding.short))
                self._holding.short = 0
            return None
        return RabbitMQBatch(deliveries, self._conditions.name, numbered=False)

    @property
    def finished(self) -> bool:
        return self._holding.finished

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._holding.give_back() and not self._holding.cut_off:
                self.notes.append("the broker did not confirm in time that it has put the letters back; it does so when the connection ends")
            self.notes += unseen(self._holding, self._conditions)
        finally:
            self._give_back()


def open_queue_letters(conditions: Conditions, lend: Callable[[], tuple[Link, Callable[[], None]]], taking: Taking) -> QueueLetterReader:
    """Open a look at a queue that is no stream; `taking` is told before letters are taken. Raises Unsupported where it
    could cost a letter."""
    require_survivable(conditions, "Looking")
    require_fit(conditions, "Looking")
    link, give_back = lend()
    try:
        return QueueLetterReader(link, conditions, count_ready(conditions), notes_on(conditions), give_back, taking)
    except BaseException:
        give_back()
        raise


def count_ready(conditions: Conditions) -> int:
    """Return how many letters there are to take."""
    if conditions.queue.messages is not None:
        return conditions.queue.messages
    # the leader of a quorum queue did not answer in time
    said = (conditions.facts or {}).get("messages_ready")
    return said if isinstance(said, int) else 0


def fewer(count: int) -> str:
    """Say that so many letters did not come."""
    return (f"{amount(count, 'letter')} fewer came than were counted: somebody else took them, they expired or were pushed out, or the queue was"
            " purged or made anew meanwhile")


def unseen(holding: Holding, conditions: Conditions) -> list[str]:
    """Say of letters that were given back that the queue does not show them."""
    if not holding.unseen:
        return []
    queue, one = conditions.name, holding.unseen == 1
    if holding.gone and holding.cut_off:
        return [f"{queue} was deleted meanwhile: {amount(holding.unseen, 'letter')} that {'was' if one else 'were'} held, and not known to be stored elsewhere,"
                f" {'is' if one else 'are'} gone with it"]
    given_back = f"{amount(holding.unseen, 'letter')} that {'was' if one else 'were'} given back"
    if holding.gone:
        return [f"{queue} was deleted meanwhile, and {given_back} to it {'is' if one else 'are'} gone with it"]
    if conditions.hides_returned:
        return [f"{queue} holds back what is returned to it (x-delayed-retry-type: {conditions.delayed_retry}): {given_back} {'shows' if one else 'show'}"
                " there once its time is over"]
    return [f"{queue} does not show {'' if one else 'all of '}{given_back}: somebody took letters there, they expired or were pushed out, or it was purged or"
            " made anew meanwhile, and what lay in it before is gone then"]


def notes_on(conditions: Conditions) -> list[str]:
    """Say what else goes on at the queue."""
    consumers = conditions.queue.consumers or 0
    notes = []
    if consumers:
        notes.append(f"{amount(consumers, 'other consumer takes', 'other consumers take')} from {conditions.name} as well: what they get is not seen here")
    held = (conditions.facts or {}).get("messages_unacknowledged")
    if isinstance(held, int) and held and consumers:
        notes.append(f"{amount(held, 'letter is', 'letters are')} in somebody else's hands and not seen here")
    if conditions.federated:
        notes.append(f"{conditions.name} is federated: while letters are taken from it RabbitMQ brings others from its upstream, which stay here")
    if waiting := out_of_sight(conditions.facts or {}):
        why = ("it holds back what is returned to it for another try" if conditions.delayed_retry not in (None, "disabled")
               else "its own dead-letter exchange has not taken them yet")
        notes.append(f"{amount(waiting, 'message')} in {conditions.name} {'is' if waiting == 1 else 'are'} ready for nobody and not seen here: {why}")
    return notes
