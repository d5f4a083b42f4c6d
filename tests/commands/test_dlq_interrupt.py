"""`brokercli dlq redrive` that is told a second time to stop, while it closes or waits: what is known by then is said all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brokercli.backends.envelope import decode_record
from brokercli.commands.dlq_source import checked_file
from brokercli.model.message import Record
from brokercli.operations import filed_letters
from brokercli.terminal import progress
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.streams import Streams
from tests.commandline import CommandLine, environment
from tests.commands.dead_letters import Graveyard

_CLOSING = """
import os, signal, sys
from brokercli.commands.run import run
from brokercli.operations.redriving import Redriving

def tell_twice_while_closing(self, settler=None, *, go=Redriving.run):
    outcome = go(self, settler)
    repair, close = self.repair, self.repair.close
    outcome.account.confirmed -= {unknown}
    outcome.account.unknown += {unknown}
    def closing():
        repair.close = close
        close()
        repair.notes = [*repair.notes, "known only at its end"]
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    repair.close = closing
    return outcome

Redriving.run = tell_twice_while_closing
sys.exit(run(sys.argv[1:]))
"""
"""Stands for `brokercli`; letters of which no verdict came are made out of confirmed ones."""


@pytest.mark.parametrize(("unknown", "code"), [(0, 130), (1, 4)])
def test_a_second_interrupt_while_it_closes_takes_neither_account_nor_report(cli: CommandLine, graveyard: Graveyard, unknown: int, code: int) -> None:
    graveyard.bury("a", "b")
    arguments = ["dlq", "redrive", graveyard.url, "--yes", "--report", "report", "--journal", "kept"]
    ended = subprocess.run([sys.executable, "-c", _CLOSING.format(unknown=unknown), *arguments], capture_output=True, text=True, timeout=120, check=False,
                           cwd=cli.home, env=environment(cli.home))
    assert ended.returncode == code, ended.stderr
    assert f"redriven: read 2, confirmed {2 - unknown}, refused 0, unknown {unknown}, skipped 0" in ended.stderr
    assert "the letters as they were are kept in kept" in ended.stderr
    assert ended.stderr.count("known only at its end") == 1
    report = json.loads((cli.home / "report").read_text())
    assert (report["exit_code"], report["unknown"], report["journal"]) == (code, unknown, "kept")
    assert graveyard.at_home() == [b"a", b"b"]


def test_ctrl_c_at_the_question_ends_it_at_once_and_changes_nothing(graveyard: Graveyard, terminal: Callable[..., Any]) -> None:
    graveyard.bury("a", "b")
    asked = terminal("dlq", "redrive", graveyard.url)
    asked.wait_for(b"redrive 2 letters? [y/N]")
    asked.press(b"\x03")
    assert asked.wait() == 130
    assert b"in flight" not in asked.screen
    assert graveyard.at_home() == []
    assert graveyard.cli("dlq", "redrive", graveyard.url, "--yes").code == 0
    assert graveyard.at_home() == [b"a", b"b"]


_WAITING = """
import os, signal, sys
from brokercli.commands.run import run
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.homes import Homes

class Slow:
    # the verdicts have come when we are told to stop, and nobody has taken them yet; of the last message none came
    def __init__(self, publisher):
        self.publisher = publisher
        self.verdicts = None
    def __getattr__(self, name):
        return getattr(self.publisher, name)
    in_flight = 0
    def collect(self, timeout):
        return Receipts()
    def finish(self, timeout):
        if not timeout:
            verdicts, self.verdicts = self.verdicts, None
            return verdicts or self.publisher.finish(0)
        verdicts = self.publisher.finish(timeout)
        last = len(verdicts) - 1
        verdicts.confirmed -= 1
        verdicts.count(Receipt(last, Verdict.UNKNOWN, reason="no answer"))
        self.verdicts = verdicts
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

def slow(self, destination, *, open_one=Homes._publisher):
    settling = open_one(self, destination)
    settling.publisher = Slow(settling.publisher)
    return settling

Homes._publisher = slow
sys.exit(run(sys.argv[1:]))
"""
"""Stands for `brokercli`."""


def test_what_was_confirmed_out_of_a_file_when_the_second_interrupt_came_is_written_down_and_not_repeated(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b", "c")
    assert cli("dlq", "export", "letters", graveyard.url).code == 0
    arguments = ["dlq", "redrive", "--from-file", "letters", "--resume", "done", "--context", "there", "--yes"]
    assert cli("context", "add", "there", "--url", graveyard.dlq.server).code == 0
    ended = subprocess.run([sys.executable, "-c", _WAITING, *arguments], capture_output=True, text=True, timeout=120, check=False,
                           cwd=cli.home, env=environment(cli.home))
    assert "redriven: read 3, confirmed 2, refused 0, unknown 1, skipped 0" in ended.stderr
    assert ended.returncode == 4, ended.stderr
    again = cli(*arguments)
    assert "redriven: read 1, confirmed 1, refused 0, unknown 0, skipped 0" in again.stderr
    home = graveyard.at_home()
    # the one in doubt had been stored; within its window JetStream keeps one of them
    assert (home.count(b"a"), home.count(b"b"), set(home)) == (1, 1, {b"a", b"b", b"c"})


@pytest.mark.parametrize("moving", [True, False])
def test_a_signal_while_a_file_is_checked_ends_it_at_once_and_it_is_said_that_nothing_was_sent(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], moving: bool) -> None:
    monkeypatch.chdir(tmp_path)
    path, line = Path("letters"), b'{"v":1,"broker":"kafka","topic":"dlq","partition":0,"offset":1,"body":"a"}\n'
    path.write_bytes(line * 3)

    def interrupted(text: bytes, number: int) -> Record:
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return decode_record(text, number)

    monkeypatch.setattr(filed_letters, "decode_record", interrupted)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    streams = Streams(None, 1, stdin_is_terminal=False, stdout_is_terminal=False, stderr_is_terminal=moving, colour=False, width=80, moving=moving)
    with pytest.raises(StopNow) as stopped, Interrupt(streams, connecting=True):
        checked_file(streams, str(path), "kafka")
    assert stopped.value.exit_code == 130
    shown = capfd.readouterr().err
    assert (f"bytes checked {len(line)} of {len(line) * 3} (33%)" in shown) is moving
    assert shown.endswith(f"stopped while {path} was checked: nothing was sent\n")
    assert moving or shown.count("\n") == 1


_LOOKING = """
import os, signal, sys
from brokercli.commands.run import run
from brokercli.operations import inspecting

def told_first(reader, stopping, *, go=inspecting.batches):
    os.kill(os.getpid(), signal.SIGINT)
    return go(reader, stopping)

inspecting.batches = told_first
sys.exit(run(sys.argv[1:]))
"""
"""Stands for `brokercli`."""


def test_a_search_that_is_interrupted_does_not_say_that_there_is_no_such_letter(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b")
    ended = subprocess.run([sys.executable, "-c", _LOOKING, "dlq", "show", "#2", graveyard.url], capture_output=True, text=True, timeout=120, check=False,
                           cwd=cli.home, env=environment(cli.home))
    assert (ended.returncode, ended.stdout) == (130, ""), ended.stderr
    assert "stopped before it was found" in ended.stderr
    assert "no letter" not in ended.stderr
