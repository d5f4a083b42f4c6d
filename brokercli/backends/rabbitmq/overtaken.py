"""Records that a stream deletes before a look comes to them: its limits overtake whoever reads more slowly than is published."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any, NamedTuple

from brokercli.model.amount import amount

_ASK_SECONDS = 1.0
"""How often at most it is asked where the stream begins: of a stream whose offsets are never dense that would be asked all the time."""


class Gap(NamedTuple):
    """Offsets that were passed over: from `start` up to `stop`, not included."""

    start: int
    stop: int


class Overtaken:
    """Tells offsets that were deleted unread from those that no AMQP client ever sees (compressed batches of stream clients, what the broker writes down
    for itself): the broker passes over both without a word. What was passed over and lies before where the stream begins by then is not stored any
    more, and was not read.

    What `unsaid`, `open_before` and `stopped` return is for the thread that reads; everything else is for the connection's, unless it says otherwise.
    """

    def __init__(self, ask: Callable[[Callable[[int | None], None]], None], later: Callable[[float, Callable[[], None]], Any]) -> None:
        """`ask` calls back with the first offset of the stream, None where that could not be learnt, and not at all where the connection is lost
        before; `later` calls back after so many seconds."""
        self._ask = ask
        self._later = later
        self._suspects: list[Gap] = []
        self._known: deque[tuple[Gap, bool]] = deque()
        """Those that are no suspects any more, and whether they are known to be deleted."""
        self._asking = self._waiting = False
        self._asked = -_ASK_SECONDS
        self._then: list[Callable[[], None]] = []
        self._said = self._count = 0
        self._in_doubt = False
        self._has_holes = False
        """Whether something was passed over that was there."""

    def passed(self, gaps: Iterable[Gap]) -> None:
        """These were passed over."""
        self._suspects += gaps
        wait = self._asked + _ASK_SECONDS - monotonic()
        if not self._suspects or self._asking or self._waiting:
            return
        if wait <= 0:
            self._find_out()
        else:
            self._waiting = True
            self._later(wait, self._after_the_wait)

    def when_known(self, then: Callable[[], None]) -> None:
        """Call this once nothing is a suspect any more."""
        if not self._suspects:
            then()
            return
        self._then.append(then)
        self._find_out()

    def deleted(self, gap: Gap) -> None:
        """These are known to be deleted; on any thread."""
        self._known.append((gap, True))

    def restored(self) -> None:
        """The connection was lost, and with it what was asked, and is there again."""
        self._asking = False
        if self._suspects:
            self._find_out()

    def given_up(self) -> None:
        """Nobody will answer any more."""
        self._learnt(None)

    def unsaid(self, before: int | None) -> list[str]:
        """Return what there is to say once everything before an offset has been handed on; None: everything that there is."""
        notes = []
        while self._known and (before is None or self._known[0][0].start < before):
            gap, deleted = self._known.popleft()
            if not deleted:
                notes += self._doubt(gap)
                continue
            self._count += gap.stop - gap.start
            self._said += 1
            if self._said == 1:
                notes.append(f"{_place(gap)} was deleted before it was read: a stream's limits do that")
            elif self._said == 2:
                notes.append("more offsets went unread that were deleted meanwhile; how many in all is said at the end")
        return notes

    def open_before(self, offset: int) -> list[Gap]:
        """Return those before an offset of which it is still to be learnt what they are."""
        return [gap for gap in tuple(self._suspects) if gap.start < offset]

    def stopped(self, before: int) -> list[str]:
        """Return what there is to say of a look that is over, in which everything before an offset was handed on."""
        doubts = [note for gap in self.open_before(before) for note in self._doubt(gap)]
        return doubts + ([f"{amount(self._count, 'offset')} in all went unread"] if self._said > 1 else [])

    def _doubt(self, gap: Gap) -> list[str]:
        said, self._in_doubt = self._in_doubt, True
        return [] if said else [f"it was not to be learnt whether {_place(gap)} was deleted unread"]

    def _after_the_wait(self) -> None:
        self._waiting = False
        if self._suspects:
            self._find_out()

    def _find_out(self) -> None:
        if not self._asking:
            self._asking = True
            self._asked = monotonic()
            asked = tuple(self._suspects)
            self._ask(lambda first: self._answered(first, len(asked)))

    def _answered(self, first: int | None, count: int) -> None:
        self._asking = False
        self._learnt(first, count)
        if self._then and self._suspects:
            self._find_out()
        else:
            self.passed(())

    def _learnt(self, first: int | None, count: int | None = None) -> None:
        """Take in where the stream began after the first `count` of the suspects were passed over."""
        asked, self._suspects = self._suspects[:count], [] if count is None else self._suspects[count:]
        if first is None:
            self._known.extend((gap, False) for gap in asked)
        else:
            gone = [gap for gap in asked if gap.start < first]
            self._has_holes = self._has_holes or len(gone) < len(asked)
            # a hole like others is deleted as well, soon after it was passed over
            self._known.extend((gap, not self._has_holes) for gap in gone)
        if not self._suspects:
            then, self._then = self._then, []
            for call in then:
                call()


def gaps(following: int, offsets: Iterable[int], end: int | None) -> Iterator[Gap]:
    """Return what lies between offsets in which something may be missing that was to be read: from `following` on up to
    `end`, not included, before which there was a record.

    A single offset is left out: each segment begins with one that the broker has for itself (seen on 4.3.6), and what lies before that may have
    been read, and be deleted by the time that somebody asks.
    """
    for offset in offsets:
        if end is not None and offset >= end:
            if following < end:
                yield Gap(following, end)
            return
        if offset > following + 1:
            yield Gap(following, offset)
        following = offset + 1


def _place(gap: Gap) -> str:
    return f"what lay at the offset {gap.start}" if gap.stop == gap.start + 1 else f"what lay at the offsets {gap.start} to {gap.stop - 1}"
