"""When a redrive stops because its letters come straight back, and that other letters which come meanwhile do not stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from brokercli.backends.contract import Batch, Reader
from brokercli.backends.dead_letters import Goal, Move
from brokercli.dialects.redrive_headers import OWN
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import Unreachable
from brokercli.model.message import Header, Message, Record
from brokercli.model.receipt import Receipts
from brokercli.operations.decisions import Redrive
from brokercli.operations.letters import LetterFilter
from brokercli.operations.publishing import Outcome, Rate
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from tests.dialects.real_letters import read_letter
from tests.operations.test_redriving import HOME, Confirming, Reading, letter_at
from tests.operations.test_sorting import laid, recogniser

COUNT = 300
PART = 30


@pytest.fixture(autouse=True)
def _counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run is over here before a count would be asked for a second time."""
    monkeypatch.setattr("brokercli.operations.coming_back.ASK_SECONDS", 0.0)


class New(Reader):
    """Hands out what has come by now, a few at a time."""

    def __init__(self, came: list[Record]) -> None:
        self._came = came
        self._next = 0

    def read(self, timeout: float) -> Batch | None:
        found = self._came[self._next:self._next + 25]
        self._next += len(found)
        return RecordList(found) if found else None

    @property
    def finished(self) -> bool:
        return False

    def close(self) -> None:
        pass


class InPieces(New):
    """Hands out five at a time, and only to somebody who waits for them."""

    def read(self, timeout: float) -> Batch | None:
        found = self._came[self._next:self._next + 5] if timeout else []
        self._next += len(found)
        return RecordList(found) if found else None


class Busy(Confirming):
    """For each letter that is put home a new one comes, made of it by `new`."""

    def __init__(self, new: Callable[[Message], Message]) -> None:
        super().__init__(COUNT)
        self.came: list[Record] = []
        self._new = new

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left[:PART], self._left[PART:]
        return RecordList(read) if read else None

    def settle(self, moves: Sequence[Move]) -> Receipts:
        self.came += [letter_at(COUNT + len(self.came) + number, self._new(move.message)) for number, move in enumerate(moves)]
        return super().settle(moves)

    def arrived(self) -> int | None:
        return len(self.came)

    def newcomers(self) -> Reader | None:
        return New(self.came)


class Asked(Busy):
    """Notes how often new letters were counted."""

    asked = 0

    def arrived(self) -> int | None:
        self.asked += 1
        return super().arrived()


class Taken(Busy):
    """New letters can only be counted."""

    def newcomers(self) -> Reader | None:
        return None


class Away(Busy):
    """New letters can be counted, and then not be looked at."""

    def newcomers(self) -> Reader | None:
        raise Unreachable("the broker went away")


class Failing(New):
    """Cannot be read."""

    def read(self, timeout: float) -> Batch | None:
        raise Unreachable("the broker went away")


class Unreadable(Busy):
    """New letters can be counted, and a look at them fails when they are read."""

    def newcomers(self) -> Reader | None:
        return Failing(self.came)


class Far(Busy):
    """New letters are a while on their way."""

    def newcomers(self) -> Reader | None:
        return InPieces(self.came)


class Pointing(Reading):
    """Takes each record for a letter that points at a message which is gone."""

    def read(self, batch: Batch) -> Iterator[list[DeadLetter]]:
        (letters,) = super().read(batch)
        for letter in letters:
            letter.pointer = {"topic": "home", "partition": 0, "offset": 1} if int(letter.record.position[2:]) >= COUNT else None
        yield letters


class Wrapping(Reading):
    """Takes each new record for a letter that wraps the message it is about."""

    def read(self, batch: Batch) -> Iterator[list[DeadLetter]]:
        (letters,) = super().read(batch)
        for letter in letters:
            if int(letter.record.position[2:]) >= COUNT:
                letter.unwrapped = Message((letter.record.message.body or b"").removeprefix(b"wrapped "))
        yield letters


class Tombstones(Busy):
    """What is put home has no body."""

    def read(self, timeout: float) -> Batch | None:
        batch = super().read(timeout)
        return batch and RecordList([replace(record, message=Message(None, b"key")) for record in batch.records()])


def run(repair: Busy, reading: type[Reading] = Reading) -> Outcome:
    return Redriving(repair, reading(None), Redrive(HOME, 3, None, None), LetterFilter()).run()  # type: ignore[arg-type]


class All(Busy):
    """Hands out all letters at once: there is nothing left to be read while they are put back."""

    def read(self, timeout: float) -> Batch | None:
        return Confirming.read(self, timeout)


class Slowly(Rate):
    """Lets only so many through at a time."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def allow(self, wanted: int) -> int:
        return min(wanted, PART)


def another(message: Message) -> Message:
    return Message(b"another " + (message.body or b""), headers=(("x-error", b"boom"),))


def same_without_headers(message: Message) -> Message:
    return Message(message.body)


def changed(message: Message) -> Message:
    return Message(b"wrapped " + (message.body or b""), headers=message.headers)


def named_like_it(message: Message) -> Message:
    return Message(b"another " + (message.body or b""), headers=tuple((f"x-{name}", value) for name, value in message.headers))


def put_back_by_another_run(message: Message) -> Message:
    return Message(b"another " + (message.body or b""), headers=tuple((name, b"2026-01-01T00:00:00Z" if name in OWN else value)
                                                                      for name, value in message.headers))


@pytest.mark.parametrize("new", [another, put_back_by_another_run, named_like_it])
def test_letters_that_were_not_put_back_in_this_run_do_not_stop_it_however_many_come(new: Callable[[Message], Message]) -> None:
    repair = Busy(new)
    outcome = run(repair)
    assert outcome.error is None
    assert outcome.account.confirmed == len(repair.came) == COUNT


@pytest.mark.parametrize("new", [changed, same_without_headers])
def test_letters_that_come_back_stop_the_run_by_what_was_written_on_them_or_by_their_bodies(new: Callable[[Message], Message]) -> None:
    outcome = run(Busy(new))
    assert str(outcome.error) == f"Stopped: {PART} letters were put back, and {PART} of them came back meanwhile. What killed them still does."
    assert (outcome.account.confirmed, outcome.account.read) == (PART, PART)


def test_letters_that_were_all_read_at_once_and_go_back_slowly_stop_the_run_as_well() -> None:
    outcome = Redriving(All(changed), Reading(None), Redrive(HOME, 3, None, None), LetterFilter(), rate=Slowly()).run()  # type: ignore[arg-type]
    assert str(outcome.error) == f"Stopped: {PART} letters were put back, and {PART} of them came back meanwhile. What killed them still does."
    assert (outcome.account.confirmed, outcome.account.skipped, outcome.account.unknown) == (PART, COUNT - PART, 0)


def test_the_first_of_them_are_waited_for_until_all_that_came_are_here() -> None:
    outcome = run(Far(changed))
    assert f"{PART} letters were put back, and {PART} of them came back meanwhile" in str(outcome.error)


def test_of_new_letters_only_those_that_come_back_are_counted() -> None:
    every_third = iter(range(COUNT))
    outcome = run(Busy(lambda message: (another, another, changed)[next(every_third) % 3](message)))
    assert outcome.error is None
    two_of_three = iter(range(COUNT))
    outcome = run(Busy(lambda message: (another, changed, changed)[next(two_of_three) % 3](message)))
    assert "60 letters were put back, and 40 of them came back" in str(outcome.error)


@pytest.mark.parametrize("kind", [Taken, Away, Unreadable])
def test_where_new_letters_cannot_be_looked_at_each_of_them_may_be_one_that_came_back(kind: type[Busy]) -> None:
    outcome = run(kind(another))
    assert f"{PART} letters were put back, and {PART} new ones came meanwhile" in str(outcome.error)


def test_new_letters_whose_messages_are_gone_count_as_come_back() -> None:
    assert "came back meanwhile" in str(run(Busy(another), Pointing).error)


def test_a_new_letter_that_wraps_a_message_that_was_put_back_has_come_back() -> None:
    outcome = run(Busy(lambda message: Message(b"wrapped " + (message.body or b""))), Wrapping)
    assert f"{PART} of them came back meanwhile" in str(outcome.error)


def test_messages_without_a_body_come_back_like_others() -> None:
    outcome = run(Tombstones(same_without_headers))
    assert f"{PART} of them came back meanwhile" in str(outcome.error)


def test_new_letters_are_counted_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.coming_back.ASK_SECONDS", 3600.0)
    repair = Asked(another)
    assert run(repair).error is None
    assert repair.asked == 1


class Whole(Busy):
    """Letters that whole batches are decided on, of a framework."""

    def __init__(self, new: Callable[[Message], Message]) -> None:
        super().__init__(new)
        letter = read_letter("spring_kafka")
        self._left = [replace(letter, message=replace(letter.message, body=b"%d" % number)) for number in range(COUNT)]
        self.forwarded = 0

    def read(self, timeout: float) -> Batch | None:
        read, self._left = self._left[:PART], self._left[PART:]
        return laid(read) if read else None

    def forward(self, batch: Batch, goals: Sequence[Goal], headers: Sequence[tuple[Header, ...]]) -> Callable[[], Receipts]:
        self.forwarded += len(batch)
        return super().forward(batch, goals, headers)


@pytest.mark.parametrize("new", [changed, same_without_headers])
def test_letters_that_were_decided_on_together_are_known_when_they_come_back(new: Callable[[Message], Message]) -> None:
    repair = Whole(new)
    outcome = Redriving(repair, recogniser(), Redrive(HOME), LetterFilter()).run()
    assert f"{PART} of them came back meanwhile" in str(outcome.error)
    assert (outcome.account.confirmed, repair.forwarded) == (PART, PART)
