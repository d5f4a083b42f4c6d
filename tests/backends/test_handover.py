"""The hand-over between a connection's thread and the reader's: order, bound, and no pause that nobody ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.handover import Handover


def test_a_pause_lasts_until_half_is_free_whatever_is_offered_meanwhile() -> None:
    resumed: list[bool] = []
    handover: Handover[str] = Handover(10, lambda: resumed.append(True))
    assert handover.offer("a", 2)
    assert not handover.offer("b", 8)
    handover.take(0)
    # below the bound again, but more than half is held: who was told to stop still waits for its resume
    assert not handover.offer("c", 1)
    assert not resumed
    handover.take(0)
    assert resumed == [True]
    assert handover.offer("d", 1)


@given(st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=60))
def test_whoever_is_told_to_stop_is_resumed_once_everything_is_taken(steps: list[int | None]) -> None:
    stopped = False

    def resume() -> None:
        nonlocal stopped
        assert stopped
        stopped = False

    handover: Handover[int] = Handover(10, resume)
    offered, taken = 0, []
    for size in steps:
        if size is None:
            if (item := handover.take(0)) is not None:
                taken.append(item)
        elif not stopped or size % 2:
            # what is under way still comes after a stop
            stopped = not handover.offer(offered, size) or stopped
            offered += 1
    while (item := handover.take(0)) is not None:
        taken.append(item)
    assert taken == list(range(offered))
    assert not stopped


def test_what_waits_is_taken_together_and_what_comes_by_it_is_left_for_the_next_time() -> None:
    def resume() -> None:
        handover.offer([b"g"] * 3, 4)
        handover.fail(ValueError("gone"))

    handover: Handover[list[bytes] | tuple[bytes, ...]] = Handover(10, resume)
    for item in ([b"a"], [b"b", b"c"], (b"another type",), [b"d"], [b"e"], [b"f"]):
        handover.offer(item, 2)
    assert handover.take_together(0, 1) == [[b"a"]]
    assert handover.take_together(0, 10) == [[b"b", b"c"]]
    assert handover.take_together(0, 10) == [(b"another type",)]
    assert handover.take_together(0, 10) == [[b"d"], [b"e"]]
    assert handover.take_together(0, 1) == [[b"f"]]
    assert handover.take_together(0, 10) == [[b"g"] * 3]
    with pytest.raises(ValueError, match="gone"):
        handover.take_together(0, 1)
