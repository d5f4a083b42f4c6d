"""Where the bodies to publish come from: lines, NUL-separated, whole files or envelopes, from files or standard input.

A source never waits for more than it was asked to: what has been read is handed on while the writer at the other end of
the pipe stalls.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Sequence
from pathlib import Path

from brokercli.backends.envelope import decode_envelope
from brokercli.model.amount import amount
from brokercli.model.errors import InputRefused, LocalIO, UsageProblem
from brokercli.model.message import Message

CHUNK = 1 << 18


def open_files(paths: Sequence[str]) -> list[int]:
    """Open every file before anything is sent; `-` is standard input, which the caller knows to be there. Raises UsageProblem naming the
    first that cannot be."""
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(0 if path == "-" else os.open(path, os.O_RDONLY))
            if stat.S_ISDIR(os.fstat(opened[-1]).st_mode):
                raise UsageProblem(f"{path} is a directory.", hint=f"name its files: {Path(path) / '*'}")
    except OSError as problem:
        raise UsageProblem(f"{path} cannot be read: {problem.strerror}. Nothing was sent.") from None
    return opened


def check_readable(descriptor: int) -> None:
    """Raise UsageProblem where a descriptor (standard input) is a directory."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise UsageProblem("Standard input is a directory.", hint="give files with -f")


class Lines:
    """Bodies between delimiters, over one or more descriptors in order.

    Everything between two delimiters is a body, an empty one too, and so is what follows the last delimiter of a
    descriptor unless it is empty. Bytes are kept as they are; a carriage return belongs to the body.
    """

    def __init__(self, descriptors: Sequence[int], delimiter: bytes = b"\n", *, maximum: int = 64 << 20) -> None:
        self._descriptors = list(descriptors)
        self._delimiter = delimiter
        self._maximum = maximum
        self._pieces: list[bytes] = []
        self._held = 0
        self._number = 0
        self._discarding = False
        self._waiting: list[bytes] = []
        """Bodies that were read, the first of them too long."""
        self.first = 1
        """Number of the first body of the last `read`, from 1."""

    def read(self, timeout: float) -> list[bytes] | None:
        """Return the next bodies; an empty list when nothing came within `timeout` seconds, None at the end.

        Raises InputRefused for a body longer than the maximum (the rest of it is passed over by the next call, which goes on behind
        it), LocalIO where reading fails.
        """
        if self._waiting:
            return self._bounded(self._waiting)
        while self._descriptors:
            descriptor = self._descriptors[0]
            if not _ready(descriptor, timeout):
                return []
            chunk = _read(descriptor)
            if not chunk:
                self._descriptors.pop(0)
                last, discarded = self._take_rest(), self._discarding
                self._discarding = False
                if last and not discarded:
                    return self._bounded([last])
                continue
            bodies = self._split(chunk)
            if bodies:
                return self._bounded(bodies)
            if self._held - len(self._delimiter) >= self._maximum and not self._discarding:
                self._discarding = True
                # a delimiter may have begun at its end
                self._drop_rest(keep=len(self._delimiter) - 1)
                raise self._too_long()
            timeout = 0
        return None

    def _bounded(self, bodies: list[bytes]) -> list[bytes]:
        """Return bodies up to the first that is too long, and keep the others for the next call; raises for one that comes first."""
        self._waiting = []
        # behind the first each lay within one read
        if len(bodies[0]) > self._maximum or self._maximum < CHUNK:
            over = next((index for index, body in enumerate(bodies) if len(body) > self._maximum), len(bodies))
            if not over:
                self._waiting = bodies[1:]
                raise self._too_long()
            bodies, self._waiting = bodies[:over], bodies[over:]
        self.first = self._number + 1
        self._number += len(bodies)
        return bodies

    def _too_long(self) -> InputRefused:
        self._number += 1
        return InputRefused(f"line {self._number} is longer than {amount(self._maximum, 'byte')}", self._number,
                            hint="--max-message raises the bound; --input whole takes a file as one body")

    def _split(self, chunk: bytes) -> list[bytes]:
        delimiter = self._delimiter
        if len(delimiter) > 1 and self._pieces:
            # the delimiter may have begun at the end of what is held, which is a piece of its own
            tail = self._pieces.pop()
            self._held -= len(tail)
            chunk = tail + chunk
        bodies = chunk.split(delimiter)
        self._hold(bodies[0])
        if len(bodies) == 1:
            if self._discarding:
                self._drop_rest(keep=len(delimiter) - 1)
            return []
        rest = bodies.pop()
        bodies[0] = self._take_rest()
        if self._discarding:
            self._discarding = False
            bodies = bodies[1:]
        self._hold(rest)
        return bodies

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of a body apart, so that a long one is put together once and not with every read."""
        self._held += len(piece)
        begun = len(self._delimiter) - 1
        if 0 < begun < len(piece):
            self._pieces.append(piece[:-begun])
            piece = piece[-begun:]
        self._pieces.append(piece)

    def _take_rest(self) -> bytes:
        rest = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return rest

    def _drop_rest(self, keep: int = 0) -> None:
        tail = self._pieces[-1][-keep:] if keep and self._pieces else b""
        self._pieces, self._held = ([tail] if tail else []), len(tail)


class Whole:
    """Each descriptor is one body."""

    def __init__(self, descriptors: Sequence[int], *, maximum: int = 64 << 20) -> None:
        self._descriptors = list(descriptors)
        self._maximum = maximum
        self._pieces: list[bytes] = []
        self._held = 0
        self.first = 0
        """Number of the last body, from 1."""

    def read(self, timeout: float) -> list[bytes] | None:
        """Return the next body once its descriptor has ended; otherwise as `Lines.read`."""
        while self._descriptors:
            if not _ready(self._descriptors[0], timeout):
                return []
            chunk = _read(self._descriptors[0])
            if chunk:
                self._held += len(chunk)
                if self._held <= self._maximum:
                    self._pieces.append(chunk)
                continue
            self._descriptors.pop(0)
            self.first += 1
            body, held = b"".join(self._pieces), self._held
            self._pieces, self._held = [], 0
            if held > self._maximum:
                raise InputRefused(f"file {self.first} has {amount(held, 'byte')}; a body may have {self._maximum:,}", self.first,
                                   hint="--max-message raises the bound")
            return [body]
        return None


class Given:
    """Messages that are there already: the argument of the command."""

    first = 1

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = list(messages)

    def read(self, timeout: float) -> list[Message] | None:
        """Return all of them once, then None."""
        messages, self._messages = self._messages, []
        return messages or None


class Envelopes:
    """Messages from JSON envelopes, one a line; lines of white space are passed over."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._waiting: Sequence[bytes] = ()
        self._next = 0
        self.first = 1
        """Number of the line of the first message of the last `read`; the others are on the lines that follow it."""

    def read(self, timeout: float) -> list[Message] | None:
        """Return the next messages, none where only white space came; otherwise as `Lines.read`.

        Raises InputRefused for the line that is no envelope; the messages before it have been returned, the ones after
        it come with the next call.
        """
        if self._next == len(self._waiting):
            lines = self._lines.read(timeout)
            if lines is None:
                return None
            self._waiting, self._next = lines, 0
        messages: list[Message] = []
        while self._next < len(self._waiting):
            line, number = self._waiting[self._next], self._lines.first + self._next
            if line.strip():
                try:
                    message = decode_envelope(line, number)
                except InputRefused:
                    if messages:
                        # what is good is handed on first; this line is met again, alone
                        break
                    self._next += 1
                    raise
                if not messages:
                    self.first = number
                messages.append(message)
            elif messages:
                break
            self._next += 1
        return messages


def _ready(descriptor: int, timeout: float) -> bool:
    # select() takes no descriptor above 1,023, and so many files may be open
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(timeout * 1000))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        # another process that shares the pipe made it non-blocking; it was ready a moment ago
        os.set_blocking(descriptor, True)
        return os.read(descriptor, CHUNK)
    except OSError as problem:
        raise LocalIO(f"Input cannot be read: {problem.strerror}") from None
