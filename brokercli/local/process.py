"""Telling our server process from any other that has its number by now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from brokercli.local.state import Files, write_private
from brokercli.model.errors import Failed


@dataclass(frozen=True, slots=True)
class Process:
    """A process number, and the moment it was started: together they never come back."""

    pid: int
    started: str


def remember(files: Files, pid: int) -> None:
    """Write down a process just started."""
    write_private(files.process, json.dumps(asdict(Process(pid, _start_of(pid) or ""))))


def ours(files: Files) -> int | None:
    """Return the number of our server's process while it runs; None for a stale or reused number."""
    try:
        fields = json.loads(files.process.read_text(encoding="utf-8"))
        process = Process(int(fields["pid"]), str(fields["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process.pid if process.started and _start_of(process.pid) == process.started else None


def serves(files: Files, pid: int) -> bool:
    """Whether a process is a server that was started with our configuration. A number in a file may be that of another system on which the
    same folder is (a container's): here it is somebody else's."""
    said = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return os.fsencode(files.configuration) in said.read_bytes().split(b"\0")
        except OSError:
            return False
    answer = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return answer.stdout.rstrip().endswith(os.fsencode(files.configuration))


def stop(files: Files, pid: int, patience: float = 10.0) -> None:
    """End the process that `ours` returned, and wait for it. The server syncs JetStream's data before it ends."""
    for demand in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, demand)
        except ProcessLookupError:
            break
        except PermissionError:
            raise Failed(f"The local broker (process {pid}) belongs to another user.") from None
        deadline = time.monotonic() + patience
        while ours(files) == pid:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            break
    else:
        raise Failed(f"The local broker (process {pid}) does not end.")
    files.process.unlink(missing_ok=True)


def _start_of(pid: int) -> str | None:
    """Return when a living process was started, in whatever form the system says it; None for a dead one or a zombie."""
    statistics = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = statistics.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        # proc(5): behind the name come the state and, 19 fields later, the start in clock ticks since boot
        boot = Path("/proc/sys/kernel/random/boot_id")
        return None if fields[0] in "ZX" else f"{boot.read_text(encoding='ascii').strip() if boot.exists() else ''}/{fields[19]}"
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                            env={**os.environ, "LC_ALL": "C"})
    state, _, start = answer.stdout.strip().partition(" ")
    return start.strip() if state and not state.startswith("Z") else None
