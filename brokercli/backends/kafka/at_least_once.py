"""Moving letters without transactions: each copy confirmed, and only then marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from time import monotonic

from brokercli.backends.contract import Publisher
from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.convert import to_message
from brokercli.backends.kafka.destinations import DENIED, GONE, Destinations
from brokercli.backends.kafka.ledger import Entry, Ledger, Letter
from brokercli.backends.kafka.way import NO_ROOM, Way, give
from brokercli.model.errors import BrokercliError, Failed, Unreachable
from brokercli.model.receipt import NAMELESS, Receipt, Receipts, Verdict

_NOT_MARKED = "stored at its destination, but not marked here: {}"


class AtLeastOnce(Way):
    """A publisher for each destination, and the offsets committed after each part."""

    def __init__(self, topic: str, ledger: Ledger, destinations: Destinations, open_publisher: Callable[[str], Publisher], delivery_timeout: float,
                 why: str) -> None:
        self._topic = topic
        self._destinations = destinations
        self._ledger = ledger
        self._open = open_publisher
        self._delivery_timeout = delivery_timeout
        self._publishers: dict[str, Publisher] = {}
        self._numbered: dict[str, int] = {}
        self.failure: BrokercliError | None = None
        self.guarantee = (f"at least once: {why}; the letters of one step, up to {{batch:,}}, are put back twice when this is killed between their "
                          "confirmation and the mark, or when somebody else redrives them at the same time")

    def move(self, letters: Sequence[Letter], state: State) -> Receipts:
        receipts = Receipts()
        try:
            if self._ledger.changed_by_another():
                self.failure = self._another_is_at_work()
        except BrokercliError as problem:
            self.failure = problem
        if self.failure is not None:
            give(receipts, letters, Verdict.REFUSED, str(self.failure))
            return receipts
        entry = self._ledger.entry(letters, state)
        give(receipts, entry.without_room, Verdict.REFUSED, NO_ROOM)
        if not entry.letters:
            self.failure = Failed(f"{self._topic}: {NO_ROOM}.", hint="handle the oldest pending letters first")
        by_topic: dict[str, list[Letter]] = defaultdict(list)
        for letter in entry.letters:
            by_topic[letter.topic].append(letter)
        stored = [letter for topic, group in by_topic.items() for letter in (self._publish(topic, group, receipts) if topic else group)]
        if stored:
            self._mark(stored, state, receipts)
        return receipts

    def _publish(self, topic: str, letters: Sequence[Letter], receipts: Receipts) -> list[Letter]:
        """Return the letters whose copies are confirmed; the verdict on every other one is entered."""
        if self.failure is not None:
            give(receipts, letters, Verdict.REFUSED, str(self.failure))
            return []
        try:
            publisher = self._publishers.get(topic) or self._publishers.setdefault(topic, self._open(topic))
        except BrokercliError as problem:
            give(receipts, letters, Verdict.REFUSED, str(problem))
            return []
        messages = [to_message(letter.native) for letter in letters if letter.native is not None]
        verdicts, sent, began = Receipts(), 0, monotonic()
        try:
            while sent < len(messages):
                taken = publisher.send(messages[sent:])
                sent += taken
                verdicts.add(publisher.collect(0.0 if taken else 0.1))
            verdicts.add(publisher.finish(self._delivery_timeout))
            self._learn_from(topic, publisher, verdicts, monotonic() - began)
        except BrokercliError as problem:
            self.failure = problem
            verdicts.add(publisher.finish(0))
        # a publisher numbers what it was given from its first message on
        first = self._numbered.get(topic, 0)
        self._numbered[topic] = first + sent
        judged = {receipt.index - first: receipt for receipt in verdicts.problems}
        named = verdicts.tell_apart(sent, first)
        stored = []
        for place, letter in enumerate(letters):
            receipt = judged.get(place)
            if place >= sent:
                give(receipts, [letter], Verdict.REFUSED, str(self.failure))
            elif receipt is None or receipt.verdict is Verdict.CONFIRMED:
                if named:
                    stored.append(letter)
                else:
                    give(receipts, [letter], Verdict.UNKNOWN, NAMELESS)
            else:
                receipts.count(Receipt(letter.number, receipt.verdict, reason=receipt.reason))
        return stored

    def _learn_from(self, topic: str, publisher: Publisher, verdicts: Receipts, seconds: float) -> None:
        """Take in what the verdicts say of the topic, so that the next letters for it need not wait to hear it again. Raises why its
        publisher cannot go on."""
        if any(receipt.reason == DENIED for receipt in verdicts.problems):
            self._destinations.close_to_us(topic, DENIED)
        elif verdicts.refused or verdicts.unknown:
            if self._destinations.gone([topic]):
                self._destinations.close_to_us(topic, GONE)
            elif seconds >= self._delivery_timeout and verdicts.confirmed:
                self._destinations.look_again([topic])
            elif seconds >= self._delivery_timeout:
                # the next part's would wait as long again, and the other topics' letters with them
                self._destinations.close_to_us(topic, f"{topic} takes nothing any more: it has confirmed nothing for {self._delivery_timeout:g} s")
            verdicts.add(publisher.collect(0))

    def _mark(self, letters: Sequence[Letter], state: State, receipts: Receipts) -> None:
        entry = Entry(letters, (), {}, [])
        try:
            # a run in transactions is not kept from marking letters while ours are on their way; what it has entered, and waits to be
            # entered now, would be written over, and everything that it put back would go again
            if self._ledger.changed_by_another():
                self._ledger.reread(self._ledger.handled.sets)
                self.failure = self._another_is_at_work()
            entry = self._ledger.entry(letters, state)
            _leave_in_doubt(receipts, entry.without_room, NO_ROOM)
            self._ledger.commit(entry)
        except BrokercliError as problem:
            _leave_in_doubt(receipts, entry.letters, str(problem))
            self.failure = Unreachable(f"{self._topic}: {problem}", hint="the letters of this step may be put back a second time by the next run"
                                       if any(letter.topic for letter in entry.letters) else "the same command goes on with what is not marked")
            return
        self._ledger.adopt(entry)
        receipts.confirmed += len(entry.letters)

    def _another_is_at_work(self) -> Failed:
        return Failed(f"Another redrive of {self._topic} is at work.", hint="when it is done, the same command goes on with what is left")

    def record_passed(self, ends: dict[int, int]) -> None:
        entry = self._ledger.passed(ends)
        if entry is None or self.failure is not None:
            return
        try:
            # what another run has entered meanwhile is not written over
            if not self._ledger.changed_by_another():
                self._ledger.commit(entry)
        except BrokercliError as problem:
            self.failure = problem

    @property
    def notes(self) -> Sequence[str]:
        return list(dict.fromkeys(note for publisher in self._publishers.values() for note in publisher.notes))

    def close(self) -> None:
        for publisher in self._publishers.values():
            publisher.close()


def _leave_in_doubt(receipts: Receipts, letters: Sequence[Letter], why: str) -> None:
    """Enter that letters are perhaps not marked; of those that have a copy, which is stored, that as well."""
    give(receipts, [letter for letter in letters if letter.topic], Verdict.UNKNOWN, _NOT_MARKED.format(why))
    give(receipts, [letter for letter in letters if not letter.topic], Verdict.UNKNOWN, why)
