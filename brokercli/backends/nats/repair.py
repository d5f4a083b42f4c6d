"""A run over the letters of a stream: each copy confirmed where it goes, and only then its letter taken out."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brokercli.backends.contract import Batch, Reader, withheld_in_words
from brokercli.backends.dead_letters import Goal, Move, Repair, RepairPolicy, State
from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.dead_originals import DeadOriginals
from brokercli.backends.nats.homes import Home, Homes
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.in_hand import InHand
from brokercli.backends.nats.letter_counts import LetterCounts
from brokercli.backends.nats.letters import NatsLetterReader
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.moving import Mover, Window
from brokercli.backends.nats.originals import Where
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.putting_back import CopyBlocks, as_copy
from brokercli.backends.nats.records import NatsBatch
from brokercli.backends.nats.removing import Remover
from brokercli.model.errors import BrokercliError, Unreachable
from brokercli.model.message import Header, Message, Place, Record
from brokercli.model.receipt import Receipt, Receipts, Verdict

BEFORE = "it had been put back before, and was only taken out now"
TWICE = "another letter for the same message was put back in this run, and this one was only taken out"
_ELSEWHERE = "the letter was gone by then: somebody else had taken it out, or it had expired"
_ASK_AGAIN_SECONDS = 0.2
_STAYS = "stored at its destination, but its letter could not be taken out of {}: {}"


@dataclass(slots=True)
class Handled:
    """A letter on its way through `settle`."""

    index: int
    sequence: int
    copy: Message | Sent
    home: Home
    original: Where | None
    duplicate: str = ""
    """Why nothing was stored for it although it counts as put back."""


class _Begun:
    """Letters whose copies are on their way: they are taken out as soon as it is known which are stored."""

    def __init__(self, repair: NatsRepair, letters: list[tuple[list[Handled], Window]], receipts: Receipts) -> None:
        self._repair = repair
        self._letters = letters
        self._receipts = receipts
        self._take_out: Callable[[], Receipts] | None = None

    def go_on(self) -> None:
        """Begin to take out where every verdict is there."""
        if self._take_out is None and all(self._repair.mover.judged(window) for _, window in self._letters):
            self._begin()

    def finish(self) -> Receipts:
        """Wait for the verdicts and take the letters out."""
        return (self._take_out or self._begin())()

    def _begin(self) -> Callable[[], Receipts]:
        stored = [letter for letters, window in self._letters for letter in self._repair.stored(letters, window, self._receipts)]
        self._take_out = self._repair.begin_to_take_out(stored, self._receipts)
        return self._take_out


class NatsRepair(Repair):
    """Reads on from the first letter. Two repairs of one stream share it safely inside the duplicate window.

    What `settle` and `mark` return is what the broker has. When nothing more can be settled, that call still returns its
    verdicts, and the next one of any kind raises why.
    """

    overlapping = True

    def __init__(self, link: Link, stream: str, reader: NatsLetterReader, homes: Homes, originals: DeadOriginals, remover: Remover, counts: LetterCounts,
                 policy: RepairPolicy, guarantee: str, notes: Sequence[str]) -> None:
        self.guarantee = guarantee
        self.notes = notes
        self.expected = reader.expected
        self._link = link
        self._stream = stream
        self._reader = reader
        self._homes = homes
        self._originals = originals
        self._counts = counts
        self._in_hand = InHand(remover, counts)
        self.mover = Mover(policy.delivery_timeout)
        self._patience = policy.delivery_timeout
        self._batch = max(1, policy.batch)
        self._rest: Batch | None = None
        self._begun: _Begun | None = None
        self._failure: BrokercliError | None = None
        """Why nothing can be settled any more, but for a connection that is lost for good."""
        self._denial: BrokercliError | None = None
        """Why some destinations take nothing."""
        self._newcomers: Reader | None = None
        self._left_off = Counter[str]()
        self._closed = False

    # reading

    def read(self, timeout: float) -> Batch | None:
        self.check()
        batch, self._rest = self._rest, None
        if batch is None:
            batch = self._reader.read(timeout)
            if batch is None:
                return None
            self._in_hand.take(self._reader.passed)
        if len(batch) > self._batch:
            self._rest = batch.select(range(self._batch, len(batch)))
            batch = batch.select(range(self._batch))
        return batch

    @property
    def finished(self) -> bool:
        return self._rest is None and self._reader.finished

    # putting back

    def settle(self, moves: Sequence[Move]) -> Receipts:
        self.check()
        receipts = Receipts()
        try:
            self._prepare([move.original for move in moves if move.original is not None])
        except BrokercliError as problem:
            self._failure = problem
            for index in range(len(moves)):
                receipts.count(Receipt(index, Verdict.REFUSED, reason=str(problem)))
            return receipts
        firsts: dict[Where, int] = {}
        repeats: list[tuple[Handled, int]] = []
        ways: dict[int, list[Handled]] = defaultdict(list)
        seen: set[int] = set()
        for index, move in enumerate(moves):
            letter = self._prepared(index, move, seen)
            if isinstance(letter, str):
                receipts.count(Receipt(index, Verdict.REFUSED, reason=letter))
            elif letter.original is None:
                ways[id(letter.home.publisher)].append(letter)
            elif letter.original in firsts or letter.original in self._originals.put_back:
                repeats.append((letter, firsts.get(letter.original, -1)))
            else:
                firsts[letter.original] = index
                ways[id(letter.home.publisher)].append(letter)
        begun = [(letters, self.mover.begin(publisher, publisher.send, [letter.copy for letter in letters]))
                 for letters in ways.values() for publisher in (letters[0].home.publisher,)]
        stored = [letter for letters, window in begun for letter in self.stored(letters, window, receipts)]
        stored_indices = {letter.index for letter in stored}
        for letter, first in repeats:
            if first < 0 or first in stored_indices:
                letter.duplicate = TWICE
                stored.append(letter)
            else:
                receipts.count(Receipt(letter.index, Verdict.REFUSED, reason="another letter for the same message could not be put back"))
        return self.begin_to_take_out(stored, receipts)()

    def forward(self, batch: Batch, goals: Sequence[Goal], headers: Sequence[tuple[Header, ...]]) -> Callable[[], Receipts]:
        if not isinstance(batch, NatsBatch) or batch.stream != self._stream or self._originals.within:
            return super().forward(batch, goals, headers)
        self.check()
        if self._begun is not None:
            self._begun.go_on()
        receipts = Receipts()
        ways: dict[int, tuple[JetStreamPublisher, list[Handled]]] = {}
        seen: set[int] = set()
        found: dict[int, tuple[Home, bytes, list[Handled]] | str] = {}
        identity, write_block = self._originals.copy_id, CopyBlocks(self._left_off).write
        rows = batch.rows()
        new = self._in_hand.are_new([row.sequence or 0 for row in rows])
        for index, ((_, sequence, _, _, body), goal, kept) in enumerate(zip(rows, goals, headers, strict=True)):
            way = found.get(id(goal))
            if way is None:
                way = found[id(goal)] = self._way(goal, ways)
            number = sequence or 0
            why = "" if new else self._in_hand.repeated(number, seen)
            if why or isinstance(way, str):
                receipts.count(Receipt(index, Verdict.REFUSED, reason=why or str(way)))
                continue
            home, subject, letters = way
            try:
                copy = Sent(subject, write_block(kept, identity(number, None)), body)
            except Refusal as refusal:
                receipts.count(Receipt(index, Verdict.REFUSED, reason=str(refusal)))
                continue
            letters.append(Handled(index, number, copy, home, None))
        begun = [(letters, self.mover.begin(publisher, publisher.send_prepared, [letter.copy for letter in letters]))
                 for publisher, letters in ways.values() if letters]
        self._in_hand.send_off([letter.sequence for letters, _ in begun for letter in letters])
        self._begun = _Begun(self, begun, receipts)
        return self._begun.finish

    def _way(self, goal: Goal, ways: dict[int, tuple[JetStreamPublisher, list[Handled]]]) -> tuple[Home, bytes, list[Handled]] | str:
        """Return how letters get to a goal, and those that go by the same publisher, of `ways`; or why nothing can be put there."""
        home = self._homes.find(goal.address)
        if isinstance(home, str):
            return home
        try:
            publisher = home.publisher
            subject = publisher.subject_for(goal.route if goal.address.kind == "stream" else goal.address.name)
        except Refusal as refusal:
            return str(refusal)
        return home, subject, ways.setdefault(id(publisher), (publisher, []))[1]

    def _prepare(self, originals: Sequence[Place]) -> None:
        """Ask what these letters need to be judged. A server of a cluster that is away takes the leaders of its consumers with it for a while: it is
        waited for as long as for a verdict."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._originals.prepare(originals)
            except Unreachable:
                if self._link.failure is not None or time.monotonic() >= deadline:
                    raise
                time.sleep(_ASK_AGAIN_SECONDS)
            else:
                return

    def _prepared(self, index: int, move: Move, seen: set[int]) -> Handled | str:
        sequence = self._sequence(move.record, seen)
        if isinstance(sequence, str):
            return sequence
        home = self._homes.find(move.destination)
        if isinstance(home, str):
            return home
        original = None
        if move.original is not None or self._originals.within:
            original = self._originals.original_of(move)
            refusal = self._originals.refusal(move.record, sequence, original)
            if refusal is not None:
                return refusal
        subject = None if move.destination.kind == "stream" else move.destination.name
        return Handled(index, sequence, as_copy(move.message, self._originals.copy_id(sequence, original), subject, self._left_off), home, original)

    def _sequence(self, record: Record, seen: set[int]) -> int | str:
        sequence = record.place.get("sequence")
        if record.place.get("stream") != self._stream or not isinstance(sequence, int):
            return f"it is no letter of stream {self._stream}"
        return self._in_hand.repeated(sequence, seen) or sequence

    def stored(self, letters: Sequence[Handled], window: Window, receipts: Receipts) -> list[Handled]:
        """Return the letters whose copies are stored; the verdict on every other one is entered."""
        judged = self.mover.finish(window)
        if not judged and window.taken == len(letters) and window.publisher.failure is None and window.publisher.denied is None:
            return list(letters)
        if (failure := window.publisher.failure) is not None and not self._homes.shut(window.publisher):
            self._failure = self._failure or failure
        why = failure or window.publisher.denied
        self._denial = self._denial or why
        stored = []
        for place, letter in enumerate(letters):
            receipt = judged.get(place)
            if place >= window.taken:
                receipt = Receipt(letter.index, Verdict.REFUSED, reason=str(why))
            if receipt is None or receipt.verdict is Verdict.CONFIRMED:
                letter.duplicate = BEFORE if receipt is not None else ""
                stored.append(letter)
            else:
                self._in_hand.keep(letter.sequence)
                receipts.count(Receipt(letter.index, receipt.verdict, reason=receipt.reason))
        return stored

    # taking out

    def begin_to_take_out(self, letters: Sequence[Handled], receipts: Receipts) -> Callable[[], Receipts]:
        """Begin to take out the originals that would be left as dead storage, then the letters: a letter that is still there finds
        its original gone, where an original without its letter would be put back once more. Return what waits until it is done."""
        if not letters:
            return lambda: receipts
        stays = self._originals.remove([letter.original for letter in letters if letter.original is not None])
        going: list[Handled] = []
        for letter in letters:
            why = None if letter.original is None else stays.get(letter.original)
            if why is None:
                going.append(letter)
            else:
                self._in_hand.keep(letter.sequence)
                receipts.count(Receipt(letter.index, Verdict.UNKNOWN, reason=why))
        if not going:
            return lambda: receipts
        remove = self._in_hand.begin_to_take_out([letter.sequence for letter in going])

        def finish() -> Receipts:
            removed = remove()
            self._failure = self._failure or removed.ends_the_run
            # of the others, nearly all, there is nothing to say
            told = [letter for letter in going if letter.duplicate or letter.sequence in removed.failed or letter.sequence in removed.gone_before]
            receipts.confirmed += len(going) - len(told)
            for letter in told:
                why = removed.failed.get(letter.sequence)
                if why is not None:
                    receipts.count(Receipt(letter.index, Verdict.UNKNOWN, reason=_STAYS.format(self._stream, why)))
                else:
                    receipts.count(Receipt(letter.index, Verdict.CONFIRMED, reason=letter.duplicate or _ELSEWHERE, duplicate=True))
            return receipts
        return finish

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        self.check()
        receipts = Receipts()
        seen: set[int] = set()
        places: dict[int, int] = {}
        for index, record in enumerate(records):
            sequence = self._sequence(record, seen)
            if isinstance(sequence, str):
                receipts.count(Receipt(index, Verdict.REFUSED, reason=sequence))
            else:
                places[sequence] = index
        if places:
            removed = self._in_hand.begin_to_take_out(list(places))()
            self._failure = self._failure or removed.ends_the_run
            for sequence, why in removed.failed.items():
                receipts.count(Receipt(places[sequence], Verdict.UNKNOWN, reason=f"it could not be taken out of {self._stream}: {why}"))
            for sequence in sorted(removed.gone_before):
                receipts.count(Receipt(places[sequence], Verdict.CONFIRMED, reason=_ELSEWHERE, duplicate=True))
            receipts.confirmed += len(places) - len(removed.failed) - len(removed.gone_before)
        return receipts

    def arrived(self) -> int | None:
        return self._counts.arrived()

    def newcomers(self) -> Reader | None:
        self._newcomers = self._newcomers or self._counts.look()
        return self._newcomers

    @property
    def failure(self) -> BrokercliError | None:  # type: ignore[override]
        """As promised."""
        return self._failure or self._link.failure or self._denial

    def check(self) -> None:
        failure = self._failure or self._link.failure
        if failure is not None:
            raise failure

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.notes = [*self.notes, *self._homes.notes, *self._originals.notes]
        if self._left_off:
            self.notes = [*self.notes, withheld_in_words(self._left_off)]
        if self._newcomers is not None:
            self._newcomers.close()
        self._reader.close()
        self._homes.close()
