"""A purge takes everything below a sequence: it never reaches a message that this run has not been told to take out. What is purged is only
noted here; that a purge and single deletes leave the same is in `test_nats_redrive_again.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.backends.nats.in_hand import InHand
from brokercli.backends.nats.letters import Passed
from brokercli.backends.nats.removing import Removed


class Noting:
    """Removes whatever it is told to, but for what is stuck, and notes below which sequence it may purge."""

    def __init__(self, stuck: Sequence[int] = (), gone: Sequence[int] = ()) -> None:
        self._stuck = stuck
        self._gone = set(gone)
        self.below: list[int] = []

    def begin(self, sequences: Sequence[int], below: int) -> Callable[[], Removed]:
        self.below.append(below)
        return lambda: Removed(self._gone & set(sequences), {sequence: "denied" for sequence in sequences if sequence in self._stuck})


def in_hand(remover: Noting) -> tuple[InHand, Any]:
    counts: Any = SimpleNamespace(taken=0)
    return InHand(remover, counts), counts  # type: ignore[arg-type]


def read(letters: InHand, *sequences: int, left_out: bool = False) -> None:
    letters.take(Passed(left_out, list(sequences)))


def take_out(letters: InHand, *sequences: int) -> None:
    letters.send_off(sequences)
    letters.begin_to_take_out(sequences)()


def test_where_all_that_was_read_goes_it_is_purged_as_far_as_it_was_read() -> None:
    letters, counts = in_hand(remover := Noting())
    read(letters, 3, 4, 9)
    take_out(letters, 3, 4, 9)
    read(letters, 12, 15)
    take_out(letters, 12, 15)
    assert remover.below == [10, 16]
    assert counts.taken == 5


@pytest.mark.parametrize(("chosen", "below"), [([3, 4], 9), ([4, 9], 3), ([3, 9], 4), ([9], 3)])
def test_a_purge_ends_before_the_first_letter_of_the_batch_that_stays(chosen: list[int], below: int) -> None:
    letters, _ = in_hand(remover := Noting())
    read(letters, 3, 4, 9)
    take_out(letters, *chosen)
    assert remover.below == [below]


def test_letters_that_are_on_their_way_are_not_purged_with_those_before_them_and_stop_no_purge() -> None:
    letters, _ = in_hand(remover := Noting())
    read(letters, 1, 2)
    letters.send_off([1, 2])
    read(letters, 3, 4)
    letters.send_off([3, 4])
    letters.begin_to_take_out([1, 2])()
    letters.begin_to_take_out([3, 4])()
    assert remover.below == [3, 5]


def left(letters: InHand) -> None:
    read(letters, 1, 2)
    take_out(letters, 1)


def stayed(letters: InHand) -> None:
    read(letters, 1, 2)
    letters.send_off([1, 2])
    letters.keep(2)
    letters.begin_to_take_out([1])()


def could_not_be_removed(letters: InHand) -> None:
    read(letters, 1, 2)
    take_out(letters, 1, 2)


def was_no_letter(letters: InHand) -> None:
    read(letters, 1, left_out=True)
    take_out(letters, 1)


@pytest.mark.parametrize("before", [left, stayed, could_not_be_removed, was_no_letter])
def test_behind_a_message_that_stays_nothing_is_purged_any_more(before: Callable[[InHand], None]) -> None:
    letters, _ = in_hand(remover := Noting(stuck=[2]))
    before(letters)
    for first in (5, 7):
        read(letters, first, first + 1)
        take_out(letters, first, first + 1)
    assert remover.below[1:] == [0, 0]


def test_what_is_out_or_on_its_way_is_not_given_again_and_what_stayed_may_be() -> None:
    letters, counts = in_hand(Noting(stuck=[2], gone=[4]))
    read(letters, 1, 2, 3, 4)
    assert letters.are_new([1, 2, 3])
    assert not letters.are_new([1, 1])
    letters.send_off([1, 2, 3, 4])
    assert not letters.are_new([3])
    letters.keep(3)
    letters.begin_to_take_out([1, 2, 4])()
    assert [letters.are_new([sequence]) for sequence in (1, 2, 3, 4)] == [False, True, True, False]
    seen: set[int] = set()
    assert [letters.repeated(sequence, seen) for sequence in (1, 2, 2)] == ["it was given twice", "", "it was given twice"]
    # what somebody else had taken out is none of those that came or went here
    assert counts.taken == 1
