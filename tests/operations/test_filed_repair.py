"""Letters of a file that are put back: a line is written down when its letter is confirmed, and never before; what is not is read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from brokercli.backends.contract import Backend, Publisher, PublishPolicy
from brokercli.backends.dead_letters import Move, State
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Failed, LocalIO, NotFound, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts, Verdict
from brokercli.operations.filed_letters import FiledRecord, FiledRepair, Handled, LetterFileContent
from brokercli.operations.journal import Journal
from tests.operations.test_copying import Again
from tests.operations.test_publishing import ScriptedPublisher
from tests.operations.test_settling import CutOff, Interrupted, Nameless

C, R, NEVER = Verdict.CONFIRMED, Verdict.REFUSED, None
A, B = Address("a", "queue"), Address("b", "queue")


class Telling(ScriptedPublisher):
    """Confirms everything, has something to tell in the end, and withholds a header of each message."""

    closed = False

    def __init__(self, name: str) -> None:
        super().__init__([C], [9])
        self.notes = [f"{name} tells", "told by all"]

    def send(self, messages: Sequence[Message]) -> int:
        self.withheld["CC"] = self.withheld.get("CC", 0) + len(messages)
        return super().send(messages)

    def close(self) -> None:
        self.closed = True


class Ended(ScriptedPublisher):
    """Refuses everything, and then delivers nothing any more."""

    def collect(self, timeout: float) -> Receipts:
        if self.bodies and not self.waiting:
            raise Failed("the queue is gone")
        return super().collect(timeout)


class Homes(Backend):
    """Has a publisher for each home that is there, and what a home that is not raises."""

    gone: BrokercliError | None = None
    """Raised where the broker is asked for an answer."""

    def __init__(self, homes: dict[str, Publisher | BrokercliError]) -> None:
        self.homes = homes
        self.policies: list[PublishPolicy] = []

    def resolve(self, address: Address, purpose: str) -> Address:  # type: ignore[override]
        assert purpose == "publish"
        if isinstance(home := self.homes[address.name], BrokercliError):
            raise home
        return address

    def publisher(self, destination: Any, policy: PublishPolicy) -> Publisher:  # type: ignore[override]
        self.policies.append(policy)
        found = self.homes[destination.name]
        assert isinstance(found, Publisher)
        return found

    def require_answer(self) -> None:
        if self.gone is not None:
            raise self.gone


Homes.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # a repair asks for nothing else
Begin = Callable[..., tuple[FiledRepair, list[FiledRecord]]]


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Six letters; the line between the third and the fourth is empty."""
    path = tmp_path / "letters"
    lines = [json.dumps({"broker": "rabbitmq", "queue": "dead", "body": f"letter {number}"}) for number in range(1, 7)]
    path.write_text("\n".join([*lines[:3], "", *lines[3:], ""]))
    return path


@pytest.fixture
def begin(letters: Path) -> Iterator[Begin]:
    """Begin a run over them: `begin(a=publisher, b=error)` has these homes; return it and what it reads."""
    with Journal(str(letters.with_name("done")), {}) as journal:

        def run(**homes: Publisher | BrokercliError) -> tuple[FiledRepair, list[FiledRecord]]:
            repair = FiledRepair(LetterFileContent(str(letters), "rabbitmq"), journal, Homes(homes), 7.0)
            batch = repair.read(0)
            assert repair.finished
            return repair, [record for record in (batch.records() if batch else ()) if isinstance(record, FiledRecord)]

        yield run


def left(repair: FiledRepair) -> list[int]:
    """Lines that the next run would read, by what has been entered."""
    return [line for line in (1, 2, 3, 5, 6, 7) if line not in Handled(repair._journal.done)]


def backend_of(repair: FiledRepair) -> Homes:
    backend = repair._homes.backend
    assert isinstance(backend, Homes)
    return backend


def moves(records: Sequence[FiledRecord], destinations: Sequence[Address]) -> list[Move]:
    return [Move(record, record.message, destination) for record, destination in zip(records, destinations, strict=True)]


def test_what_is_confirmed_is_written_down_and_each_verdict_is_of_its_letter(begin: Begin) -> None:
    a, b = ScriptedPublisher([C, R, C, NEVER], [2]), ScriptedPublisher([C], [9])
    repair, records = begin(a=a, b=b)
    assert [record.line for record in records] == [1, 2, 3, 5, 6, 7]
    receipts = repair.settle(moves(records, [A, A, B, B, A, A]))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (4, 1, 1)
    assert [(receipt.index, receipt.verdict) for receipt in receipts.problems] == [(1, Verdict.REFUSED), (5, Verdict.UNKNOWN)]
    assert (a.bodies, b.bodies) == ([b"letter 1", b"letter 2", b"letter 5", b"letter 6"], [b"letter 3", b"letter 4"])
    assert repair.confirmed_at_stop() == 0
    assert repair.failure is None
    repair.close()
    assert (repair.notes, left(repair), repair._journal.delivered) == ([], [2, 7], 4)


def test_a_letter_between_two_that_were_confirmed_is_left_in_whatever_order_they_came(begin: Begin) -> None:
    repair, records = begin(a=ScriptedPublisher([C, R, C, C], [9]), b=Again([C], [9]))
    repair.settle(moves([records[index] for index in (2, 1, 0, 3)], [A] * 4))
    assert left(repair) == [2, 6, 7]
    # what the home had already is delivered
    assert (repair.settle(moves(records[4:], [B, B])).duplicates, left(repair)) == (2, [2])


def test_the_next_run_reads_what_is_left_and_says_so(begin: Begin) -> None:
    repair, records = begin(a=ScriptedPublisher([C], [9]))
    repair.settle(moves(records[1:3], [A, A]))
    again, others = begin(a=ScriptedPublisher([C], [9]))
    assert [record.line for record in others] == [1, 5, 6, 7]
    assert again.expected == 6
    assert again.notes[0].startswith("2 of the 6 letters were put back there by earlier runs")
    assert again.mark(others[1:], State.REDRIVEN) == Receipts(confirmed=3)
    assert begin()[1] == others[:1]


def test_a_home_that_is_gone_refuses_its_letters_alone(begin: Begin) -> None:
    repair, records = begin(a=NotFound("there is no queue a"), b=ScriptedPublisher([C], [9]))
    receipts = repair.settle(moves(records[:4], [B, A, A, B]))
    assert (receipts.confirmed, receipts.refused) == (2, 2)
    assert [(receipt.index, receipt.reason) for receipt in receipts.problems] == [(1, "queue:a: there is no queue a"), (2, "queue:a: there is no queue a")]
    assert left(repair) == [2, 3, 6, 7]


def test_a_broker_that_is_gone_ends_the_run_with_nothing_written_down_for_what_was_not_confirmed(begin: Begin) -> None:
    repair, records = begin(a=Unreachable("gone"), b=ScriptedPublisher([C], [9]))
    backend_of(repair).gone = Unreachable("no answer")
    # what was under way is judged
    receipts = repair.settle(moves(records[:2], [B, B]))
    receipts.add(repair.settle(moves(records[2:5], [A, B, A])))
    assert (receipts.confirmed, receipts.refused, str(repair.failure)) == (2, 3, "gone")
    with pytest.raises(Unreachable, match="gone"):
        repair.check()
    with pytest.raises(Unreachable, match="gone"):
        repair.settle(moves(records[5:], [B]))
    assert repair.confirmed_at_stop() == 0
    repair.close()
    assert left(repair) == [3, 5, 6, 7]


def test_a_home_that_gives_no_answer_refuses_its_letters_alone_where_the_broker_does(begin: Begin) -> None:
    repair, records = begin(a=Unreachable("gone"), b=ScriptedPublisher([C], [9]))
    receipts = repair.settle(moves(records[:3], [B, A, B]))
    assert (receipts.confirmed, receipts.refused, str(repair.failure)) == (2, 1, "gone")
    repair.check()
    assert repair.settle(moves(records[3:], [B, A, B])).confirmed == 2
    assert left(repair) == [2, 6]


def test_why_a_home_takes_nothing_any_more_is_told(begin: Begin) -> None:
    repair, records = begin(a=Ended([R], [9]))
    assert repair.settle(moves(records[:2], [A, A])).refused == 2
    assert str(repair.failure) == "the queue is gone"
    repair, records = begin(a=Ended([C], [9]))
    assert (repair.settle(moves(records, [A] * 6)).confirmed, repair.failure) == (6, None)


@pytest.mark.parametrize(("publisher", "confirmed", "lines"), [
    (CutOff([C, R], [9]), 2, [3]), (CutOff([C, NEVER], [9]), 1, [2, 3]), (Nameless([C], [9]), 1, [2, 3])],
    ids=["every verdict came", "one did not", "one is nobody's"])
def test_after_a_second_interrupt_only_what_is_known_to_be_confirmed_is_written_down(begin: Begin, publisher: Publisher, confirmed: int,
                                                                                     lines: list[int]) -> None:
    repair, records = begin(a=publisher, b=ScriptedPublisher([C], [9]))
    with pytest.raises(Interrupted):
        repair.settle(moves(records[:3], [B, A, A]))
    repair.close()
    assert (repair.confirmed_at_stop(), left(repair)) == (confirmed, [*lines, 5, 6, 7])


def test_a_journal_that_cannot_be_written_after_an_interrupt_is_told_and_hides_nothing_else(begin: Begin) -> None:
    telling = Telling("b")
    repair, records = begin(a=CutOff([C], [9]), b=telling)
    repair.settle(moves(records[:1], [B]))
    with pytest.raises(Interrupted):
        repair.settle(moves(records[1:2], [A]))

    def full(*arguments: object) -> None:
        raise LocalIO("the disk is full")

    repair._journal.enter = full  # type: ignore[method-assign, assignment]
    repair.close()
    assert repair.notes == ["the disk is full", "b tells", "told by all", "headers that steer the broker were withheld: CC (1)"]
    assert telling.closed


def test_of_many_homes_a_few_are_open_and_what_each_has_to_tell_is_told_once(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.homes.OPEN_WAYS", 2)
    homes = {name: Telling(name) for name in "abc"}
    repair, records = begin(**homes)
    repair.settle(moves(records[:3], [A, B, A]))
    assert not any(home.closed for home in homes.values())
    repair.settle(moves(records[3:4], [Address("c", "queue")]))
    assert [home.closed for home in homes.values()] == [True, True, False]
    repair.close()
    repair.close()
    assert homes["c"].closed
    assert repair.notes == ["a tells", "told by all", "b tells", "c tells", "headers that steer the broker were withheld: CC (4)"]
    assert left(repair) == [6, 7]


def test_what_no_consumer_wants_is_not_taken_for_delivered(begin: Begin) -> None:
    repair, records = begin(a=ScriptedPublisher([C], [9]))
    repair.settle(moves(records[:1], [A]))
    assert backend_of(repair).policies == [PublishPolicy(delivery_timeout=7.0, only_wanted=True)]
