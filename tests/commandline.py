"""brokercli as a process: with pipes (`CommandLine`) and on a terminal (`Terminal`), in a home of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import loaded

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
STOPPING = "stopping once what is in flight is settled; Ctrl-C again stops now\n"
"""What is said on standard error where an interrupt is followed by no end for a moment: on a busy machine, by any command."""
BUG = "this is a bug: "
"""What an error of brokercli's own begins with: no command may end with it, whatever else a test looks for."""
Process = subprocess.Popen[bytes] | loaded.Command


@dataclass(frozen=True, slots=True)
class Ended:
    """How one command ended. `code` is what a shell would show: 128 + the signal for one that a signal ended."""

    code: int
    stdout: bytes
    stderr: str

    def __post_init__(self) -> None:
        # it ends with 1, as much does that is none
        assert BUG not in self.stderr, self.stderr

    @property
    def lines(self) -> list[bytes]:
        """Standard output by lines, without line ends."""
        return self.stdout.split(b"\n")[:-1] if self.stdout.endswith(b"\n") else self.stdout.split(b"\n") if self.stdout else []


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with nothing of ours in it: no context, no colours, no proxies; `extra` comes on top."""
    ours = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm-256color", "TZ": "UTC"}
    # six tests run at a time on two cores: a broker may be slow without anything being wrong
    ours["BROKERCLI_CONNECT_TIMEOUT"] = "20"
    ours |= {f"XDG_{what}": str(home / what.lower()) for what in ("CONFIG_HOME", "STATE_HOME", "CACHE_HOME", "DATA_HOME", "RUNTIME_DIR")}
    return ours | dict(extra or {})


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs brokercli as it is in the checkout."""
    return [sys.executable, "-m", "brokercli", *arguments]


def run_module(name: str, *arguments: str, stdin: bytes = b"", timeout: float = PATIENCE) -> Ended:
    """Run a module of the tests that has a function `main` in a process of its own, to its end."""
    ours = environment(ROOT)
    forked = loaded.run(arguments, stdin=stdin, environment=ours, folder=ROOT, timeout=timeout, program=name)
    if forked is None:
        ended = subprocess.run([sys.executable, "-m", name, *arguments], input=stdin, capture_output=True, env=ours, timeout=timeout, cwd=ROOT, check=False)
        forked = ended.returncode, ended.stdout, ended.stderr
    return Ended(_shown(forked[0]), forked[1], forked[2].decode())


class CommandLine:
    """Runs commands one after another in one home, so that a context added by one is there for the next.

    `extra` is environment for all of them.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.extra: dict[str, str] = {}
        self._started: list[Process] = []

    def __call__(self, *arguments: str, stdin: bytes | None = b"", extra: Mapping[str, str] | None = None, timeout: float = PATIENCE,
                 cwd: Path | None = None) -> Ended:
        """Run one command to its end."""
        ours, folder = environment(self.home, self.extra | dict(extra or {})), cwd or self.home
        forked = loaded.run(arguments, stdin=stdin, environment=ours, folder=folder, timeout=timeout)
        if forked is not None:
            return Ended(_shown(forked[0]), forked[1], forked[2].decode())
        ended = subprocess.run(command(arguments), input=stdin, capture_output=True, env=ours, timeout=timeout, cwd=folder, check=False)
        return Ended(_shown(ended.returncode), ended.stdout, ended.stderr.decode())

    def start(self, *arguments: str, extra: Mapping[str, str] | None = None, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE,
              stderr: int = subprocess.PIPE) -> Process:
        """Start a command to talk to, signal or kill; it is killed at the end of the test."""
        ours = environment(self.home, self.extra | dict(extra or {}))
        process = (loaded.start(loaded.BROKERCLI, arguments, environment=ours, folder=self.home, stdin=stdin, stdout=stdout, stderr=stderr)
                   or subprocess.Popen(command(arguments), stdin=stdin, stdout=stdout, stderr=stderr, cwd=self.home, env=ours))
        self._started.append(process)
        return process

    def finish(self, process: Process, timeout: float = PATIENCE) -> Ended:
        """Wait for a started command, its standard input closed."""
        stdout, stderr = process.communicate(timeout=timeout)
        return Ended(_shown(process.returncode), stdout or b"", (stderr or b"").decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            with suppress(subprocess.TimeoutExpired, ValueError):
                process.communicate(timeout=10)


class Terminal:
    """One command on a terminal of `columns` x `rows`; `screen` is every byte that it has shown."""

    def __init__(self, home: Path, arguments: Sequence[str], *, columns: int = 100, rows: int = 30, extra: Mapping[str, str] | None = None,
                 stdin_is_terminal: bool = True) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = b""
        self.process = subprocess.Popen(command(arguments), stdin=slave if stdin_is_terminal else subprocess.DEVNULL, stdout=slave, stderr=slave,
                                        env=environment(home, extra), cwd=home, start_new_session=True,
                                        preexec_fn=_take_terminal if stdin_is_terminal else None)
        os.close(slave)

    def press(self, keys: bytes) -> None:
        """Press keys; b"\\x03" is Ctrl-C."""
        os.write(self._master, keys)

    def resize(self, columns: int, rows: int) -> None:
        """Change the window's size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text: bytes, timeout: float = PATIENCE) -> bytes:
        """Read until `text` has been shown and return the screen; fails with the screen when it is not."""
        deadline = time.monotonic() + timeout
        while text not in self.screen:
            assert self._read(deadline), f"{text!r} was not shown; the screen: {self.screen!r}"
        return self.screen

    def wait(self, timeout: float = PATIENCE) -> int:
        """Read until the command ends and return its exit code."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        return _shown(self.process.wait(max(0.1, deadline - time.monotonic())))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            shown = os.read(self._master, 65536)
        except OSError:  # the terminal's other side is closed: the command has ended
            return False
        self.screen += shown
        return bool(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _shown(code: int) -> int:
    return 128 - code if code < 0 else code
