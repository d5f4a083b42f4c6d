"""The records around a position: entries as `tail` prints them with a mark, or envelopes with their distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from brokercli.backends.envelope import encode_record
from brokercli.model.consumption import Lag
from brokercli.model.message import Record
from brokercli.terminal.escape import visible, visible_json
from brokercli.terminal.records import Entry
from brokercli.terminal.streams import STYLES, Streams


class Surroundings(Protocol):
    """See `operations/peeking.py`."""

    lag: Lag
    before: list[Record]
    following: list[Record]

    @property
    def lost(self) -> int: ...


def print_around(streams: Streams, found: Sequence[Surroundings], output: str) -> None:
    """Print each with a heading; `json` is one envelope a line with `distance`: negative before the position, 0 the next to be read."""
    if output == "json":
        show = visible_json if streams.stdout_is_terminal else bytes
        for one in found:
            for distance, record in enumerate(one.before + one.following, -len(one.before)):
                streams.write(show(encode_record(record)[:-1] + b',"distance":%d}' % distance) + b"\n")
        return
    entry = Entry(colour=streams.colour)
    for index, one in enumerate(found):
        lines = [*([""] if index else []), _bold(streams, _heading(one.lag))]
        lines += [f"  {entry.render(record)[:-1]}" for record in one.before]
        if one.lost:
            lines.append(f"  … {one.lost:,} from {one.lag.position} on {'is' if one.lost == 1 else 'are'} not stored any more, and will not be read")
        lines += [f"{'  ' if place else '→ '}{entry.render(record)[:-1]}" for place, record in enumerate(one.following)]
        if not one.following:
            lines.append("→ the end: nothing waits here" if one.lag.readable is None or not one.lag.lag else
                         "→ what waits here is not committed yet, and cannot be shown")
        streams.write("".join(f"{line}\n" for line in lines).encode())


def _heading(lag: Lag) -> str:
    words = [lag.source if lag.partition is None else f"{lag.source} {lag.partition}", f"position {lag.position}"]
    words += [f"next {lag.next}"] if lag.next not in (None, lag.position) else []
    words += [f"end {lag.end}"] if lag.end is not None else []
    words += [f"{lag.lag:,} behind"] if lag.lag else []
    words += [f"{lag.in_hand:,} in hand"] if lag.in_hand else []
    words += [f"read by {lag.member}"] if lag.member else []
    return visible("  ".join(words))


def _bold(streams: Streams, text: str) -> str:
    return f"\x1b[{STYLES['bold']}m{text}\x1b[0m" if streams.colour else text
