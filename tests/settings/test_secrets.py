"""Secrets by reference: fetched when they are needed, private where they lie, and shown nowhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from brokercli.model.connection import Secret
from brokercli.model.errors import UsageProblem
from brokercli.settings.secrets import resolve_secret, run_password_command, spell_literal


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


def test_a_missing_an_empty_and_a_binary_password_file_are_refused_by_their_path(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("newline", b"\n"), ("binary", b"\xff\xfe")):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name in ("missing", "empty", "newline", "binary", "directory"):
        with pytest.raises(UsageProblem, match=str(tmp_path / name)):
            resolve_secret(f"file:{name}", "password", tmp_path)


@pytest.mark.parametrize("password", ["env:x", "file:x", "keyring:x", "literal:x", "plain"])
def test_a_password_that_reads_like_a_reference_can_be_written_down(tmp_path: Path, password: str) -> None:
    assert resolve_secret(spell_literal(password), "password", tmp_path) == Secret(password)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_password_command_is_run_without_a_shell_and_loses_one_line_end() -> None:
    assert run_password_command(["printf", "%s\n", "$(id) 'a'"], "password_command") == Secret("$(id) 'a'")


@pytest.mark.parametrize(("code", "words"), [
    ("import sys; print('hunter2'); print('hunter2', file=sys.stderr); sys.exit(3)", "ended with status 3"),
    ("pass", "is empty"),
    ("import sys; sys.stdout.buffer.write(b'\\xff')", "is not UTF-8"),
    ("import sys\nwhile True: sys.stdout.write('hunter2' * 9999)", "longer than any password"),
])
def test_a_password_command_that_fails_is_named_and_its_output_is_not(capfd: pytest.CaptureFixture[str], code: str, words: str) -> None:
    with pytest.raises(UsageProblem, match=f"password_command of prod: {sys.executable}.*{words}") as refused:
        run_password_command(python(code), "password_command of prod", 20)
    assert "hunter2" not in told(refused) + "".join(capfd.readouterr())


def test_a_password_command_that_hangs_is_ended_with_what_it_leaves_open() -> None:
    # the grandchild keeps the pipe open after its parent was killed
    command = ["sh", "-c", "sleep 600 & sleep 600"]
    began = time.monotonic()
    with pytest.raises(UsageProblem, match=r"gave no password within 0\.3 s"):
        run_password_command(command, "password_command", 0.3)
    assert time.monotonic() - began < 30  # far from 600, whatever the machine does meanwhile


def test_a_password_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageProblem, match="no-such-program cannot be run: No such file"):
        run_password_command(["no-such-program", "hunter2"], "password_command")


def test_a_keyring_that_is_not_installed_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageProblem, match="keyring is not installed") as refused:
        resolve_secret("keyring:prod/app", "password", tmp_path)
    assert refused.value.hint == "pip install keyring"
    with pytest.raises(UsageProblem, match="keyring:SERVICE/USER"):
        resolve_secret("keyring:prod", "password", tmp_path)


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
