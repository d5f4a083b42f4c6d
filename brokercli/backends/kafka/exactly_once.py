"""Moving letters in transactions: copies and marks become visible together, and a second operator fences the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, sleep
from typing import TypeVar

from confluent_kafka import KafkaError

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.destinations import DENIED, GONE, Destinations, least_size
from brokercli.backends.kafka.failures import REFUSED
from brokercli.backends.kafka.ledger import Entry, Ledger, Letter
from brokercli.backends.kafka.neighbours import BATCH_OVERHEAD, SHARE
from brokercli.backends.kafka.transaction import LONGEST_TIMEOUT, Copy, Ending, NoTransactions, Transactions
from brokercli.backends.kafka.way import NO_ROOM, Way, give
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable
from brokercli.model.receipt import Receipts, Verdict

_TRIES = 3
_AGAIN_SECONDS = 0.2
_LEAST_PATIENCE = 3.0
"""Seconds without a message stored or an answer, after which another producer is tried; less where the delivery timeout is short."""
_LOST = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE)
_ASK = "ask for the ACL, or use a context with another login"
_WHOLE_RUN = {
    KafkaError.GROUP_AUTHORIZATION_FAILED: "no permission to commit offsets for the group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "no permission for transactions any more",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "no permission for idempotent writes on this cluster",
}
Answer = TypeVar("Answer")


class ExactlyOnce(Way):
    """One transaction for each part of what is given: all of it, unless something in it cannot be stored."""

    guarantee = ("exactly once: the copies of letters, up to {batch:,}, and the mark that they were handled are one transaction; consumers that read "
                 "committed records only (isolation.level=read_committed) never see one twice")

    def __init__(self, topic: str, ledger: Ledger, destinations: Destinations, open_transactions: Callable[[int], Transactions],
                 patience: float, waiting: Callable[[str], None]) -> None:
        """`open_transactions` makes a producer for batches of so many bytes; that fences whoever else works here. `patience` is for how
        many seconds a broker that is coming back is asked again; `waiting` is told of it."""
        self._topic = topic
        self._ledger = ledger
        self._destinations = destinations
        self._patience = patience
        self._waiting = waiting
        self._least = self._still = min(_LEAST_PATIENCE, patience / 3)
        self._open = open_transactions
        self._batch_bytes = destinations.batch_bytes
        self._transactions = open_transactions(self._batch_bytes)
        self._renewed = False
        """Whether producers were changed on the way, between which another run may have handled letters that are in hand here."""
        self.failure: BrokercliError | None = None

    def move(self, letters: Sequence[Letter], state: State) -> Receipts:
        receipts = Receipts()
        parts: list[tuple[Sequence[Letter], int]] = [(letters, 0)]
        while parts:
            part, tries = parts.pop()
            if self.failure is not None:
                give(receipts, part, Verdict.REFUSED, str(self.failure))
                continue
            if self._renewed and not (part := self._still_pending(part, receipts)):
                continue
            entry = self._ledger.entry(part, state)
            give(receipts, entry.without_room, Verdict.REFUSED, NO_ROOM)
            if not entry.letters:
                self.failure = Failed(f"{self._topic}: {NO_ROOM}.", hint="handle the oldest pending letters first")
                continue
            ending = self._run(entry, tries)
            if ending.outcome == "committed":
                self._ledger.adopt(entry)
                receipts.confirmed += len(entry.letters)
            elif ending.outcome == "in doubt":
                if not self._find_out(entry, state, ending, receipts):
                    parts.extend(reversed([*self._after_abort(entry.letters, ending, tries, receipts, renewed=True)]))
            else:
                # the first of them comes next
                parts.extend(reversed([*self._after_abort(entry.letters, ending, tries, receipts)]))
        return receipts

    def _still_pending(self, letters: Sequence[Letter], receipts: Receipts) -> Sequence[Letter]:
        """Return the letters that nobody has handled meanwhile; the others are refused."""
        pending = []
        for letter in letters:
            state = self._ledger.state(letter.partition, letter.offset)
            if state is State.PENDING:
                pending.append(letter)
            else:
                why = f"it is handled already ({state})" if self._ledger.is_stored(letter) else "it is not stored any more"
                give(receipts, [letter], Verdict.REFUSED, why)
        return pending

    def record_passed(self, ends: dict[int, int]) -> None:
        entry = self._ledger.passed(ends)
        if entry is not None and self.failure is None and self._transactions.usable and self._run(entry).outcome == "committed":
            self._ledger.adopt(entry)

    def _run(self, entry: Entry, tries: int = 0) -> Ending:
        if self._destinations.batch_bytes < self._batch_bytes:
            # a topic that takes only smaller batches would refuse every message in a larger one
            self._batch_bytes = self._destinations.batch_bytes
            try:
                self._reopen()
            except BrokercliError as problem:
                self.failure = problem
                return Ending("aborted", str(problem))
        copies = [Copy(letter.topic, letter.native) for letter in entry.letters if letter.native is not None]
        began = monotonic()
        # the last try lasts until the client itself says which letters it could not store
        ending = self._transactions.run(copies, entry.offsets, self._ledger.group, self._still if tries < _TRIES - 1 else LONGEST_TIMEOUT)
        # who is slow is not taken for lost a second time
        if ending.outcome == "committed":
            self._still = max(self._least, 2 * (monotonic() - began))
        elif not self._transactions.usable:
            self._still = min(self._patience, 2 * self._still)
        return ending

    def _reopen(self) -> None:
        self._transactions.close()
        try:
            self._transactions = self._when_it_is_back(lambda: self._open(self._batch_bytes))
        except NoTransactions as problem:
            raise NotAuthorised(f"Transactions for {self._topic} are not permitted any more: {problem}.", hint="ask for the ACL") from None

    def _after_abort(self, letters: Sequence[Letter], ending: Ending, tries: int, receipts: Receipts, *,
                     renewed: bool = False) -> Iterator[tuple[Sequence[Letter], int]]:
        """Judge what was not stored, and yield the parts to try again; `renewed` says that there is a new producer already."""
        denied = ending.code == KafkaError.TOPIC_AUTHORIZATION_FAILED
        if ending.taken_over:
            self.failure = self._taken_over()
        elif ending.code in _WHOLE_RUN:
            self.failure = NotAuthorised(f"{self._topic}: {_WHOLE_RUN[ending.code]}.", hint=_ASK)
        elif denied and ending.stored:
            self.failure = NotAuthorised(f"{self._topic}: no permission to read the letters any more, so none can be marked.", hint=_ASK)
        elif ending.code == KafkaError.UNKNOWN_TOPIC_OR_PART and ending.stored and self._destinations.gone([self._topic]):
            # the copies were taken: it is the topic of the letters that is gone, and no smaller part of them can be marked either
            self.failure = NotFound(f"{self._topic} does not exist any more, and its letters with it.", hint="those that were on their way are in the journal")
        if self.failure is None and not self._transactions.usable:
            renewed = True
            self._recover()
        if self.failure is not None:
            give(receipts, letters, Verdict.REFUSED, str(self.failure))
        elif ending.code in _LOST and not ending.culprits and (gone := self._destinations.gone({letter.topic for letter in letters if letter.topic})):
            yield from self._but(dict.fromkeys(gone, GONE), {}, letters, tries, receipts)
        elif renewed and tries < _TRIES and not ending.culprits and not denied:
            yield letters, tries + 1
        elif ending.code == KafkaError.OFFSET_METADATA_TOO_LARGE and self._ledger.narrow():
            yield letters, tries
        elif ending.culprits:
            yield from self._without(ending, letters, tries, receipts)
        elif denied and len({letter.topic for letter in letters}) == 1:
            self._destinations.close_to_us(letters[0].topic, DENIED)
            give(receipts, letters, Verdict.REFUSED, DENIED)
        elif len(letters) == 1 or ending.code in _LOST:
            give(receipts, letters, Verdict.REFUSED, REFUSED.get(ending.code, ending.why))
        else:
            yield from ((part, 0) for part in _divided(letters))

    def _makes_smaller_batches(self, ending: Ending, letters: Sequence[Letter]) -> bool:
        """Make batches smaller from now on where one was refused for its size, and not what is in it: a login may not be permitted to ask how much a
        topic takes, and that may change."""
        copies = [letter.native for letter in letters if letter.native is not None]
        least = min((least_size(copies[index]) for index in ending.culprits), default=self._batch_bytes)
        smaller = self._batch_bytes // SHARE
        if least + BATCH_OVERHEAD > smaller:
            return False
        self._destinations.batch_bytes = smaller
        return True

    def _without(self, ending: Ending, letters: Sequence[Letter], tries: int, receipts: Receipts) -> Iterator[tuple[Sequence[Letter], int]]:
        if ending.code == KafkaError.MSG_SIZE_TOO_LARGE and self._makes_smaller_batches(ending, letters):
            yield letters, tries
            return
        copies = [letter for letter in letters if letter.native is not None]
        closed = {copies[index].topic: reason for index, reason in ending.culprits.items() if reason == DENIED}
        reasons = {copies[index].number: reason for index, reason in ending.culprits.items()}
        if ending.code in _LOST and (short := self._destinations.look_again({copies[index].topic for index in ending.culprits})):
            letters = [self._placed_anew(letter, reasons) if letter.topic in short else letter for letter in letters]
        yield from self._but(closed, reasons, letters, tries, receipts)

    def _placed_anew(self, letter: Letter, reasons: dict[int, str]) -> Letter:
        """Return a letter for a topic with partitions that take nothing; where it goes to such a one, that is entered as the reason."""
        home = Address(letter.topic, "topic")
        if letter.native is None:
            return letter
        native = self._destinations.placed(home, letter.native)
        if why := self._destinations.refusal(home, native, letter.size):
            reasons.setdefault(letter.number, why)
        return letter._replace(native=native)

    def _but(self, closed: dict[str, str], reasons: dict[int, str], letters: Sequence[Letter], tries: int,
             receipts: Receipts) -> Iterator[tuple[Sequence[Letter], int]]:
        """Refuse the letters for closed topics and those that have a reason, and yield the rest to try again."""
        for topic, reason in closed.items():
            self._destinations.close_to_us(topic, reason)
        rest = []
        for letter in letters:
            why = closed.get(letter.topic) or reasons.get(letter.number)
            if why is None:
                rest.append(letter)
            else:
                give(receipts, [letter], Verdict.REFUSED, why)
        if rest:
            # each try finds at least one; when they are many, the halves keep what it costs within bounds
            yield from ((part, 0) for part in _halves(rest)) if tries >= _TRIES else ((rest, tries + 1),)

    def _recover(self) -> None:
        try:
            self._reopen()
            self._reread()
        except BrokercliError as problem:
            self.failure = problem

    def _reread(self) -> None:
        self._renewed = True
        self._when_it_is_back(lambda: self._ledger.reread(self._ledger.handled.sets))

    def _when_it_is_back(self, ask: Callable[[], Answer]) -> Answer:
        deadline = monotonic() + self._patience
        while True:
            try:
                return ask()
            except NotAuthorised:
                raise
            except BrokercliError:
                if monotonic() >= deadline:
                    raise
                sleep(_AGAIN_SECONDS)

    def _find_out(self, entry: Entry, state: State, ending: Ending, receipts: Receipts) -> bool:
        """Learn what became of a commit that was not answered, by what the broker has now; False when nothing was committed."""
        self._waiting(f"the answer to a commit did not come: asking the broker what became of it, for {self._patience:g} s at most")
        try:
            if not ending.taken_over:
                # waits until the broker has ended the transaction, one way or the other
                self._reopen()
            self._reread()
        except BrokercliError as problem:
            self.failure = Unreachable(f"{self._topic}: the answer to a commit was lost, and the broker cannot be asked: {problem}",
                                       hint="redrive again when it is back: it knows which letters were handled")
            give(receipts, entry.letters, Verdict.UNKNOWN, "the answer to the commit was lost, and the broker cannot be asked what became of it")
            return True
        if ending.taken_over:
            self.failure = self._taken_over()
        stored = [letter for letter in entry.letters if self._ledger.is_stored(letter)]
        if not stored and not self._ledger.has(entry):
            give(receipts, entry.letters, Verdict.UNKNOWN, "the answer to the commit was lost, and the letters were deleted before the broker could be asked")
            return True
        if all(self._ledger.state(letter.partition, letter.offset) in (state, State.HANDLED) for letter in stored):
            receipts.confirmed += len(entry.letters)
            return True
        return False

    def _taken_over(self) -> Failed:
        return Failed(f"Another redrive of {self._topic} has taken over, or this one was stopped for so long that the broker ended its transaction; "
                      "nothing that was open was put back.", hint="when the other one is done, the same command goes on with what is left")

    def close(self) -> None:
        self._transactions.close()


def _divided(letters: Sequence[Letter]) -> list[Sequence[Letter]]:
    """Divide by destination, or in halves where there is only one."""
    by_topic: dict[str, list[Letter]] = defaultdict(list)
    for letter in letters:
        by_topic[letter.topic].append(letter)
    return list(by_topic.values()) if len(by_topic) > 1 else _halves(letters)


def _halves(letters: Sequence[Letter]) -> list[Sequence[Letter]]:
    middle = len(letters) // 2
    return [part for part in (letters[:middle], letters[middle:]) if part]
