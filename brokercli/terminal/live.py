"""A block of lines at the bottom of the terminal that is drawn again in place."""

from __future__ import annotations

import os

from brokercli.terminal.cells import shortened
from brokercli.terminal.streams import Streams


class Live:
    """Draws over what it drew before; the last drawing stays. Changes no mode of the terminal, so that nothing has to be put
    right however it ends. Lines may hold our own colours, whose end a cut line keeps."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._drawn = 0
        self._size: os.terminal_size | None = None

    def draw(self, lines: list[str]) -> None:
        """Show as many lines as the terminal has room for. Where not all fit, the last line says how many more there are."""
        size = _size(self._streams.stdout_fd)
        room = max(size.lines - 1, 2)
        if len(lines) > room:
            lines = [*lines[:room - 1], f"… {len(lines) - room + 1} more lines"]
        shown = [line if "\x1b" in line else shortened(line, size.columns - 1) for line in lines]
        before = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        if self._size not in (None, size):  # lines of the old width may take two rows now
            before = "\x1b[2J\x1b[H"
        self._streams.write((before + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J").encode())
        self._drawn, self._size = len(shown), size


def _size(descriptor: int) -> os.terminal_size:
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        size = os.terminal_size((80, 24))
    return size if size.columns and size.lines else os.terminal_size((80, 24))
