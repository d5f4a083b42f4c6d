"""Most commands of these tests are forked from a process that has brokercli loaded: they have to be what a started one is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import loaded
from tests.commandline import command, environment


@pytest.mark.parametrize("arguments", [("--version",), ("brokers", "-o", "json"), ("help",), ("ls", "--help"), ("nonsense",), ("publish", "orders"),
                                       ("context", "show"), ("dlq", "show", "@nowhere/orders")])
def test_a_forked_command_ends_and_says_what_a_started_one_does(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ours = environment(tmp_path)
    forked = loaded.run(arguments, stdin=b"", environment=ours, folder=tmp_path, timeout=60)
    started = subprocess.run(command(arguments), input=b"", capture_output=True, env=ours, cwd=tmp_path, timeout=60, check=False)
    assert forked == (started.returncode, started.stdout, started.stderr)


def test_a_forked_command_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        loaded.run(("tail", "kafka://127.0.0.1:1/x", "--connect-timeout", "30"), stdin=b"", environment=environment(tmp_path), folder=tmp_path, timeout=0.01)


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "LC_ALL"])
def test_what_decides_while_python_starts_has_a_command_started(tmp_path: Path, name: str) -> None:
    assert loaded.run(("--version",), stdin=b"", environment=environment(tmp_path, {name: "C"}), folder=tmp_path, timeout=60) is None
