"""Pass each body through a program: its standard output is the new body, a failure keeps the message out."""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message

LARGEST_OUTPUT = 64 << 20
"""More than that is no body, but a program that does not stop: as much as is taken of an input (`--max-message`)."""
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Transformed:
    """What the program made of one message: a new one, or the reason there is none."""

    message: Message | None
    reason: str = ""
    meant: bool = True
    """False where there is none because the message is not one that this was for."""


class Transforming(Protocol):
    """What makes another body of a message: a program, or somebody's hand."""

    def transform(self, message: Message) -> Transformed:
        """Return the new message, or why there is none."""


class Through:
    """One program, run once for each message without a shell: body on its standard input, new body from its standard
    output, its standard error passed through to ours. The key of the message is in its environment (BROKERCLI_KEY)."""

    def __init__(self, command: str, *, timeout: float = 30.0, environment: dict[str, str] | None = None) -> None:
        """Raise UsageProblem where the command cannot be split, or names no program: nothing has been read by then."""
        try:
            self._arguments = shlex.split(command)
        except ValueError as problem:
            raise UsageProblem(f"--through {command!r} cannot be read as a command: {problem}.") from None
        if not self._arguments or shutil.which(self._arguments[0]) is None:
            raise UsageProblem(f"--through names {self._arguments[0] if self._arguments else 'nothing'!r}, which is no program here.",
                               hint="pipelines need a shell said: --through \"sh -c 'jq . | tr a b'\"")
        self._timeout = timeout
        self._environment = dict(os.environ) if environment is None else environment

    def transform(self, message: Message) -> Transformed:
        """Run the program on one message; waits for it, `timeout` seconds at most, and then ends it with all it started.

        A message without a body (a tombstone) is returned as it is: a program can neither read nor print one. Of one with a body,
        an empty output is a failure: that is what filters print for what they do not want.
        """
        if message.body is None:
            return Transformed(message)
        environment = self._environment
        if message.key is not None and b"\0" not in message.key and len(message.key) < 65536:
            environment = environment | {"BROKERCLI_KEY": os.fsdecode(message.key)}
        try:
            process = subprocess.Popen(self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment,
                                       start_new_session=True)
        except OSError as problem:
            return Transformed(None, f"--through: {self._arguments[0]} cannot be run: {problem.strerror}")
        try:
            output = _converse(process, message.body, self._timeout)
        except subprocess.TimeoutExpired:
            # whether all of the new body is there nobody knows as long as somebody may write more of it
            what = "did not end within" if process.poll() is None else "ended, and what it left in the background kept its output open for"
            return Transformed(None, f"--through: {self._arguments[0]} {what} {self._timeout:g} s")
        finally:
            _end(process)
        if len(output) > LARGEST_OUTPUT:
            return Transformed(None, f"--through: {self._arguments[0]} printed more than {LARGEST_OUTPUT >> 20} MiB")
        if process.returncode:
            how = f"was ended by signal {-process.returncode}" if process.returncode < 0 else f"exited with {process.returncode}"
            return Transformed(None, f"--through: {self._arguments[0]} {how}")
        if message.body and not output:
            return Transformed(None, f"--through: {self._arguments[0]} printed nothing")
        return Transformed(replace(message, body=output))


def _converse(process: subprocess.Popen[bytes], body: bytes, timeout: float) -> bytes:
    """Give a program a body and return what it prints, once it has ended; a little more than LARGEST_OUTPUT, where it prints more. Raises
    TimeoutExpired. Not `communicate`, which keeps all that comes."""
    deadline = monotonic() + timeout
    given, output = 0, bytearray()
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    os.set_blocking(stdin.fileno(), False)
    with selectors.DefaultSelector() as waiting:
        waiting.register(stdout, selectors.EVENT_READ)
        waiting.register(stdin, selectors.EVENT_WRITE)
        while waiting.get_map() and len(output) <= LARGEST_OUTPUT:
            ready = waiting.select(max(0.0, deadline - monotonic()))
            if not ready and monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout)
            for key, _ in ready:
                if key.fileobj is stdin:
                    given = _give(stdin.fileno(), body, given)
                    if given >= len(body):
                        waiting.unregister(stdin)
                        stdin.close()
                elif piece := os.read(stdout.fileno(), _PIECE):
                    output += piece
                else:
                    waiting.unregister(stdout)
    if len(output) <= LARGEST_OUTPUT:
        process.wait(max(0.0, deadline - monotonic()))
    return bytes(output)


def _give(pipe: int, body: bytes, given: int) -> int:
    """Write on, and return how much is given by then: all of it where no more is wanted."""
    try:
        return given + os.write(pipe, memoryview(body)[given:given + _PIECE])
    except BlockingIOError:
        return given
    except BrokenPipeError:
        return len(body)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended already, with all it started
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
