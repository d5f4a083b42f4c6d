"""The handled letters of a partition, and how much of them one offset's metadata holds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.handled_set import HandledSet, Run
from brokercli.backends.kafka.handled_text import CHARACTERS, FromTheFuture, NotOurs, Room, more_that_fit, read, write

HANDLED = (State.REDRIVEN, State.DROPPED)
offsets = st.integers(0, 300)
marks = st.lists(st.tuples(st.sets(offsets, min_size=1, max_size=40), st.sampled_from(HANDLED)), max_size=6)


def as_runs(numbers: set[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def mark(base: int, steps: list[tuple[set[int], State]]) -> tuple[HandledSet, dict[int, State]]:
    """Mark pending letters step by step, and keep account of it in the plainest way."""
    handled, account = HandledSet(base), dict[int, State]()
    for chosen, state in steps:
        pending = {number for number in chosen if number >= base and number not in account}
        handled = handled.handled(as_runs(pending), state, len(pending))
        account.update(dict.fromkeys(pending, state))
    return handled, account


@given(st.integers(0, 50), marks)
def test_each_offset_has_the_state_it_was_given_and_the_floor_is_the_first_pending_one(base: int, steps: list[tuple[set[int], State]]) -> None:
    handled, account = mark(base, steps)
    assert {number: handled.state(number) for number in range(base, 310)} == {number: account.get(number, State.PENDING) for number in range(base, 310)}
    assert handled.floor == next(number for number in range(base, 400) if number not in account)
    assert (handled.redriven, handled.dropped) == tuple(list(account.values()).count(state) for state in HANDLED)
    assert handled.handled_between(base, 310) == len(account)
    assert handled.handled_between(base + 5, 310) == len([number for number in account if number >= base + 5])
    assert all(handled.state(number) is State.HANDLED for number in range(base))


@given(st.integers(0, 50), marks, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_written_is_read_back(base: int, steps: list[tuple[set[int], State]], tag: int, minutes: int, wide: bool) -> None:
    handled, _ = mark(base, steps)
    text = write(handled, tag, minutes, Room(wide=wide))
    assert text is not None
    assert len(text) <= CHARACTERS
    assert text.isascii()
    said = read(handled.floor, text)
    assert (said.handled, said.topic_tag, said.minutes) == (handled, tag, minutes)


@given(st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 2**40), st.booleans()), max_size=60), st.integers(0, 2**50), st.integers(20, 400))
def test_distances_of_any_size_are_read_back_from_wide_characters_too(steps: list[tuple[int, int, bool]], base: int, characters: int) -> None:
    runs, end = [], base
    for gap, length, dropped in steps:
        runs.append(Run(end + gap, end + gap + length, dropped))
        end = runs[-1].stop
    handled = HandledSet(base, runs, redriven=2**60)
    text = write(handled, 1, 2, Room(characters))
    assert text is None or (len(text) <= characters and read(base, text).handled == handled)
    whole = write(handled, 1, 2, Room(100_000))
    assert whole is not None
    assert read(base, whole).handled == handled


@given(st.integers(0, 50), marks, st.integers(0, 320))
def test_without_history_only_the_fates_below_the_floor_are_lost(base: int, steps: list[tuple[set[int], State]], low: int) -> None:
    handled, account = mark(base, steps)
    short = handled.without_history()
    assert (short.floor, short.redriven, short.dropped) == (handled.floor, handled.redriven, handled.dropped)
    for number in range(handled.floor, 310):
        assert short.state(number) is handled.state(number)
    fates = {account[number] for number in range(base, handled.floor)}
    for number in range(base, handled.floor):
        assert short.state(number) is (fates.copy().pop() if len(fates) == 1 else State.HANDLED)
    later = handled.from_offset(low)
    assert later.floor == max(low, handled.floor) or handled.state(low) is not State.PENDING
    for number in range(max(low, base), 310):
        assert later.state(number) is handled.state(number)


@given(st.integers(0, 50), marks, st.integers(0, 320))
def test_what_the_log_has_lost_is_pending_again(base: int, steps: list[tuple[set[int], State]], high: int) -> None:
    handled, account = mark(base, steps)
    cut = handled.up_to(high)
    assert cut.floor <= high
    for number in range(min(base, high), 310):
        known = account.get(number, State.PENDING) if number < high else State.PENDING
        assert cut.state(number) is known


def test_a_gap_in_front_of_a_letter_is_handled_with_it_so_the_floor_passes() -> None:
    # 3 is a transaction's marker, nobody ever reads it
    handled = HandledSet(0).handled([(0, 3)], State.REDRIVEN, 3).handled([(3, 5)], State.REDRIVEN, 1)
    assert (handled.floor, handled.redriven) == (5, 4)


@pytest.mark.parametrize("stretch", [(6, 31), (12, 15), (15, 21), (10, 12), (15, 30), (21, 25), (22, 40), (2, 10), (2, 5)])
@pytest.mark.parametrize("state", HANDLED)
def test_a_gap_that_reaches_over_what_was_handled_before_takes_nothing_out(stretch: tuple[int, int], state: State) -> None:
    # compaction takes handled letters away, and the gap before the next letter then spans them
    handled = HandledSet(2).handled([(10, 21), (25, 27)], State.REDRIVEN, 13).handled([stretch], state, 1)
    assert {number for number in range(2, 50) if handled.state(number) is not State.PENDING} == {*range(10, 21), 25, 26, *range(*stretch)}
    assert all(run.start < run.stop for run in handled.runs)
    assert all(one.stop < other.start or one.dropped != other.dropped for one, other in pairwise(handled.runs))


@pytest.mark.parametrize(("share", "least"), [(2, 25_000), (10, 9_000), (100, 6_000), (1000, 4_500)])
def test_thousands_of_scattered_letters_fit_one_offset(share: int, least: int) -> None:
    # evenly would be easy: the distances are those of a coin thrown for each letter, from a generator with a fixed start
    seed, chosen, offset = 12345, [], 0
    while len(chosen) < least:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        if (seed >> 33) % share == 0:
            chosen.append((offset, offset + 1))
        offset += 1
    handled = HandledSet(0).handled([(start + 7, stop + 7) for start, stop in chosen], State.REDRIVEN, len(chosen))
    text = write(handled, 1, 1, Room())
    assert text is not None
    assert len(text) <= CHARACTERS
    assert read(handled.floor, text).handled == handled


def test_history_is_given_up_before_anything_else() -> None:
    fates = [Run(number, number + 1, number % 2 == 0) for number in range(30_000)]
    handled = HandledSet(0, fates, redriven=15_000, dropped=15_000).handled([(40_000, 40_001)], State.DROPPED, 1)
    text = write(handled, 1, 1, Room(60))
    assert text is not None
    said = read(30_000, text).handled
    assert (said.base, said.state(5), said.state(35_000), said.state(40_000)) == (30_000, State.HANDLED, State.PENDING, State.DROPPED)


def test_a_set_without_room_is_not_written_and_the_estimate_says_how_many_more_fit() -> None:
    def scattered(count: int) -> HandledSet:
        return HandledSet(0).handled([(100 * number + number % 37 + 5, 100 * number + number % 37 + 6) for number in range(count)], State.REDRIVEN, count)

    assert write(scattered(20_000), 1, 1, Room()) is None
    assert more_that_fit(scattered(20_000), Room()) == 0
    some = more_that_fit(scattered(1000), Room())
    assert write(scattered(1000 + some), 1, 1, Room()) is not None
    assert write(scattered(1000 + 2 * some), 1, 1, Room()) is None


@pytest.mark.parametrize("text", ["", "hello", "brokercli1:", "brokercli1:AAAA", "brokercli1:Ö", "brokercli1=aa", "brokercli1=\u3400\u3401", "x" * 4095])
def test_what_others_wrote_is_told_apart(text: str) -> None:
    with pytest.raises(NotOurs):
        read(5, text)


@given(st.integers(0, 60), st.characters(codec="ascii"))
def test_a_damaged_text_is_told_apart(place: int, character: str) -> None:
    text = write(HandledSet(0).handled([(3, 4), (9, 20)], State.REDRIVEN, 12), 77, 88, Room())
    assert text is not None
    place %= len(text)
    damaged = text[:place] + character + text[place + 1:]
    try:
        said = read(0, damaged)
    except (NotOurs, FromTheFuture):
        return
    # the last character has bits that say nothing
    assert damaged == text or (place == len(text) - 1 and said == read(0, text))


def test_a_newer_version_is_told_apart() -> None:
    with pytest.raises(FromTheFuture):
        read(5, "brokercli2:abc")
