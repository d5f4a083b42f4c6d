"""Where downloads are kept between runs, what the machine must have for them, and fetching each of them once."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Missing(Exception):
    """A prerequisite that is not there; the text says what it is for and the command that installs it."""


class FetchFailed(Exception):
    """A download that did not work; the text ends with what the tool that fetched it said."""


class Abandoned(FetchFailed):
    """A download that was ended because nobody wants it any more."""


def cache() -> Path:
    """Return the folder of everything that a second run uses again; outside the checkout, so that `git clean` spares it."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("BROKERCLI_TEST_CACHE") or base / "brokercli-tests")


def need(program: str, package: str, purpose: str) -> str:
    """Return the path of a program. Raises Missing, with the Debian package that brings it."""
    found = shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{purpose} needs {program}, which is not installed: apt-get install {package}")
    return found


def need_root(purpose: str, instead: str) -> None:
    """Raise Missing when we are not root."""
    if os.geteuid() != 0:
        raise Missing(f"{purpose} needs root: sudo tests/run; {instead}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside `path`: two runs on one machine fetch a thing once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetched(path: Path, fetch: Callable[[Path], None]) -> Path:
    """Return `path`, made by `fetch` where it is not there yet. What was half made is never seen under its name."""
    if not path.exists():
        with locked(path):
            if not path.exists():
                part = path.with_name(f"{path.name}.part")
                shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
                fetch(part)
                part.rename(path)
    return path


_running: set[subprocess.Popen[bytes]] = set()
_abandoned = threading.Event()


def run(command: list[str], log: Path, *, environment: dict[str, str] | None = None) -> None:
    """Run one tool of a download, its output in `log`. Raises FetchFailed with the end of it."""
    if _abandoned.is_set():
        raise Abandoned(f"{command[0]} was not started")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # a group of its own: such tools start others
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
    _running.add(process)
    code = process.wait()
    _running.discard(process)
    if _abandoned.is_set():
        raise Abandoned(f"{command[0]} was ended")
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise FetchFailed(f"{command[0]} failed with {code}; the end of {log}:\n{tail}")


def abandon() -> None:
    """End every download that is under way, and let none begin. What is half made stays aside and is made anew next time."""
    _abandoned.set()
    for process in list(_running):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
