"""A reader of standard output that takes nothing: one signal ends what only prints, and nothing else."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from array import array

import pytest

PROGRAM = """
import os, sys
from brokercli.terminal import streams as module
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams
module.STALLED = float(sys.argv[2])
streams = Streams.system()
streams.say("ready")
ended = "stopped by the flag"
with Interrupt(streams, only_prints=True) as interrupt:
    try:
        while not interrupt.requested:
            streams.write((sys.argv[1].encode() * 60 + b"\\n") * 1000)
    except StopNow:
        ended = "stopped now"
assert os.get_blocking(1)
streams.say(ended)
os._exit(interrupt.exit_code)
"""


def started(word: str, stderr: int = subprocess.PIPE, stalled: float = 0.5) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, word, str(stalled)], stdout=subprocess.PIPE, stderr=stderr)


def wait_until_full(pipe: int) -> None:
    """Wait until a pipe takes no more: what is in it stays the same."""
    before = -1
    while True:
        here = array("i", [0])
        fcntl.ioctl(pipe, termios.FIONREAD, here)
        if here[0] == before and before >= 4096:
            return
        before = here[0]
        time.sleep(0.2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_one_signal_ends_it_and_the_last_line_is_whole(number: signal.Signals, code: int) -> None:
    with started("abc") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        wait_until_full(process.stdout.fileno())
        process.send_signal(number)
        assert process.wait(60) == code
        assert set(process.stdout.read().split(b"\n")) == {b"abc" * 60, b""}
        assert process.stderr.read().endswith(b"stopped now\n")


def test_one_that_says_its_words_into_the_same_pipe_ends_as_well() -> None:
    process = started("abc", subprocess.STDOUT)
    assert process.stdout is not None
    wait_until_full(process.stdout.fileno())
    process.send_signal(signal.SIGTERM)
    # its last words may wait for us all the same: they are said when standard output is as it was
    time.sleep(3)
    said = process.stdout.read()
    assert process.wait(60) == 143
    assert said.endswith(b"stopped now\n")
    process.stdout.close()


def test_a_reader_that_reads_gets_all_that_was_begun() -> None:
    with started("abc", stalled=60.0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        wait_until_full(process.stdout.fileno())
        process.send_signal(signal.SIGTERM)
        lines = process.stdout.read().split(b"\n")
        assert process.wait(60) == 143
        assert (len(lines) % 1000, set(lines)) == (1, {b"abc" * 60, b""})
        assert process.stderr.read().endswith(b"stopped by the flag\n")


def test_nobody_waits_for_the_end_of_a_line_for_which_there_is_no_room() -> None:
    with started("x" * 50_000) as process:
        assert process.stdout is not None
        wait_until_full(process.stdout.fileno())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert os.get_blocking(process.stdout.fileno())
