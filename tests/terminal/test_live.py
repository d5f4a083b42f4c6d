"""A block of lines that is drawn again in place."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokercli.terminal.live import Live


@pytest.fixture
def window() -> Iterator[tuple[int, int]]:
    """A terminal's two sides, 20 columns and 5 rows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 20, 0, 0))
    yield master, slave
    os.close(master)
    os.close(slave)


def shown(window: tuple[int, int]) -> str:
    """Return what was written since the last call: what is on its way through the terminal may come in pieces."""
    end = b"\0"
    os.write(window[1], end)
    written = b""
    while not written.endswith(end):
        written += os.read(window[0], 65536)
    return written.removesuffix(end).decode()


def test_the_second_drawing_takes_the_place_of_the_first(capture: Callable[..., Any], window: tuple[int, int]) -> None:
    live = Live(capture(stdout_fd=window[1], stdout_is_terminal=True).streams)
    live.draw(["one", "two"])
    assert shown(window) == "one\x1b[K\r\ntwo\x1b[K\r\n\x1b[J"
    live.draw(["three"])
    assert shown(window) == "\x1b[2A\rthree\x1b[K\r\n\x1b[J"
    live.draw(["four"])
    assert shown(window).startswith("\x1b[1A\rfour")


def test_lines_are_cut_to_the_window_and_those_without_room_are_counted(capture: Callable[..., Any], window: tuple[int, int]) -> None:
    live = Live(capture(stdout_fd=window[1], stdout_is_terminal=True).streams)
    live.draw(["x" * 50, *map(str, range(9))])
    lines = shown(window).replace("\x1b[K", "").removesuffix("\x1b[J").splitlines()
    assert lines == ["x" * 18 + "…", "0", "1", "… 7 more lines"]


def test_a_window_of_another_size_is_drawn_from_its_top(capture: Callable[..., Any], window: tuple[int, int]) -> None:
    live = Live(capture(stdout_fd=window[1], stdout_is_terminal=True).streams)
    live.draw(["one"])
    shown(window)
    fcntl.ioctl(window[1], termios.TIOCSWINSZ, struct.pack("HHHH", 5, 10, 0, 0))
    live.draw(["one"])
    assert shown(window).startswith("\x1b[2J\x1b[Hone")
