"""One line on standard error that says how far a long run is."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from brokercli.terminal.cells import width_of
from brokercli.terminal.streams import Streams, terminal_width

# seconds before it first appears, and between two drawings
PATIENCE = 0.5
PACE = 0.1


class Progress:
    """A passing line, `read 12,345 of 100,000 (12%)  45,210/s  2 s left`, while standard error is a terminal.

    It appears once the work has taken half a second, costs an addition when called often, and stays away where records
    are printed on a terminal, and where what is worked on is typed there (`typed`). Leaving the context takes it away; that may happen twice.
    """

    def __init__(self, streams: Streams, what: str, total: int | None = None, *, typed: bool = False) -> None:
        self._streams = streams
        self._what = what
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._due = self._began + PATIENCE if streams.moving and not typed else float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._due = float("inf")
        self._streams.status("")

    def advance(self, count: int) -> None:
        """Say that so many more are done."""
        self._done += count
        now = time.monotonic()
        if now >= self._due:
            self._due = now + PACE
            self._draw(now - self._began)

    def note(self, text: str) -> None:
        """Print one line that stays, above the passing one."""
        self._streams.say(text)

    def _draw(self, seconds: float) -> None:
        if self._streams.stdout_is_terminal and self._streams.written:
            return
        parts = [f"{self._what} {self._done:,}"]
        rate = self._done / seconds
        if self._total and self._done <= self._total:
            parts[0] += f" of {self._total:,} ({self._done * 100 // self._total}%)"
        parts.append(f"{rate:,.0f}/s")
        if self._total and 0 < self._done <= self._total:
            parts.append(f"{spoken_duration((self._total - self._done) / rate)} left")
        width = terminal_width(self._streams.stderr_fd) - 1
        while len(parts) > 1 and width_of("  ".join(parts)) > width:
            parts.pop()
        self._streams.status("  ".join(parts))


def spoken_duration(seconds: float) -> str:
    """Write seconds as one says them: `8 ms`, `0.4 s`, `42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
