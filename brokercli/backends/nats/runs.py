"""Deliveries without headers, taken apart a whole socket read at a time: the form that most of a bulk read has."""

from __future__ import annotations

from itertools import repeat
from operator import contains
from typing import Self

from brokercli.backends.nats.coordinates import Coordinates, coordinates


class Run:
    """Control lines of MSG, as they came, and the body of each."""

    __slots__ = ("bodies", "lines")

    def __init__(self, lines: list[bytes], bodies: list[bytes]) -> None:
        self.lines = lines
        self.bodies = bodies

    def __len__(self) -> int:
        return len(self.lines)

    def __add__(self, further: Self) -> Run:
        return Run(self.lines + further.lines, self.bodies + further.bodies)

    def coordinates(self, index: int) -> Coordinates:
        """Return where one of them lies."""
        return coordinates(self.lines[index].split(b" ")[3])

    def first(self, count: int) -> Run:
        """Return so many of them, from the front."""
        return Run(self.lines[:count], self.bodies[:count])

    def deliveries(self) -> list[tuple[list[bytes], bytes]]:
        """Return them as the parser hands single messages on."""
        return [(line.split(b" "), body) for line, body in zip(self.lines, self.bodies, strict=True)]

    @classmethod
    def of(cls, buffer: bytes, mark: bytes) -> tuple[Self | None, int]:
        """Return the messages that make up the front of a buffer and the position behind them; None where there are none.

        `mark` is what stands in the control lines of one subscription and in no other's: its number, and how the reply
        subjects of stored messages begin. Everything up to the buffer's last whole message must be of that subscription,
        without headers and without a line end in its body; otherwise this is not the way to read it.
        """
        # the first line decides cheaply about most other traffic, messages with headers among it
        if not buffer.startswith(b"MSG ") or mark not in buffer[:buffer.find(b"\r\n") + 1]:
            return None, 0
        pieces = buffer.split(b"\r\n")
        # the last piece is cut off, or empty behind the last line end
        count = (len(pieces) - 1) // 2 * 2
        lines, bodies = pieces[:count:2], pieces[1:count:2]
        if not lines or not _sizes_agree(lines, bodies) or not _marked(lines, mark):
            return None, 0
        return cls(lines, bodies), len(buffer) - len(pieces[-1]) - (len(pieces[-2]) + 2 if count < len(pieces) - 1 else 0)


class _Ends(dict[int, bytes]):
    """Length of a body → how its control line ends."""

    def __missing__(self, length: int) -> bytes:
        end = b" %d" % length
        if len(self) < 10_000:
            self[length] = end
        return end


_ends = _Ends()


def _sizes_agree(lines: list[bytes], bodies: list[bytes]) -> bool:
    # the size is a line's last word; where a body held a line end, or a line was none, they do not agree
    return all(map(bytes.endswith, lines, map(_ends.__getitem__, map(len, bodies))))


def _marked(lines: list[bytes], mark: bytes) -> bool:
    head = lines[0][:lines[0].index(mark) + len(mark)]
    if not head.startswith(b"MSG "):
        return False
    if all(map(bytes.startswith, lines, repeat(head))):
        return True
    return all(map(contains, lines, repeat(mark))) and all(map(bytes.startswith, lines, repeat(b"MSG ")))
