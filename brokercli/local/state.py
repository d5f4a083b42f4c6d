"""What the local broker leaves on disk: its port, token and name; its process; a lock against two starts at once."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from brokercli.local.on_disk import make_private, write_whole
from brokercli.model.errors import LocalIO

LOCK_PATIENCE = 15.0
"""Seconds to wait for another start or stop to finish."""

_ELSEWHERE = "set BROKERCLI_STATE_DIR to a directory you can write to"
_PORTS = range(10_500, 32_000)
"""Below those the kernel gives to outgoing connections, one of which could have ours by the time the broker is started again."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes the local broker ours."""

    name: str
    """The server's name, which it tells everybody who connects: how a stranger on our port is recognised."""
    token: str
    port: int

    def __repr__(self) -> str:
        return f"Identity({self.name}, port {self.port})"


@dataclass(frozen=True, slots=True)
class Files:
    """Paths below one directory, which only its owner can enter."""

    directory: Path

    @property
    def identity(self) -> Path:
        return self.directory / "identity.json"

    @property
    def configuration(self) -> Path:
        return self.directory / "nats.conf"

    @property
    def process(self) -> Path:
        return self.directory / "process.json"

    @property
    def server_pid(self) -> Path:
        """Written by the server itself."""
        return self.directory / "nats-server.pid"

    @property
    def log(self) -> Path:
        return self.directory / "nats-server.log"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def create(self) -> None:
        """Make the directory, for its owner alone. Raises LocalIO."""
        try:
            make_private(self.directory)
            self.directory.chmod(0o700)
        except OSError as problem:
            raise LocalIO(f"The local broker cannot keep its data in {self.directory}: {problem.strerror}.",
                          hint=_ELSEWHERE) from None


def read_identity(files: Files) -> Identity | None:
    """Return the identity, or None where there is none or it is damaged."""
    try:
        fields = json.loads(files.identity.read_text(encoding="utf-8"))
        identity = Identity(str(fields["name"]), str(fields["token"]), int(fields["port"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return identity if 0 < identity.port < 65536 else None


def new_identity(files: Files, previous: Identity | None = None) -> Identity:
    """Choose a free port (keeping name and token of `previous`) and write it down."""
    port = next(filter(None, map(_free, [*(secrets.choice(_PORTS) for _ in range(100)), 0])))
    name, token = (previous.name, previous.token) if previous else (f"brokercli-local-{secrets.token_hex(4)}", secrets.token_urlsafe(24))
    identity = Identity(name, token, port)
    write_private(files.identity, json.dumps(asdict(identity)))
    return identity


def _free(port: int) -> int:
    """Return a port that nobody has, 0 being any; 0 where somebody has it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it. Raises LocalIO."""
    try:
        write_whole(path, text.encode())
    except OSError as problem:
        raise LocalIO(f"{path} cannot be written: {problem.strerror}.", hint=_ELSEWHERE) from None


def open_file(path: Path, mode: Literal["wb", "ab"]) -> BinaryIO:
    """Open a file that is written to where it lies. Raises LocalIO."""
    try:
        return path.open(mode)
    except OSError as problem:
        raise LocalIO(f"{path} cannot be opened: {problem.strerror}.", hint=_ELSEWHERE) from None


@contextmanager
def locked(files: Files) -> Iterator[None]:
    """Hold the lock of this state directory. Raises LocalIO when somebody else does for too long."""
    import fcntl
    import time

    files.create()
    with open_file(files.directory / "lock", "wb") as lock:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LocalIO(f"Another brokercli has been starting or stopping the local broker for {LOCK_PATIENCE:g} s.",
                                  hint=f"its lock is {files.directory / 'lock'}") from None
                time.sleep(0.02)
        yield
