"""Most commands of these tests are forked from a process that has brokercli loaded: they have to be what a started one is."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import loaded
from tests.commandline import STOPPING, CommandLine, Ended, command, environment
from tests.commands.conftest import Place


@pytest.mark.parametrize("arguments", [("--version",), ("brokers", "-o", "json"), ("help",), ("ls", "--help"), ("nonsense",), ("publish", "orders"),
                                       ("context", "show"), ("dlq", "show", "@nowhere/orders")])
def test_a_forked_command_ends_and_says_what_a_started_one_does(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ours = environment(tmp_path)
    forked = loaded.run(arguments, stdin=b"", environment=ours, folder=tmp_path, timeout=60)
    started = subprocess.run(command(arguments), input=b"", capture_output=True, env=ours, cwd=tmp_path, timeout=60, check=False)
    assert forked == (started.returncode, started.stdout, started.stderr)


def test_a_command_that_ends_with_a_bug_fails_its_test_whatever_that_looks_for() -> None:
    with pytest.raises(AssertionError, match="this is a bug"):
        Ended(1, b"", "brokercli: this is a bug: KeyError: 'x'\n")


def test_a_forked_command_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        loaded.run(("tail", "kafka://127.0.0.1:1/x", "--connect-timeout", "30"), stdin=b"", environment=environment(tmp_path), folder=tmp_path, timeout=0.01)


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "LC_ALL"])
def test_what_decides_while_python_starts_has_a_command_started(tmp_path: Path, name: str) -> None:
    assert loaded.run(("--version",), stdin=b"", environment=environment(tmp_path, {name: "C"}), folder=tmp_path, timeout=60) is None


@pytest.mark.nats
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_a_forked_command_takes_signals_and_the_end_of_its_input_as_a_started_one_does(cli: CommandLine, make_place: Callable[[str], Place],
                                                                                     number: signal.Signals | None) -> None:
    ended = []
    for own_start in (False, True):
        url = make_place("nats").url
        # a variable that decides while Python starts has it started
        process = cli.start("publish", url, extra={"PYTHONUNBUFFERED": ""} if own_start else {})
        assert isinstance(process, subprocess.Popen) is own_start
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert cli("tail", url, "--from", "start", "-n", "1", "--timeout", "30s").stdout == b"one\n"
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGCONT)
        if number is not None:
            process.send_signal(number)
            process.wait(30)
        stdout, stderr = process.communicate(timeout=30)
        assert number != signal.SIGKILL or (process.returncode, stdout, stderr) == (-signal.SIGKILL, b"", b"")
        said = stderr.decode().replace(STOPPING, "")
        ended.append((process.returncode, stdout, re.sub(r"[\d.,]+ (m?s|messages/s|\S*B/s)", "", said)))
    assert ended[0] == ended[1]
