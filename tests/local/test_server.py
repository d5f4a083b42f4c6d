"""The local broker: really started, found again, told from strangers, and stopped alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brokercli.local import process, program, server
from brokercli.local.state import Files, read_identity
from brokercli.local.wire import Conversation, server_info
from brokercli.model.errors import Failed, LocalIO, Unreachable

PREPARE = "from pathlib import Path; from brokercli.local import server; from brokercli.local.state import Files;"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """Return where this test's local broker lives; it is stopped at the end."""
    place = Files(tmp_path / "state" / "local")
    yield place
    server.stop(place)


def test_it_starts_once_and_is_found_again(files: Files) -> None:
    identity, started = server.start(files)
    again, started_again = server.start(files)
    assert (started, started_again) == (True, False)
    assert again == identity
    status = server.status(files)
    assert (status.running, status.port, status.directory) == (True, identity.port, files.directory)
    assert status.version == str(server_info(identity.port, 5.0)["version"])  # type: ignore[index]  # it answers


def test_only_its_owner_can_read_its_token_and_only_the_token_opens_it(files: Files) -> None:
    identity, _ = server.start(files)
    assert stat.S_IMODE(files.directory.stat().st_mode) == 0o700
    for path in (files.identity, files.configuration, files.process):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identity.token not in repr(identity)
    arguments = Path(f"/proc/{server.status(files).pid}/cmdline").read_bytes()
    assert identity.token.encode() not in arguments
    with pytest.raises(Unreachable, match="Authorization Violation"):
        Conversation(identity.port, "wrong").request("$JS.API.INFO", {})
    assert Conversation(identity.port, identity.token).request("$JS.API.INFO", {})["streams"] == 0


def test_it_listens_on_this_machine_only(files: Files) -> None:
    identity, _ = server.start(files)
    listening = Path("/proc/net/tcp").read_text(encoding="ascii") + Path("/proc/net/tcp6").read_text(encoding="ascii")
    addresses = {fields[1].split(":")[0] for fields in map(str.split, listening.splitlines()[1:])
                 if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == identity.port and fields[1]}
    assert addresses == {"0100007F"}


def test_ten_starts_at_once_start_one(files: Files) -> None:
    code = f"{PREPARE} identity, started = server.start(Files(Path({str(files.directory)!r}))); print(identity.port, started)"
    with ThreadPoolExecutor(10) as pool:
        outputs = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(), range(10)))
    assert len({port for port, _ in outputs}) == 1
    assert sorted(started for _, started in outputs) == ["False"] * 9 + ["True"]


def test_it_outlives_whoever_started_it_and_does_not_hold_its_output(files: Files) -> None:
    code = f"{PREPARE} server.start(Files(Path({str(files.directory)!r})))"
    subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=True, timeout=60)  # returns only if the pipes are closed
    assert server.status(files).running
    pid = server.status(files).pid
    assert pid is not None
    assert os.getsid(pid) == pid


def test_what_was_stored_is_there_after_a_stop_and_a_start_on_the_same_port(files: Files) -> None:
    identity, _ = server.start(files)
    with Conversation(identity.port, identity.token) as conversation:
        conversation.request("$JS.API.STREAM.CREATE.ORDERS", {"name": "ORDERS", "subjects": ["orders.>"]})
    assert server.stop(files) is not None
    assert server.stop(files) is None
    assert not server.status(files).running
    again, started = server.start(files)
    assert started
    assert again == identity
    with Conversation(again.port, again.token) as conversation:
        assert conversation.request("$JS.API.STREAM.NAMES", {})["streams"] == ["ORDERS"]


def test_its_port_is_none_that_an_outgoing_connection_may_have_when_it_is_started_again(files: Files) -> None:
    # those begin at 32,768 unless somebody has set the range otherwise
    assert 10_500 <= server.start(files)[0].port < 32_000


def test_after_a_kill_it_is_started_anew(files: Files) -> None:
    identity, _ = server.start(files)
    pid = server.status(files).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    again, started = server.start(files)
    assert started
    assert again.token == identity.token
    assert server.status(files).pid != pid


def test_a_process_number_that_belongs_to_somebody_else_by_now_is_never_signalled(files: Files) -> None:
    server.start(files)
    server.stop(files)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        files.process.write_text(json.dumps({"pid": stranger.pid, "started": "another-boot/123"}))
        assert process.ours(files) is None
        assert server.stop(files) is None
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_number_that_the_server_wrote_on_another_system_is_never_signalled(files: Files) -> None:
    server.start(files)
    pid = server.status(files).pid
    with subprocess.Popen(["sleep", "600"]) as stranger:
        files.process.unlink()
        files.server_pid.write_text(str(stranger.pid))  # the server's own number in a container, which has this folder and this network
        for ask in (server.start, server.stop):
            with pytest.raises(Failed, match="its process number is lost"):
                ask(files)
        assert stranger.poll() is None
        stranger.kill()
    files.server_pid.write_text(str(pid))
    assert server.stop(files) == pid


def test_data_that_a_server_has_which_cannot_be_seen_from_here_is_given_to_no_second_one(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    identity, _ = server.start(files)
    with monkeypatch.context() as elsewhere:  # as in a container with this home: other process numbers, another 127.0.0.1
        elsewhere.setattr(process, "ours", lambda place: None)
        elsewhere.setattr(server, "server_info", lambda port, timeout: None)
        elsewhere.setattr(server, "RELEASE_PATIENCE", 0.1)
        for ask in (server.start, server.stop):
            with pytest.raises(Failed, match="cannot be reached from here"):
                ask(files)
    assert server.start(files) == (identity, False)
    assert server.stop(files) is not None
    assert server.start(files) == (identity, True)


def test_a_port_that_somebody_else_took_is_left_to_them(files: Files) -> None:
    identity, _ = server.start(files)
    server.stop(files)
    with socket.create_server(("127.0.0.1", identity.port)):
        again, started = server.start(files)
        assert started
        assert again.port != identity.port
        assert (again.name, again.token) == (identity.name, identity.token)


def test_a_strangers_nats_on_our_port_is_not_taken_for_ours(files: Files, tmp_path: Path) -> None:
    identity, _ = server.start(files)
    server.stop(files)
    with subprocess.Popen([program.nats_server(), "-a", "127.0.0.1", "-p", str(identity.port), "-js", "-sd", tmp_path / "foreign"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as stranger:
        try:
            while server_info(identity.port, 1.0) is None:
                assert stranger.poll() is None
            assert "belongs to another server" in server.status(files).note
            assert server.start(files)[0].port != identity.port
            server.stop(files)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_whose_start_was_cut_off_before_it_was_written_down_is_taken_over(files: Files) -> None:
    identity, _ = server.start(files)
    pid = server.status(files).pid
    files.process.unlink()
    again, started = server.start(files)
    assert (again, started) == (identity, False)
    assert server.status(files).pid == pid


@pytest.mark.parametrize("port", ["0", "-1", "65536", "9" * 400, "9" * 5000, "1e999", "[]"], ids=len)
def test_an_identity_with_a_port_that_is_none_is_a_damaged_one(files: Files, port: str) -> None:
    files.create()
    files.identity.write_text(f'{{"name": "a", "token": "b", "port": {port}}}')
    assert read_identity(files) is None


def test_a_damaged_state_directory_is_started_over(files: Files) -> None:
    server.start(files)
    server.stop(files)
    for path in (files.identity, files.process, files.configuration):
        path.write_text("\0garbage")
    identity, started = server.start(files)
    assert started
    assert read_identity(files) == identity


def test_a_missing_program_says_what_to_install(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "PACKAGE", "no-such-package")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Failed, match="there is none on this machine") as refused:
        server.start(files)
    assert "pip install" in str(refused.value.hint)


def test_a_program_that_ends_at_once_is_quoted(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bin" / "nats-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho '[FTL] no space left' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(program, "PACKAGE", "no-such-package")
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    with pytest.raises(Failed, match=r"ended with status 3: \[FTL\] no space left"):
        server.start(files)
    assert not server.status(files).running


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalIO, match="cannot keep its data in"):
        server.start(Files(tmp_path / "file" / "state"))


def test_a_state_directory_that_cannot_be_looked_for_is_named_by_whoever_ends_the_server(tmp_path: Path) -> None:
    """A name that is too long stands for a directory above it that may not be entered: root may enter all."""
    with pytest.raises(LocalIO, match="cannot keep its data in"):
        server.stop(Files(tmp_path / ("long" * 100) / "local"))
    assert server.stop(Files(tmp_path / "missing" / "local")) is None


@pytest.mark.parametrize("name", ["lock", "nats-server.log"])
def test_a_file_of_it_that_cannot_be_opened_is_named_and_is_no_bug(tmp_path: Path, name: str) -> None:
    place = Files(tmp_path / "local")
    (place.directory / name).mkdir(parents=True)  # no more can one that root left there
    with pytest.raises(LocalIO, match=f"{name} cannot be opened: Is a directory") as refused:
        server.start(place)
    assert "BROKERCLI_STATE_DIR" in str(refused.value.hint)


def test_its_environment_holds_nothing_of_ours(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_PASSWORD", "hunter2")
    server.start(files)
    assert b"hunter2" not in Path(f"/proc/{server.status(files).pid}/environ").read_bytes()
