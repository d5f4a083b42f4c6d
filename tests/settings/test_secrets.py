"""Secrets by reference: fetched when they are needed, private where they lie, and shown nowhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.model.connection import Secret
from brokercli.model.errors import UsageProblem
from brokercli.settings.secrets import check_private, check_private_file, resolve_secret, run_password_command, spell_literal


def told(problem: pytest.ExceptionInfo[UsageProblem]) -> str:
    return f"{problem.value} {problem.value.hint} {problem.value.__cause__}"


def test_a_secret_comes_from_the_environment_or_says_which_variable_is_missing(tmp_path: Path) -> None:
    assert resolve_secret("env:SESAME", "password", tmp_path, {"SESAME": "a b"}) == Secret("a b")
    with pytest.raises(UsageProblem, match="password is to come from the environment variable SESAME, which is not set"):
        resolve_secret("env:SESAME", "password", tmp_path, {})


@pytest.mark.parametrize(("content", "secret"), [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), ("Sésame\n".encode(), "Sésame")])
def test_one_line_end_at_the_end_of_a_password_file_is_not_part_of_it(tmp_path: Path, content: bytes, secret: str) -> None:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_bytes(content)
    assert resolve_secret("file:password", "password", tmp_path) == Secret(secret)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_password_file_that_others_can_read_is_refused_by_its_path(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2")
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    for name in ("password", "link"):
        with pytest.raises(UsageProblem, match=f"{name} holds a secret and others can read it") as refused:
            resolve_secret(f"file:{name}", "password", tmp_path)
        assert refused.value.hint == f"chmod 600 {tmp_path / name}"
        assert "hunter2" not in told(refused)


def test_a_password_file_of_somebody_else_is_theirs_to_protect(tmp_path: Path) -> None:
    check_private(tmp_path / "secret", 0o644, owned=False)
    with pytest.raises(UsageProblem, match="others can read it"):
        check_private(tmp_path / "secret", 0o644, owned=True)


def test_a_password_file_that_cannot_hold_one_is_refused_by_its_path(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("newline", b"\n"), ("binary", b"\xff\xfe"), ("long", b"x" * 65537)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("missing", "empty", "newline", "binary", "long", "directory", "pipe"):
        with pytest.raises(UsageProblem, match=str(tmp_path / name)):
            resolve_secret(f"file:{name}", "password", tmp_path)


@pytest.mark.parametrize("password", ["env:x", "file:x", "keyring:x", "literal:x", "plain"])
def test_a_password_that_reads_like_a_reference_can_be_written_down(tmp_path: Path, password: str) -> None:
    assert resolve_secret(spell_literal(password), "password", tmp_path) == Secret(password)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_password_command_is_run_without_a_shell_and_loses_one_line_end() -> None:
    assert run_password_command(["printf", "%s\n", "$(id) 'a'"], "password_command") == Secret("$(id) 'a'")


@pytest.mark.parametrize("printed", ["a b", "a b\n", "a b\r\n", "a b\nuser: app\nurl: \377\n"])
def test_a_password_is_the_first_line_of_what_its_command_prints(printed: str) -> None:
    # a password store keeps more in an entry, below the password: pass show prints it all
    assert run_password_command(["printf", printed], "password_command") == Secret("a b")


@pytest.mark.parametrize(("code", "words"), [
    ("import sys; print('hunter2'); print('hunter2', file=sys.stderr); sys.exit(3)", "exited with 3"),
    ("import os; print('hunter2', flush=True); os.kill(os.getpid(), 15)", "was ended by signal 15"),
    ("pass", "printed is empty"),
    ("print(); print('hunter2')", "printed is empty"),
    ("import sys; sys.stdout.buffer.write(b'\\xff')", "printed is not UTF-8"),
    ("import sys\nwhile True: sys.stdout.write('hunter2' * 9999)", "printed is longer than any password"),
])
def test_a_password_command_that_fails_is_named_and_its_output_is_not(capfd: pytest.CaptureFixture[str], code: str, words: str) -> None:
    with pytest.raises(UsageProblem, match=f"password_command of prod: (what )?{sys.executable} .*{words}") as refused:
        run_password_command(python(code), "password_command of prod", 20)
    assert "hunter2" not in told(refused) + "".join(capfd.readouterr())


# in the first the grandchild keeps the pipe open after its parent was killed; the other has closed it, and goes on
@pytest.mark.parametrize("code", ["sleep 60 & sleep 60", "echo hunter2; exec >&-; exec sleep 60"])
def test_a_password_command_that_hangs_is_ended_and_not_waited_for(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            started.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with pytest.raises(UsageProblem, match=r"gave no password within 0\.3 s"):
        run_password_command(["sh", "-c", code], "password_command", 0.3)
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_what_a_password_command_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    # as a key agent that is started on demand, and keeps what it was given for its output
    started = tmp_path / "agent"
    try:
        assert run_password_command(["sh", "-c", f"sleep 600 & echo $! > {started}; echo secret"], "password_command", 300) == Secret("secret")
    finally:
        os.kill(int(started.read_text()), signal.SIGKILL)


def test_a_credential_file_of_somebody_else_is_theirs_to_protect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.creds"
    with pytest.raises(UsageProblem, match=r"credentials: .* cannot be read: No such file"):
        check_private_file(path, "credentials")
    path.touch(mode=0o600)
    path.chmod(0o640)
    with pytest.raises(UsageProblem, match=r"others can read it \(mode 0640\)"):
        check_private_file(path, "credentials")
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    check_private_file(path, "credentials")


def test_a_password_command_reads_nothing_of_what_is_piped_to_be_published() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a message\n")
    os.close(writer)
    ours = os.dup(0)
    os.dup2(reader, 0)
    try:
        assert run_password_command(["sh", "-c", "cat; echo secret"], "password_command") == Secret("secret")
        assert os.read(0, 100) == b"a message\n"
    finally:
        os.dup2(ours, 0)
        os.close(ours)
        os.close(reader)


def test_a_password_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageProblem, match="no-such-program cannot be run: No such file"):
        run_password_command(["no-such-program", "hunter2"], "password_command")


def test_a_keyring_that_is_not_installed_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageProblem, match="keyring is not installed") as refused:
        resolve_secret("keyring:prod/app", "password", tmp_path)
    assert refused.value.hint == "pip install keyring"
    for entry in ("prod", "prod/", "/app"):
        with pytest.raises(UsageProblem, match="keyring:SERVICE/USER"):
            resolve_secret(f"keyring:{entry}", "password", tmp_path)


class Locked(Exception): ...


class NullKeyring:
    name = "null Keyring"


NullKeyring.__module__ = "keyring.backends.null"


@pytest.mark.parametrize(("answer", "words", "hint"), [
    (Locked("Failed to unlock the collection!\nat a place"), "the keyring did not answer: Locked: Failed to unlock the collection!.", "> /dev/null"),
    (RuntimeError(), "the keyring did not answer: RuntimeError.", "> /dev/null"),
    (ModuleNotFoundError("No module named 'nonsense'", name="nonsense"), "did not answer: ModuleNotFoundError: No module named 'nonsense'.", "> /dev/null"),
    (None, "password: the keyring has no entry prod/app; null Keyring was asked.", "keyring is switched off")])
def test_a_keyring_that_fails_is_locked_or_keeps_nothing_is_said_to(
        answer: Exception | None, words: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_password(service: str, user: str) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password, get_keyring=NullKeyring))  # type: ignore[arg-type]
    with pytest.raises(UsageProblem) as refused:
        resolve_secret("keyring:prod/app", "password", tmp_path)
    assert str(refused.value).endswith(words)
    assert refused.value.hint is not None
    assert hint in refused.value.hint


def test_a_keyring_is_asked_for_the_user_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {("prod/eu", "app"): "s3cret"}
    keyring = SimpleNamespace(get_password=lambda service, user: held.get((service, user)), get_keyring=NullKeyring)
    monkeypatch.setitem(sys.modules, "keyring", keyring)  # type: ignore[arg-type]
    assert resolve_secret("keyring:prod/eu/app", "password", tmp_path) == Secret("s3cret")
    with pytest.raises(UsageProblem, match="no entry prod/us/app"):
        resolve_secret("keyring:prod/us/app", "password", tmp_path)
