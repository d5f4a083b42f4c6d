"""What `consumers lag --watch` shows: a live table on a terminal, JSON objects in a pipe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock
from typing import Protocol

from brokercli.model.position import NANOSECONDS, format_time
from brokercli.terminal.cells import folded_words
from brokercli.terminal.consumers import Measurement, lag_object, lag_rows
from brokercli.terminal.escape import visible
from brokercli.terminal.live import Live
from brokercli.terminal.streams import Streams, terminal_width
from brokercli.terminal.tables import print_json, print_table, table_lines


class Moment(Protocol):
    """All consumers at one moment; see `operations/lagging.py`."""

    @property
    def measured(self) -> Sequence[Measurement]: ...
    @property
    def problem(self) -> Exception | None: ...
    @property
    def gone(self) -> Sequence[str]: ...
    @property
    def unseen(self) -> Sequence[str]: ...


class LagWatch:
    """Shows one moment after another. `auto` is a live table on a terminal that can draw over a line, JSON elsewhere."""

    def __init__(self, streams: Streams, output: str) -> None:
        self._streams = streams
        self._json = output == "json" or (output == "auto" and not streams.stdout_is_terminal)
        self._live = Live(streams) if not self._json and streams.stdout_is_terminal and streams.moving else None
        self._before: dict[tuple[str, str, int | None], tuple[int, int]] = {}
        self._away: str | None = None
        self._why = ""
        self._told: set[str] = set()
        self._last: Sequence[Measurement] = ()
        self._change: dict[tuple[str, str, int | None], float] = {}
        self._turn = Lock()

    def silent(self) -> None:
        """Say that no answer comes; may be called on another thread."""
        with self._turn:
            self._gone_away("it does not answer")

    def show(self, moment: Moment) -> None:
        """Show it. A broker that is away is said once, and once that it is back."""
        with self._turn:
            if moment.problem is not None:
                self._gone_away(str(moment.problem))
                return
            self._compare(moment.measured)
            if self._live is not None:
                self._away = None
                self._draw(_notes(moment))
            else:
                self._print(moment)

    def _gone_away(self, why: str) -> None:
        now = format_time(time.time_ns())
        if self._live is not None:
            self._away, self._why = self._away or now, why
            self._draw(())
        elif self._away is None:
            self._away = now
            self._streams.say(f"{now} the broker is away: {why}")

    def _print(self, moment: Moment) -> None:
        now = format_time(time.time_ns())
        if self._away is not None:
            self._streams.say(f"{now} the broker is back, away since {self._away}")
            self._away = None
        notes = _notes(moment)
        for note in dict.fromkeys(notes):
            if note not in self._told:
                self._streams.say(f"{now} {note}")
        self._told = set(notes)
        if self._json:
            print_json(self._streams, [lag_object(one) for one in moment.measured])
        else:
            print_table(self._streams, lag_rows(moment.measured, self._change))

    def _draw(self, said: Sequence[str]) -> None:
        if self._live is None:
            return
        head = f"{format_time(time.time_ns())[11:19]}Z" + (f"  the broker is away since {self._away[11:19]}Z: {self._why}" if self._away else "")
        notes = list(map(visible, said))
        if not self._last and not notes:
            notes = ["no consumer of this name"]
        width = terminal_width(self._streams.stdout_fd) - 1
        rows = lag_rows(self._last, self._change)
        if len(self._last) == 1:
            head = f"{head}  {self._last[0].name}"
            rows = [{title: value for title, value in row.items() if title != "consumer"} for row in rows]
        self._live.draw([*folded_words(visible(head), width, width), *table_lines(self._streams, rows), *notes])

    def _compare(self, measured: Sequence[Measurement]) -> None:
        found: dict[tuple[str, str, int | None], tuple[int, int]] = {}
        for one in measured:
            for lag in one.lags:
                if lag.lag is not None:
                    found[one.name, lag.source, lag.partition] = (one.time, lag.lag)
            if one.lag is not None:
                found[one.name, "", None] = (one.time, one.lag)
        self._change = {key: (lag - self._before[key][1]) * NANOSECONDS / (moment - self._before[key][0])
                        for key, (moment, lag) in found.items() if key in self._before and moment > self._before[key][0]}
        self._before, self._last = found, measured


def _notes(moment: Moment) -> list[str]:
    """Say which consumers are not there any more, and of which it cannot be told."""
    return [*(f"{name} is not there any more" for name in moment.gone), *moment.unseen]
