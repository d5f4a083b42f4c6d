"""Starting, finding and stopping the local broker."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from brokercli.local import process
from brokercli.local.state import Files, Identity, locked, new_identity, open_file, read_identity, write_private
from brokercli.local.wire import server_info
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import Failed, Unreachable

START_PATIENCE = 15.0
"""Seconds a server may take until JetStream answers; recovering much data takes a while."""

RELEASE_PATIENCE = 3.0
"""Seconds to wait for the data of a server that has ended: some of its threads may be there for a moment longer, and hold what it held."""


@dataclass(frozen=True, slots=True)
class Status:
    """What there is of the local broker."""

    running: bool
    """Our process lives and our server answers on its port."""
    pid: int | None
    port: int | None
    version: str | None
    directory: Path
    note: str = ""
    """What is odd, in a sentence."""


def status(place: Files) -> Status:
    """Look; start nothing."""
    identity, pid = read_identity(place), process.ours(place)
    info = server_info(identity.port, 1.0) if identity else None
    answers = bool(identity and info and info.get("server_name") == identity.name)
    note = ""
    if pid and not answers:
        note = f"process {pid} runs but does not answer; see {place.log}"
    elif identity and info and not answers:
        note = f"port {identity.port} belongs to another server now; the next start takes another port"
    elif answers and not pid:
        note = f"it answers on port {identity.port if identity else ''}, but its process is not the one that was started here"
    version = str(info.get("version")) if answers and info else None
    return Status(answers and pid is not None, pid, identity.port if identity else None, version, place.directory, note)


def start(place: Files) -> tuple[Identity, bool]:
    """Make sure that it runs; return its identity, and whether this call started it. Raises Failed with the log's last words."""
    if (identity := _running(place)) is not None:
        return identity, False
    with locked(place):
        if (identity := _running(place)) is not None:  # whoever held the lock started it
            return identity, False
        if (identity := _adopt(place)) is not None:
            return identity, False
        if (pid := process.ours(place)) is not None:
            process.stop(place, pid)  # alive, ours and mute
        return _launch(place), True


def stop(place: Files) -> int | None:
    """End it; return the process number, or None when it was not running. Never signals a process that is not ours. Raises Failed where it
    runs and its number is lost, or it runs where it cannot be seen from here."""
    try:
        place.directory.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # opening the lock says what is wrong
    with locked(place):
        pid = process.ours(place)
        if pid is None:
            # one whose number was lost, or not yet written down when its start was cut off
            pid = process.ours(place) if _adopt(place) is not None else None
        if pid is None:
            with _keeping(place):
                return None
        process.stop(place, pid)
        return pid


def connection(place: Files) -> Connection:
    """Return how to reach it, started if need be."""
    return _connection(start(place)[0])


def running_connection(place: Files) -> Connection:
    """Return how to reach it if it runs. Raises Unreachable."""
    identity = _running(place)
    if identity is None:
        raise Unreachable("The local broker is not running.", hint="brokercli local start")
    return _connection(identity)


def _connection(identity: Identity) -> Connection:
    return Connection("nats", (("127.0.0.1", identity.port),), token=Secret(identity.token))


def _running(place: Files) -> Identity | None:
    identity = read_identity(place)
    if identity is None or process.ours(place) is None:
        return None
    info = server_info(identity.port, 2.0)
    return identity if info and info.get("server_name") == identity.name and info.get("jetstream") else None


def _adopt(place: Files) -> Identity | None:
    """Take over a server of ours whose start was cut off before its process number was written down."""
    identity = read_identity(place)
    info = server_info(identity.port, 2.0) if identity else None
    if identity is None or info is None or info.get("server_name") != identity.name:
        return None
    if process.ours(place) is None:
        try:
            pid = int(place.server_pid.read_text(encoding="ascii"))
        except (OSError, ValueError):
            pid = 0
        if not process.serves(place, pid):
            raise Failed(f"A local broker of yours runs on port {identity.port}, and its process number is lost.",
                         hint=f"end the nats-server that was started with -c {place.configuration}")
        process.remember(place, pid)
    return _running(place)


def _launch(place: Files) -> Identity:
    from brokercli.local.program import nats_server

    program = nats_server()
    with _keeping(place) as lock:
        return _launch_alone(place, program, lock)


@contextmanager
def _keeping(place: Files) -> Iterator[int]:
    """Hold the lock of the data, for a server to inherit and hold as long as it lives: two at once spoil it, and one that runs in a container, or
    on another machine with the same home, is neither seen nor reached from here. Raises Failed where one holds it."""
    import fcntl

    with open_file(place.directory / "data.lock", "ab") as lock:
        deadline = time.monotonic() + RELEASE_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                raise Failed(f"A nats-server that cannot be reached from here keeps its data in {place.directory}.",
                             hint="stop it where it runs: in a container, or on another machine with this home; or set BROKERCLI_STATE_DIR to a folder "
                                  "of this one's own") from None
            except OSError:
                pass  # a file system without locks
            break
        yield lock.fileno()


def _launch_alone(place: Files, program: Path, lock: int) -> Identity:
    identity = read_identity(place)
    if identity is None or _taken(identity.port):
        identity = new_identity(place, identity)
    write_private(place.configuration, _configuration(place, identity))
    with open_file(place.log, "ab") as log:
        before = log.tell()
        try:
            # a session of its own: Ctrl-C and the end of the terminal are not for it
            server = subprocess.Popen([program, "-c", place.configuration], cwd=place.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      start_new_session=True, env=_server_environment(), pass_fds=[lock])
        except OSError as problem:
            raise Failed(f"{program} cannot be started: {problem.strerror}.") from None
    process.remember(place, server.pid)
    deadline = time.monotonic() + START_PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        info = server_info(identity.port, 0.5)
        if info and info.get("server_name") == identity.name and info.get("jetstream"):
            server.returncode = 0  # it outlives us on purpose: no warning about that
            return identity
        time.sleep(0.01)
    ended = server.poll()
    if ended is None:
        process.stop(place, server.pid)
        server.wait()
    why = f"ended with status {ended}" if ended is not None else f"did not answer within {START_PATIENCE:g} s"
    raise Failed(f"The local broker {why}: {_last_words(place.log, before)}", hint=f"its log: {place.log}")


def _configuration(place: Files, identity: Identity) -> str:
    return f"""# written by brokercli at every start
server_name: "{identity.name}"
listen: "127.0.0.1:{identity.port}"
authorization {{ token: "{identity.token}" }}
jetstream {{ store_dir: {_quoted(place.data)} }}
max_payload: 8MB
logfile_size_limit: 8MB
log_file: {_quoted(place.log)}
pid_file: {_quoted(place.server_pid)}
"""


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _server_environment() -> dict[str, str]:
    """It outlives the command that started it, so it gets none of its secrets."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")}


def _taken(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _last_words(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read(65_536).decode(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    failures = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines or ["it left no log"]
    return failures[-1]
