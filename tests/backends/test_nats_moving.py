"""Each verdict of a publisher is of the window whose message it numbers, in whichever order they come; a letter that was refused is not taken
for one that is stored. The publisher is scripted: a real one numbers alike, and answers as it likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brokercli.backends.nats.moving import Mover
from brokercli.model.errors import Unreachable
from brokercli.model.receipt import Receipt, Receipts, Verdict


class Numbering:
    """Takes three messages at a time and refuses every fourth it is given; what it says comes with the next question."""

    failure: Unreachable | None = None

    def __init__(self, takes: int = 1000) -> None:
        self._left = takes
        self.count = 0
        self._news: list[Receipt] = []

    def send(self, messages: Sequence[Any]) -> int:
        if not self._left:
            self.failure = Unreachable("gone")
            raise self.failure
        taken = min(3, len(messages), self._left)
        self._left -= taken
        self._news += [Receipt(number, Verdict.REFUSED, reason=f"no {number}") for number in range(self.count, self.count + taken) if number % 4 == 3]
        self.count += taken
        return taken

    def collect(self, timeout: float) -> Receipts:
        problems, self._news = self._news, []
        return Receipts(refused=len(problems), problems=problems)

    def finish(self, timeout: float, end: int) -> Receipts:
        return self.collect(timeout)


def test_verdicts_are_told_by_the_place_in_their_own_window() -> None:
    mover, publisher, other = Mover(30.0), Numbering(), Numbering()
    given: list[Any] = [(publisher, 5), (other, 4), (publisher, 7), (publisher, 2)]
    windows = [mover.begin(one, one.send, [b""] * count) for one, count in given]
    told = [{index: receipt.reason for index, receipt in mover.finish(window).items()} for window in windows]
    assert told == [{3: "no 3"}, {3: "no 3"}, {2: "no 7", 6: "no 11"}, {}]


def test_a_window_says_how_many_left_before_the_publisher_was_gone() -> None:
    mover, publisher = Mover(30.0), Numbering(takes=4)
    gone: Any = publisher
    window = mover.begin(gone, gone.send, [b""] * 9)
    assert (window.first, window.taken) == (0, 4)
    assert publisher.failure is not None
    assert list(mover.finish(window)) == [3]
    assert mover.begin(gone, gone.send, [b""]).taken == 0
