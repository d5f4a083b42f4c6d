"""Standard input, output and error of this process: who is at the other end, and how to write to them without loss."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from brokercli.model.errors import LocalIO, ReaderLeft
from brokercli.terminal.cells import folded_words, shortened
from brokercli.terminal.escape import json_of, visible, visible_json

# so long a reader that takes nothing is waited for once somebody wants us to stop, in seconds
STALLED = 1.0
# so long an answer is waited for at a time, in seconds
_TURN_SECONDS = 0.2
CLOSED = -1
"""The descriptor of a stream that was closed when we were started."""
_PLAIN = str.maketrans({"→": "->", "…": "...", "·": "-", "–": "-", "—": "-", "“": '"', "”": '"', "’": "'"})


@dataclass
class Streams:
    """The three streams. Data goes out through `write`, talk through `say`; nothing else prints."""

    stdin: BinaryIO | None
    """None where standard input was closed when we were started."""
    stdout_fd: int
    stdin_is_terminal: bool
    stdout_is_terminal: bool
    stderr_is_terminal: bool
    colour: bool
    """Whether standard output may be coloured: NO_COLOR, --no-color, FORCE_COLOR, TERM=dumb, then whether it is a terminal."""
    width: int
    """Columns of the terminal, 80 where there is none."""
    stderr_fd: int = 2
    stderr_colour: bool = False
    moving: bool = False
    """Whether a line on standard error can be overwritten: a terminal that is not TERM=dumb."""
    input_allowed: bool = True
    """False with BROKERCLI_NO_INPUT."""
    encoding: str = "utf-8"
    """Of what is said on standard error."""
    written: bool = False
    """Whether anything was written to standard output yet."""
    writing: bool = False
    """Whether standard output is being written to."""
    _status: str = field(default="", repr=False)
    _hurried: BaseException | None = field(default=None, repr=False)
    _made_nonblocking: bool = field(default=False, repr=False)

    @classmethod
    def system(cls, no_color: bool = False, environment: Mapping[str, str] = os.environ) -> Streams:
        """Return the streams of this process.

        Descriptors that were closed when we were started are filled with the null device, so that no connection can
        take their numbers and receive what is printed.
        """
        # the interpreter looked at its start; later, a connection may already lie there
        stdin, stdout, stderr = (stream is not None for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__))
        _fill_holes()
        stdin_terminal, stdout_terminal, stderr_terminal = stdin and os.isatty(0), stdout and os.isatty(1), stderr and os.isatty(2)
        dumb = environment.get("TERM") == "dumb"
        if no_color or environment.get("NO_COLOR"):
            colours = (False, False)
        elif environment.get("FORCE_COLOR", "0") not in ("", "0"):
            colours = (True, True)
        else:
            colours = (stdout_terminal and not dumb, stderr_terminal and not dumb)
        return cls(
            stdin=None if sys.__stdin__ is None else cast("BinaryIO", sys.__stdin__.buffer), stdout_fd=1 if stdout else CLOSED,
            stdin_is_terminal=stdin_terminal, stdout_is_terminal=stdout_terminal, stderr_is_terminal=stderr_terminal,
            colour=colours[0], width=terminal_width(1 if stdout_terminal else 2, environment), stderr_fd=2 if stderr else CLOSED,
            stderr_colour=colours[1], moving=stderr_terminal and not dumb, input_allowed=not environment.get("BROKERCLI_NO_INPUT"),
            # __main__ says it where it began the process again in UTF-8 mode
            encoding=str(sys._xoptions.get("terminal_encoding") or (sys.__stderr__.encoding if sys.__stderr__ is not None else "utf-8")))

    def write(self, data: bytes) -> None:
        """Write all of `data` to standard output, at once and unbuffered, however long the reader takes.

        Raises ReaderLeft when the reader has closed the pipe (standard output is the null device from then on), LocalIO
        when it cannot be written (disk full, closed, a file too large), and what `hurry` was given.
        """
        self.written = True
        if self._status and self.stdout_is_terminal:
            self.status("")
        if self.stdout_fd == CLOSED:
            raise LocalIO("cannot write output: standard output is closed", hint="redirect it to a file or /dev/null")
        self.writing = True
        try:
            self._write_data(data)
        except OSError as problem:
            if problem.errno in (errno.EPIPE, errno.ECONNRESET):
                _point_at_null(self.stdout_fd)
                raise ReaderLeft("the reader of our output has gone") from None
            raise LocalIO(f"cannot write output: {problem.strerror}", hint=_output_hint(problem.errno)) from None
        finally:
            self.writing = False

    def hurry(self, error: BaseException) -> None:
        """Let `write` raise `error` where the reader of a pipe takes nothing for `STALLED` seconds; what it was in the midst of is not written
        beyond the line that was begun. For a signal handler: a write that waits goes on in this way."""
        self._hurried = error
        if self.stdout_fd != CLOSED and os.get_blocking(self.stdout_fd) and stat.S_ISFIFO(os.fstat(self.stdout_fd).st_mode):
            # a write that a signal interrupts is begun once more, and would wait for ever; it returns now
            self._made_nonblocking = True
            os.set_blocking(self.stdout_fd, False)

    def hurry_no_more(self) -> None:
        """Leave standard output as it was."""
        self._hurried = None
        if self._made_nonblocking:
            self._made_nonblocking = False
            os.set_blocking(self.stdout_fd, True)

    def _write_data(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.stdout_fd, rest):]
            except BlockingIOError:
                hurried = self._hurried
                _, ready, _ = select.select([], [self.stdout_fd], [], STALLED)
                if not ready and hurried is not None:
                    if len(rest) < len(data):
                        _end_of_line(self.stdout_fd, data, len(data) - len(rest))
                    raise hurried from None

    def wait(self, seconds: float) -> None:
        """Sleep. Raises ReaderLeft as soon as the reader of a pipe at standard output closes it."""
        if self.stdout_fd == CLOSED or not hasattr(select, "poll"):
            time.sleep(seconds)
            return
        poll = select.poll()
        poll.register(self.stdout_fd, 0)  # errors are reported without being asked for
        if poll.poll(seconds * 1000):
            _point_at_null(self.stdout_fd)
            raise ReaderLeft("the reader of our output has gone")

    def say(self, text: str, style: str = "") -> None:
        """Print one line to standard error, with everything that could steer a terminal escaped; folded between words on
        a terminal. Raises nothing: who does not listen is not told.

        `style` (a key of STYLES) is used where standard error may be coloured; a `:` at its end styles only what stands
        before the text's first colon.
        """
        lines = self._folded(visible(text))
        if style and self.stderr_colour:
            code = f"\x1b[{STYLES[style.removesuffix(':')]}m"
            if style.endswith(":"):
                label, colon, rest = lines[0].partition(":")
                lines[0] = f"{code}{label}{colon}\x1b[0m{rest}"
            else:
                lines = [f"{code}{line}\x1b[0m" for line in lines]
        self._tell("\n".join(lines))

    def say_hint(self, text: str) -> None:
        """Print what to do next, below what was said: an arrow for each line that does not begin with a space. A line with a
        command in it is not folded, so that it can be copied."""
        for line in text.splitlines():
            shown = f"  {' ' if line.startswith(' ') else '→'} {visible(line)}"
            self._tell(shown if "brokercli " in line else "\n".join(self._folded(shown, 4)))

    def say_json(self, value: object) -> None:
        """Print one JSON object on a line of standard error, for a program that reads there."""
        self._tell(visible_json(json_of(value)).decode())

    def end_line(self) -> None:
        """Start a new line on standard error: the terminal has just printed `^C`."""
        self._print("\n")

    def status(self, text: str) -> None:
        """Show one passing line at the bottom of standard error in place of the last, or take it away (empty).

        Where a line cannot be overwritten (no terminal, TERM=dumb), nothing.
        """
        if not self.moving or (not text and not self._status):
            return
        self._status = text and shortened(visible(text), terminal_width(self.stderr_fd) - 1)
        self._print(f"\r{self._status}\x1b[K")

    def can_ask(self) -> bool:
        """Whether somebody is there to answer: standard input and error are terminals, and BROKERCLI_NO_INPUT is not set."""
        return self.stdin_is_terminal and self.stderr_is_terminal and self.input_allowed

    def ask(self, question: str) -> bool:
        """Ask a yes-or-no question on standard error; no answer, or nobody to ask, is a no."""
        if not self.can_ask() or self.stdin is None:
            return False
        self.status("")
        self._print(f"{visible(question)} [y/N] ")
        # a signal that comes a moment before a read, or to another thread, does not end it: Python has to have a turn
        while not select.select([self.stdin], [], [], _TURN_SECONDS)[0]:
            pass
        answer = self.stdin.readline()
        if not answer.endswith(b"\n"):
            self._print("\n")
        return answer.strip().lower() in (b"y", b"yes")

    def _folded(self, text: str, indent: int = 2) -> list[str]:
        if not self.moving:
            return [text]
        width = max(terminal_width(self.stderr_fd), 20)
        first, *others = folded_words(text, width, width - indent)
        return [first, *(" " * indent + other for other in others)]

    def _tell(self, line: str) -> None:
        if self._status:
            self._print(f"\r\x1b[K{line}\n{self._status}")
        else:
            self._print(f"{line}\n")

    def _print(self, text: str) -> None:
        if self.stderr_fd == CLOSED:
            return
        try:
            # it may be the pipe that nobody reads (2>&1)
            _write_all(self.stderr_fd, _encode(text, self.encoding), None if self._hurried is None else 0.0)
        except OSError:
            pass  # nobody listens, and there is nowhere left to say so


STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "bold red": "1;31", "bold yellow": "1;33"}


def terminal_width(descriptor: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return the columns of the terminal at `descriptor`; COLUMNS goes before, 80 where neither knows."""
    if environment.get("COLUMNS", "").isdecimal() and int(environment["COLUMNS"]) > 0:
        return int(environment["COLUMNS"])
    try:
        return os.get_terminal_size(descriptor).columns or 80
    except (OSError, ValueError):
        return 80


def _encode(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN).encode("ascii" if encoding == "utf-8" else encoding, errors="backslashreplace")


def _write_all(descriptor: int, data: bytes, patience: float | None = None) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest):]
        except BlockingIOError:
            if not select.select([], [descriptor], [], patience)[1]:
                return


def _end_of_line(pipe: int, data: bytes, written: int) -> None:
    """Put the rest of a line that was begun into a pipe that is full, by making it larger: half a line would pass for a whole one. Where it cannot
    be made so large, nothing."""
    rest = data[written:data.find(b"\n", written - 1) + 1]
    if not rest or sys.platform != "linux":
        return
    import fcntl

    try:
        # what is in it lies in pages, which need not be full
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) + len(rest) + 2 * select.PIPE_BUF)
        while rest:
            rest = rest[os.write(pipe, rest):]
    except OSError:
        return


def _fill_holes() -> None:
    try:
        descriptor = os.open(os.devnull, os.O_RDWR)
        while descriptor <= 2:
            os.set_inheritable(descriptor, True)
            descriptor = os.open(os.devnull, os.O_RDWR)
    except OSError as problem:
        if problem.errno != errno.EMFILE:
            raise
        return  # every number that there may be is taken, these three among them
    os.close(descriptor)


def _point_at_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _output_hint(number: int | None) -> str | None:
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full: free some room, or write elsewhere"
        case errno.EFBIG:
            return "the file reached the size it may have (ulimit -f)"
    return None
