"""Kill what is left of the brokers in a folder when the process that started them is gone, however it ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# its standard input ends with whoever started it
_PROGRAM = r"""
import os, pathlib, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.read()
for name, kill in (("pytest.pid", os.kill), ("pid", os.killpg)):
    for file in pathlib.Path(sys.argv[1]).rglob(name):
        try:
            pid, began = file.read_text(), file.with_suffix(".began").read_text()
            # the number may be somebody else's by now
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19] == began:
                kill(int(pid), signal.SIGKILL)
        except (OSError, ValueError):
            pass
"""


@contextmanager
def watched(directory: Path) -> Iterator[None]:
    """Have the folder watched: who is named in a file `pid` there is killed with its group at the end, at the latest."""
    watchdog = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(directory)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        watchdog.wait()
