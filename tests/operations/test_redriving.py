"""The account of a run that is stopped at the worst moment: nothing that was sent is called skipped, nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Goal, Move, Repair, State
from brokercli.dialects.redrive_headers import COUNT
from brokercli.model.address import Address
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import Failed
from brokercli.model.message import Header, Message, Record
from brokercli.model.receipt import Account, Receipt, Receipts, Verdict
from brokercli.operations.decisions import Drop, Park, Redrive, Rules
from brokercli.operations.letter_file import LetterFile
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.publishing import Outcome, Rate
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from brokercli.operations.settlers import Dropping
from brokercli.operations.through import Through, Transformed
from brokercli.terminal.interrupt import StopNow
from tests.dialects.real_letters import read_letter
from tests.dialects.test_kinds import with_value
from tests.operations.test_sorting import AT, DLQ, Outlined, laid, recogniser

HOME = Address("home", "topic")


def letter_at(offset: int, message: Message) -> Record:
    return Record("kafka", {"topic": DLQ.name, "partition": 0}, f"0:{offset}", None, message)


class Confirming(Repair):
    """Hands out letters and confirms whatever it is given: the moment of the signal is what is tried, not a broker."""

    guarantee = "none"

    def __init__(self, count: int) -> None:
        self._left = [letter_at(number, Message(b"body %d" % number)) for number in range(count)]

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left, []
        return RecordList(read) if read else None

    @property
    def finished(self) -> bool:
        return not self._left

    def settle(self, moves: Sequence[Move]) -> Receipts:
        return Receipts(confirmed=len(moves))

    def mark(self, records: Sequence[Record], state: State) -> Receipts:
        return Receipts(confirmed=len(records))

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def arrived(self) -> int | None:
        return None

    def close(self) -> None:
        pass


class Stopped(Account):
    """An account at which the second signal comes before, or after, verdicts are entered."""

    def __init__(self, entered: bool) -> None:
        super().__init__()
        self.entered = entered

    def take(self, receipts: Receipts) -> None:
        if self.entered:
            super().take(receipts)
        raise StopNow(130)


class Reading(Recogniser):
    """Takes each record for a letter."""

    def read(self, batch: Batch) -> Iterator[list[DeadLetter]]:
        yield [DeadLetter(record, "convention") for record in batch.records()]


@pytest.mark.parametrize("entered", [False, True])
def test_a_signal_between_a_verdict_and_the_account_of_it_leaves_nothing_untrue(entered: bool) -> None:
    run = Redriving(Confirming(5), Reading(None), Park(Address("parked", "topic"), unrecognised=True), LetterFilter(), limit=3,  # type: ignore[arg-type]
                    outcome=Outcome(account=Stopped(entered)))
    with pytest.raises(StopNow):
        run.run()
    account = run.abandon().account
    assert account.read == 3
    assert (account.confirmed, account.unknown) == ((3, 0) if entered else (0, 3))
    assert (account.refused, account.skipped) == (0, 0)


class Doubtful(Reading):
    """Takes every second record for a letter."""

    def read(self, batch: Batch) -> Iterator[list[DeadLetter]]:
        (letters,) = super().read(batch)
        yield [letter if int(letter.record.position[2:]) % 2 else DeadLetter(letter.record) for letter in letters]


class AtOnce(Rate):
    """Lets so many go at a time."""

    def __init__(self, count: int) -> None:
        super().__init__(1000)
        self._count = count

    def allow(self, wanted: int) -> int:
        return min(self._count, wanted)


@pytest.mark.parametrize(("count", "reading"), [(12, Doubtful), (2, Reading), (2, Doubtful)],
                         ids=["others of the batch are left", "others of the batch come later", "both"])
@pytest.mark.parametrize("entered", [False, True])
def test_a_signal_between_a_verdict_and_the_account_of_it_says_nothing_of_letters_that_were_not_sent(
        entered: bool, count: int, reading: type[Reading]) -> None:
    run = Redriving(Confirming(12), reading(None), Park(Address("parked", "topic")), LetterFilter(), rate=AtOnce(count),  # type: ignore[arg-type]
                    outcome=Outcome(account=Stopped(entered)))
    with pytest.raises(StopNow):
        run.run()
    sent = min(count, 6)
    account = run.abandon().account
    assert (account.read, account.confirmed, account.refused) == (12, sent if entered else 0, 0)
    assert (account.unknown, account.skipped) == (0 if entered else sent, 12 - sent)


class Failing(Confirming):
    """Confirms the first call; the next raises."""

    def settle(self, moves: Sequence[Move]) -> Receipts:
        if self.settled:
            raise Failed("nothing more can be settled")
        self.settled = True
        return super().settle(moves)

    settled = False


@pytest.mark.parametrize(("atomic", "elsewhere", "refused"), [(True, False, 1), (False, False, 0), (True, True, 0)])
def test_letters_of_a_call_that_raises_are_in_doubt_unless_it_does_all_or_nothing_and_they_went_nowhere_else(
        atomic: bool, elsewhere: bool, refused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.redriving.WAIT_SECONDS", 0.0)
    repair = Failing(3)
    repair.atomic = atomic
    run = Redriving(repair, Reading(None), Redrive(HOME, 3, None, None), LetterFilter(),  # type: ignore[arg-type]
                    through=Counting(), elsewhere=elsewhere)
    run.through.run = run  # type: ignore[union-attr]
    account = run.run().account
    assert (account.confirmed, account.refused, account.unknown) == (1, refused, 1 - refused)
    assert account.read == account.confirmed + account.refused + account.unknown + account.skipped


class Counting:
    """A program for which it is noted how many letters had moved when it ran."""

    def __init__(self) -> None:
        self.run: Redriving | None = None
        self.moved: list[int] = []

    def transform(self, message: Message) -> Transformed:
        assert self.run is not None
        self.moved.append(self.run.outcome.account.confirmed)
        return Transformed(message)


class Flooded(Confirming):
    """As many letters as there are come in pairs, while thousands of new ones arrive."""

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left[:30], self._left[30:]
        return RecordList(read) if read else None

    def arrived(self) -> int | None:
        return 5000


@pytest.mark.parametrize(("rules", "elsewhere", "count", "stopped"), [
    (Redrive(HOME, 3, None, None), False, 90, True), (Redrive(HOME, 3, None, None), False, 30, False),
    (Redrive(HOME, 3, None, None), True, 90, False), (Park(Address("parked", "topic"), unrecognised=True), False, 90, False),
    (Drop(unrecognised=True), False, 90, False)], ids=["home", "home, and all done", "to another broker", "parked", "dropped"])
def test_letters_that_come_meanwhile_stop_only_what_could_have_made_them(rules: Rules, elsewhere: bool, count: int, stopped: bool) -> None:
    run = Redriving(Flooded(count), Reading(None), rules, LetterFilter(), elsewhere=elsewhere)  # type: ignore[arg-type]
    outcome = run.run(Dropping(run.repair) if isinstance(rules, Drop) or elsewhere else None)
    assert (outcome.error is not None) is stopped
    assert outcome.account.confirmed == (30 if stopped else count)


class Recording(Confirming):
    """Hands letters out a few at a time, and notes what it is told to do with them."""

    def __init__(self, letters: Sequence[Record], overlapping: bool = False) -> None:
        super().__init__(0)
        self._left = list(letters)
        self.overlapping = overlapping
        self.moves: list[Move] = []
        self.open = 0
        self.forwarded = 0

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left[:7], self._left[7:]
        return Outlined(read) if read else None

    def forward(self, batch: Batch, goals: Sequence[Goal], headers: Sequence[tuple[Header, ...]]) -> Callable[[], Receipts]:
        self.forwarded += len(batch)
        return super().forward(batch, goals, headers)

    def begin(self, moves: Sequence[Move]) -> Callable[[], Receipts]:
        if not self.overlapping:
            return super().begin(moves)
        self.open += 1
        assert self.open <= 2

        def finish() -> Receipts:
            self.open -= 1
            return self.settle(moves)

        return finish

    def settle(self, moves: Sequence[Move]) -> Receipts:
        receipts = Receipts()
        for index in range(len(moves)):
            number = len(self.moves) + index
            receipts.count(Receipt(index, Verdict.REFUSED if number % 10 == 7 else Verdict.CONFIRMED, duplicate=number % 10 == 3))
        self.moves += moves
        return receipts


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_is_done_to_whole_batches_is_what_is_done_to_each_letter(tmp_path: Path, overlapping: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.coming_back.time", SimpleNamespace(time_ns=lambda: AT))
    real = read_letter("spring_kafka")
    letters = laid([real if number % 4 else with_value(real, 0, b"%d" % number) for number in range(20)] + [letter_at(20, Message(b"none"))] * 3
                   + [replace(real, message=replace(real.message, headers=(*real.message.headers, (COUNT, b"3"))))] * 2).records()
    runs: list[tuple[object, ...]] = []
    for rate in (Rate(None), Rate(1e9)):
        repair, told, begun = Recording(letters, overlapping), Receipts(), iter(range(2))
        with LetterFile(tmp_path / f"letters-{len(runs)}") as journal:
            run = Redriving(repair, recogniser(), Redrive(source=DLQ), LetterFilter(), journal=journal, rate=rate,
                            on_begin=lambda begun=begun: next(begun), on_receipts=told.add)  # type: ignore[misc]
            account = run.run().account
        assert (run.outcome.error, run.outcome.stopped, repair.open) == (None, False, 0)
        assert repair.forwarded == (len(repair.moves) if rate.unlimited else 0)
        assert next(begun) == 1, "it was told once that it begins"
        went = [(move.record.position, move.destination, move.message.body, move.message.key, move.message.headers) for move in repair.moves]
        runs.append((account, told, run.plan, went, Path(journal.path).read_bytes()))
    assert runs[0] == runs[1]
    assert runs[0][0] == Account(read=25, confirmed=18, refused=4, skipped=3)
    assert told.duplicates == 2


@pytest.mark.parametrize("limit", [1, 7, 8, 12])
def test_as_many_letters_go_as_the_limit_says_and_no_more_are_read(limit: int) -> None:
    repair = Recording([letter_at(number, Message(b"%d" % number)) for number in range(12)])
    account = Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), limit=limit).run().account  # type: ignore[arg-type]
    assert [move.record.position for move in repair.moves] == [f"0:{number}" for number in range(limit)]
    assert (account.read, account.skipped) == (limit, 0)
    assert len(repair._left) == (5 if limit <= 7 else 0)


@pytest.mark.parametrize("overlapping", [False, True])
def test_whoever_stops_it_is_told_so_and_what_had_been_begun_has_its_verdict(overlapping: bool) -> None:
    repair = Recording([letter_at(number, Message(b"%d" % number)) for number in range(30)], overlapping)
    told: list[int] = []
    run = Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), rate=Rate(1e9), stopping=lambda: len(repair.moves) > 7,  # type: ignore[arg-type]
                    on_receipts=lambda receipts: told.append(len(receipts)))
    outcome = run.run()
    assert outcome.stopped
    assert outcome.account.confirmed + outcome.account.refused == len(repair.moves) == sum(told)
    assert (outcome.account.unknown, outcome.account.open) == (0, 0)
    assert len(repair._left) == (9 if overlapping else 16)


def test_whoever_stops_it_waits_for_no_letter_of_the_same_batch() -> None:
    repair = Recording([letter_at(number, Message(b"%d" % number)) for number in range(7)])
    run = Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), rate=AtOnce(2), stopping=lambda: len(repair.moves) > 2)  # type: ignore[arg-type]
    assert run.run().account == Account(read=7, confirmed=4, skipped=3)


class Pausing(AtOnce):
    """Lets two go, and then none for a moment."""

    def __init__(self) -> None:
        super().__init__(2)
        self.asked = 0
        self.waited_for: list[int] = []
        self.repair: Recording | None = None

    def allow(self, wanted: int) -> int:
        self.asked += 1
        if self.asked % 2 and self.repair is not None:
            self.waited_for.append(self.repair.open)
        return super().allow(wanted) if self.asked % 2 else 0


def test_what_is_begun_is_waited_for_where_nothing_may_follow_for_a_while() -> None:
    rate = Pausing()
    repair = rate.repair = Recording([letter_at(number, Message(b"%d" % number)) for number in range(7)], overlapping=True)
    assert Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), rate=rate).run().account == Account(read=7, confirmed=7)  # type: ignore[arg-type]
    assert rate.waited_for == [0, 0, 0, 0]


@pytest.mark.parametrize("given", [{"letter_filter": LetterFilter(reason="none of them")}, {"through": "cat"}, {"limit": 2}, {"rate": Rate(1e9)}],
                         ids=lambda given: next(iter(given)))
def test_whatever_asks_for_single_letters_gets_them(given: dict[str, Any]) -> None:
    repair = Recording(laid([read_letter("spring_kafka")] * 5).records())
    given = {**given, "through": Through("cat")} if "through" in given else given
    account = Redriving(repair, recogniser(), Redrive(source=DLQ), **{"letter_filter": LetterFilter(), **given}).run().account
    assert repair.forwarded == 0
    assert account.confirmed == {"letter_filter": 0, "limit": 2}.get(next(iter(given)), 5)


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_takes_the_place_of_the_repair_gets_every_letter_and_the_repair_none(overlapping: bool) -> None:
    repair = Recording(laid([read_letter("spring_kafka")] * 5).records(), overlapping)
    assert Redriving(repair, recogniser(), Drop(), LetterFilter()).run(Dropping(repair)).account == Account(read=5, confirmed=5)
    assert not repair.moves


def test_whoever_stops_it_waits_for_no_program_over_the_letters_behind() -> None:
    through = Counting()
    run = through.run = Redriving(Confirming(4), Reading(None), Redrive(HOME), LetterFilter(), through=through,  # type: ignore[arg-type]
                                  stopping=lambda: len(through.moved) > 1)
    assert run.run().account == Account(read=2, skipped=2)
    assert len(through.moved) == 2


@pytest.mark.parametrize("overlapping", [False, True])
def test_letters_have_moved_before_programs_run_over_those_behind_them(monkeypatch: pytest.MonkeyPatch, overlapping: bool) -> None:
    monkeypatch.setattr("brokercli.operations.redriving.WAIT_SECONDS", 0.0)
    through = Counting()
    repair = Recording([letter_at(number, Message(b"%d" % number)) for number in range(4)], overlapping)
    run = through.run = Redriving(repair, Reading(None), Redrive(HOME, 3, None, None), LetterFilter(), through=through)  # type: ignore[arg-type]
    assert run.run().account.confirmed == 4
    assert through.moved == [0, 1, 2, 3]


class Broken(Recording):
    """Says why nothing goes any more once, and why again when what was begun is finished."""

    def begin(self, moves: Sequence[Move]) -> Callable[[], Receipts]:
        if self.open:
            raise Failed("the first reason")
        return super().begin(moves)

    def settle(self, moves: Sequence[Move]) -> Receipts:
        raise Failed("the second reason")


@pytest.mark.parametrize(("count", "why"), [(14, "the first reason"), (7, "the second reason")])
def test_what_stopped_it_first_is_why_it_stopped_and_what_was_on_its_way_is_in_doubt(count: int, why: str) -> None:
    repair = Broken([letter_at(number, Message(b"%d" % number)) for number in range(count)], overlapping=True)
    outcome = Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), rate=Rate(1e9)).run()  # type: ignore[arg-type]
    assert (str(outcome.error), outcome.account) == (why, Account(read=count, unknown=count))


class Known(Confirming):
    """Is cut off while it settles, and knows of two letters by then that they are confirmed."""

    def settle(self, moves: Sequence[Move]) -> Receipts:
        raise StopNow(130)

    def confirmed_at_stop(self) -> int:
        return 2


@pytest.mark.parametrize("atomic", [False, True])
def test_of_what_was_being_settled_only_what_is_known_is_confirmed_and_the_rest_is_in_doubt(atomic: bool) -> None:
    repair = Known(5)
    repair.atomic = atomic
    run = Redriving(repair, Reading(None), Redrive(HOME), LetterFilter(), rate=AtOnce(3))  # type: ignore[arg-type]
    with pytest.raises(StopNow):
        run.run()
    outcome = run.abandon()
    assert outcome.stopped
    assert outcome.account == Account(read=5, confirmed=2, unknown=1, skipped=2)
