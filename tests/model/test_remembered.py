"""What is remembered is bounded by how many things it is and by their bytes, and never passed off as that of others."""

from __future__ import annotations

from brokercli.model.message import Message, Typed, bytes_in, size_of
from brokercli.model.remembered import Remembered, Room


def test_room_begins_again_with_what_no_longer_goes_in() -> None:
    room = Room(2, 100)
    assert [room.take(10) for _ in range(6)] == [True, True, False, True, False, True]
    room = Room(9, 100)
    assert [room.take(size) for size in (60, 40, 1, 99, 1, 99, 2)] == [True, True, False, True, False, True, False]


def test_headers_that_are_equal_and_not_the_same_are_not_taken_for_each_other() -> None:
    remembered: Remembered[str] = Remembered()
    whole, yes = (("a", 1),), (("a", True),)
    assert whole == yes
    assert remembered.put(whole, "whole") == "whole"
    assert (remembered.get(whole), remembered.get(yes)) == ("whole", None)


def test_what_is_forgotten_makes_room() -> None:
    remembered: Remembered[int] = Remembered(most=2)
    headers = [(("a", b"%d" % number),) for number in range(3)]
    for number, these in enumerate(headers):
        remembered.put(these, number)
    assert [remembered.get(these) for these in headers] == [None, None, 2]


def test_what_is_never_found_again_is_hardly_remembered_until_things_are_alike_again() -> None:
    remembered: Remembered[int] = Remembered(most=10_000)
    headers = [(("a", b"%d" % number),) for number in range(3000)]
    for number, these in enumerate(headers):
        assert remembered.put(these, number) == number
    assert len(remembered._entries) < 700
    alike = (("b", b"again"),)
    found = sum(remembered.get(alike) is not None or remembered.put(alike, 7) != 7 for _ in range(3000))
    assert found > 2900
    others = [(("c", b"%d" % number),) for number in range(100)]
    for number, these in enumerate(others):
        remembered.put(these, number)
    assert [remembered.get(these) for these in others] == list(range(100))


def test_a_message_holds_its_body_its_key_and_its_headers_with_all_that_is_in_them() -> None:
    headers = (("ab", b"1234"), ("n", None), ("i", 5), ("t", Typed("table", (("x", b"123"),))), ("a", Typed("array", (b"1", True))))
    assert bytes_in(headers) == (2 + 4) + (1 + 8) + (1 + 8) + (1 + 5 + 1 + 3) + (1 + 5 + 1 + 8)
    assert size_of(Message(b"12345", b"123", headers)) == 5 + 3 + bytes_in(headers)
    assert size_of(Message(None)) == 0
