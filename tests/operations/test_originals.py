"""What letters point at is fetched as much at once as there is memory for, and put back before more is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import Move
from brokercli.dialects import recognise, to_message
from brokercli.model.address import Address
from brokercli.model.message import Message, Place, Record, Unread
from brokercli.model.receipt import Receipts
from brokercli.operations.decisions import Redrive
from brokercli.operations.filed_letters import FiledRecord
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from tests.dialects.real_letters import read_letter
from tests.operations.test_redriving import Confirming

POINTER = read_letter("jetstream_max_deliveries")


class Pointing(Confirming):
    """Letters that point at messages of so many bytes; writes down what is fetched and what is settled."""

    overlapping = False

    def __init__(self, count: int, size: int) -> None:
        super().__init__(0)
        self._letters = [replace(POINTER, position=str(number)) for number in range(1, count + 1)]
        self._body = bytes(size)
        self.done: list[tuple[str, int]] = []

    def read(self, timeout: float) -> Batch | None:
        read, self._letters = self._letters, []
        return RecordList(read) if read else None

    @property
    def finished(self) -> bool:
        return not self._letters

    def fetch(self, places: Sequence[Place]) -> list[Record]:
        self.done.append(("fetched", len(places)))
        return [Record("nats", {"subject": "orders.created", **place}, str(place["sequence"]), None, Message(body=self._body)) for place in places]

    def settle(self, moves: Sequence[Move]) -> Receipts:
        assert all(move.message.body == self._body for move in moves)
        self.done.append(("settled", len(moves)))
        return Receipts(confirmed=len(moves))


def recogniser(letters: Pointing) -> Recogniser:
    return Recogniser(SimpleNamespace(fetch=letters.fetch))  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "parts"), [(100, [16, 64, 120]), (1 << 20, [16, *[8] * 23]), (20 << 20, [16, *[1] * 4])])
def test_large_messages_are_put_back_before_more_are_fetched(size: int, parts: list[int]) -> None:
    letters = Pointing(sum(parts), size)
    outcome = Redriving(letters, recogniser(letters), Redrive(Address("orders.again", "subject")), LetterFilter()).run()
    assert (outcome.account.read, outcome.account.confirmed) == (sum(parts), sum(parts))
    assert letters.done == [(what, part) for part in parts for what in ("fetched", "settled")]


def test_nothing_more_is_fetched_where_a_limit_is_reached() -> None:
    letters = Pointing(100, 1 << 20)
    outcome = Redriving(letters, recogniser(letters), Redrive(Address("orders.again", "subject")), LetterFilter(), limit=16).run()
    assert (outcome.account.read, outcome.account.confirmed) == (16, 16)
    assert letters.done == [("fetched", 16), ("settled", 16)]


def test_what_a_file_has_of_a_message_is_not_taken_from_another_broker_where_another_lies_in_its_place() -> None:
    letters = Pointing(1, 9)
    place = recognise(POINTER).pointer or {}
    died = Record("nats", {"subject": "orders.created", **place}, str(place["sequence"]), 1, Message(body=b"what died"))
    filed = FiledRecord(POINTER.broker, POINTER.place, POINTER.position, POINTER.time, POINTER.message, line=1, size=1, original=died)
    (read,) = recogniser(letters).read(RecordList([filed]))
    assert ([to_message(letter).body for letter in read], letters.done) == ([b"what died"], [])


def test_what_is_to_be_stripped_is_stripped_of_the_message_that_a_letter_points_at() -> None:
    message = Message(body=b"{}", headers=(("tries", b"3"), ("tenant", b"acme")))
    backend = SimpleNamespace(fetch=lambda places: [Record("nats", {"subject": "orders.created", **place}, "1", None, message) for place in places])
    ((letter,),) = Recogniser(backend, strip=("tri*",)).read(RecordList([POINTER]))  # type: ignore[arg-type]
    assert to_message(letter).headers == (("tenant", b"acme"),)


def test_what_was_learned_of_one_batch_goes_for_the_next() -> None:
    letters = Pointing(300, 100)
    read, batch = recogniser(letters), letters.read(0)
    assert batch is not None
    assert [[len(part) for part in read.read(batch)] for _ in range(2)] == [[16, 64, 220], [300]]


def test_a_letter_whose_original_cannot_be_read_now_is_refused_and_not_called_gone() -> None:
    read = Recogniser(SimpleNamespace(fetch=lambda places: [Unread("nobody answers")] * len(places)))  # type: ignore[arg-type]
    outcome = Redriving(Pointing(2, 9), read, Redrive(Address("orders.again", "subject")), LetterFilter()).run()
    assert (outcome.account.confirmed, outcome.account.refused, outcome.account.skipped) == (0, 2, 0)
