"""Signals: the first asks, the second stops, and what was ignored stays ignored."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from brokercli.terminal.interrupt import Interrupt, StopNow


def test_nothing_is_requested_until_a_signal_comes(capture: Callable[..., Any]) -> None:
    with Interrupt(capture().streams) as interrupt:
        assert (interrupt.requested, interrupt.stopping(), interrupt.exit_code) == (False, False, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_asks_to_stop_and_says_with_which_code(capture: Callable[..., Any], number: signal.Signals, code: int) -> None:
    with Interrupt(capture().streams) as interrupt:
        signal.raise_signal(number)
        assert (interrupt.requested, interrupt.stopping(), interrupt.exit_code) == (True, True, code)


def test_the_second_signal_stops_now_with_the_code_of_the_first(capture: Callable[..., Any]) -> None:
    with Interrupt(capture().streams) as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StopNow) as caught:
            signal.raise_signal(signal.SIGINT)
        assert caught.value.exit_code == interrupt.exit_code == 143


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_a_hang_up_that_comes_twice_or_behind_another_signal_stops_no_sooner(capture: Callable[..., Any], first: signal.Signals) -> None:
    with Interrupt(capture().streams) as interrupt:
        signal.raise_signal(first)
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
        assert (interrupt.requested, interrupt.exit_code) == (True, 128 + first)
        with pytest.raises(StopNow):
            signal.raise_signal(signal.SIGTERM)


def test_while_nothing_is_in_flight_the_first_signal_stops_now(capture: Callable[..., Any]) -> None:
    with Interrupt(capture().streams, connecting=True) as interrupt:
        with pytest.raises(StopNow) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert (caught.value.exit_code, interrupt.requested) == (143, True)
    with Interrupt(capture().streams, connecting=True) as interrupt, interrupt.connected():
        with interrupt.asking(), pytest.raises(StopNow):
            signal.raise_signal(signal.SIGINT)
        interrupt.requested = False
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested


def test_hammering_does_not_cut_off_the_report_of_the_second(capture: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.terminal.interrupt.HAMMERING", 600.0)
    with Interrupt(capture().streams):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(StopNow):
            signal.raise_signal(signal.SIGINT)
        for _ in range(5):
            signal.raise_signal(signal.SIGINT)


def test_nothing_cuts_the_last_words_short(capture: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.terminal.interrupt.LAST_WORDS", 600.0)
    with Interrupt(capture().streams) as interrupt:
        interrupt.last_words()
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert (interrupt.requested, interrupt.exit_code) == (False, 0)


def test_last_words_that_nobody_reads_can_be_stopped_all_the_same(capture: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.terminal.interrupt.LAST_WORDS", -1.0)
    with Interrupt(capture().streams) as interrupt:
        interrupt.last_words()
        with pytest.raises(StopNow) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.exit_code == 143


def test_afterwards_signals_do_what_they_did_before(capture: Callable[..., Any]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Interrupt(capture().streams):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_was_ignored_stays_ignored(capture: Callable[..., Any]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt(capture().streams) as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_on_another_thread_it_does_nothing(capture: Callable[..., Any]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with Interrupt(capture().streams) as interrupt:
            seen.extend((interrupt.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, handler]


PROGRAM = """
import os, sys, time
from brokercli.terminal import interrupt
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams
streams = Streams.system()
if "slow" not in sys.argv:
    interrupt.PATIENCE = 60.0  # so that at once is at once, however busy the machine is
with Interrupt(streams) as interrupt:
    try:
        streams.say("ready")
        while not interrupt.requested or "slow" in sys.argv:
            time.sleep(0.01)
    except StopNow:
        streams.say("stopped now")
os._exit(interrupt.exit_code)
"""


def start(*arguments: str, program: str = PROGRAM) -> tuple[int, int]:
    process, master = pty.fork()
    if process == 0:
        os.execve(
            sys.executable, [sys.executable, "-c", program, *arguments], {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
        )
    return process, master


def read_until(master: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(master, 4096)
    return shown


def read_to_the_end(master: int) -> bytes:
    shown = b""
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:  # the other side is closed
            os.close(master)
            return shown


def test_control_c_that_stops_at_once_needs_no_words() -> None:
    process, master = start()
    read_until(master, b"ready\r\n")
    os.write(master, b"\x03")
    assert read_to_the_end(master) == b"^C\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130


def test_control_c_that_takes_its_time_says_what_a_second_one_does() -> None:
    process, master = start("slow")
    read_until(master, b"ready\r\n")
    os.write(master, b"\x03")
    read_until(master, b"stopping once what is in flight is settled; Ctrl-C again stops now\r\n")
    os.write(master, b"\x03")
    assert read_to_the_end(master) == b"^C\r\nstopped now\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130


ASKING = """
import os, signal, sys, threading, time
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams

def kill():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

streams = Streams.system()
with Interrupt(streams) as interrupt:
    threading.Thread(target=kill, daemon=True).start()
    try:
        with interrupt.asking():
            streams.ask("go on?")
    except StopNow:
        streams.say("stopped")
os._exit(interrupt.exit_code)
"""


def test_a_question_ends_by_a_signal_that_another_thread_gets() -> None:
    """As by one that comes just before the read: neither ends it by itself."""
    process, master = start(program=ASKING)
    assert read_to_the_end(master).endswith(b"stopped\r\n")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130


WRITER = """
import os
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams
streams = Streams.system()
with Interrupt(streams) as interrupt:
    try:
        streams.say("ready")
        streams.write(bytes(1 << 22))
    except StopNow:
        streams.say("stopped")
os._exit(interrupt.exit_code)
"""


def test_a_write_that_waits_for_its_reader_is_stopped_by_the_second_signal() -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline().startswith(b"stopping")
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline() == b"stopped\n"
        assert process.wait() == 143


class Hammered(Interrupt):
    """Is interrupted a second time while it takes in the first."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "requested" and value:
            signal.raise_signal(signal.SIGINT)


def test_a_second_signal_in_the_midst_of_the_first_ends_with_its_exit_code(capture: Callable[..., Any]) -> None:
    with pytest.raises(StopNow) as stopped, Hammered(capture().streams):
        signal.raise_signal(signal.SIGINT)
    assert stopped.value.exit_code == 130
