"""`brokercli dlq redrive` that is told a second time to stop while it closes: what is known by then is said all the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.commandline import CommandLine, environment
from tests.commands.dead_letters import Graveyard

_CLOSING = """
import os, signal, sys
from brokercli.commands.app import run
from brokercli.operations.redriving import Redriving

def tell_twice_while_closing(self, settle=None, *, go=Redriving.run):
    outcome = go(self, settle)
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
