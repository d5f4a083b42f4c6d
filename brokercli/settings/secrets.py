"""Secrets by reference: env:NAME, file:PATH, keyring:SERVICE/USER, or the first line of a program's output."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brokercli.model.connection import Secret
from brokercli.model.errors import UsageProblem
from brokercli.settings.places import whole_path

if TYPE_CHECKING:
    import subprocess

REFERENCES = ("env:", "file:", "keyring:")
LITERAL = "literal:"
"""Spells a password that would read as a reference."""
COMMAND_TIMEOUT = 60.0
"""Seconds a password_command may take; people type PINs into some of them."""
BACKGROUND_TIMEOUT = 0.4
"""Seconds it may take while a word is completed."""
_LARGEST = 65_536
_LOOK_SECONDS = 0.05


def is_literal(setting: str) -> bool:
    """Whether the setting holds the secret itself."""
    return not setting.startswith(REFERENCES)


def spell_literal(value: str) -> str:
    """Return how a secret itself is written down."""
    return LITERAL + value if value.startswith((*REFERENCES, LITERAL)) else value


def resolve_secret(setting: str, where: str, base: Path | None, environment: Mapping[str, str] = os.environ) -> Secret:
    """Fetch a secret. Relative paths lie below `base`, or the working directory; `where` names the setting in errors, which quote no secret."""
    if setting.startswith("env:"):
        value = environment.get(setting[4:])
        if not value:
            raise UsageProblem(f"{where} is to come from the environment variable {setting[4:]}, which is not set.")
        return Secret(value)
    if setting.startswith("file:"):
        return Secret(_read_secret_file(whole_path(setting[5:], where, base), where))
    if setting.startswith("keyring:"):
        return Secret(_ask_keyring(setting[8:], where))
    return Secret(setting.removeprefix(LITERAL))


def run_password_command(command: Sequence[str], where: str, timeout: float = COMMAND_TIMEOUT) -> Secret:
    """Run a program without a shell and take the first line of its standard output: behind it, a password store prints what else an entry holds.
    What it prints is never shown."""
    import subprocess

    try:
        # its own error output could hold the secret, so it goes nowhere; the terminal stays reachable as /dev/tty
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "its arguments hold a NUL"
        raise UsageProblem(f"{where}: {command[0]} cannot be run: {reason}.") from None
    try:
        output = _read_for(process, timeout)
        status = process.wait(max(0.1, timeout / 10)) if output is not None and len(output) <= _LARGEST else None
    except subprocess.TimeoutExpired:
        status = None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
    if output is None or (status is None and len(output) <= _LARGEST):
        raise UsageProblem(f"{where}: {command[0]} gave no password within {timeout:g} s.",
                           hint="run it by hand to see what it waits for; --connect-timeout says how long it may take")
    if status:
        how = f"was ended by signal {-status}" if status < 0 else f"exited with {status}"
        raise UsageProblem(f"{where}: {command[0]} {how}.", hint="run it by hand to see why; its output is not shown here")
    first, newline, _ = output.partition(b"\n")
    return Secret(_one_line(output if len(output) > _LARGEST else first + newline, f"{where}: what {command[0]} printed"))


def check_private(path: Path, mode: int, owned: bool) -> None:
    """Refuse a file of ours with a secret in it that others can read, as ssh does."""
    if owned and mode & 0o077 and os.name != "nt":
        raise UsageProblem(f"{path} holds a secret and others can read it (mode {mode:04o}).", hint=f"chmod 600 {path}")


def check_private_file(path: Path, where: str) -> None:
    """Refuse a missing credential file, and one that others can read."""
    try:
        status = path.stat()  # of what a link leads to
    except OSError as problem:
        raise UsageProblem(f"{where}: {path} cannot be read: {problem.strerror}.") from None
    getuid = getattr(os, "getuid", None)
    check_private(path, stat.S_IMODE(status.st_mode), getuid is None or status.st_uid == getuid())


def _read_for(process: subprocess.Popen[bytes], timeout: float) -> bytes | None:
    """Read up to the largest password there is; None when it did not end in time. What it has left running (an agent) may hold the pipe for
    as long as it likes."""
    import select

    assert process.stdout is not None
    output, deadline = b"", time.monotonic() + timeout
    waiting = select.poll()
    waiting.register(process.stdout, select.POLLIN)
    while len(output) <= _LARGEST:
        ended = process.poll() is not None  # before it is looked whether there is more: all that it wrote is there then
        left = deadline - time.monotonic()
        if not waiting.poll(0 if ended else min(max(0.0, left), _LOOK_SECONDS) * 1000):
            if ended:
                return output
            if left <= 0:
                return None
            continue
        piece = os.read(process.stdout.fileno(), _LARGEST)
        if not piece:
            return output
        output += piece
    return output


def _read_secret_file(path: Path, where: str) -> str:
    check_private_file(path, where)
    try:
        if not path.is_file():
            raise UsageProblem(f"{where}: {path} is no regular file.")
        with path.open("rb") as file:
            return _one_line(file.read(_LARGEST + 1), f"{where}: {path}")
    except OSError as problem:
        raise UsageProblem(f"{where}: {path} cannot be read: {problem.strerror}.") from None


def _one_line(data: bytes, source: str) -> str:
    if len(data) > _LARGEST:
        raise UsageProblem(f"{source} is longer than any password.")
    try:
        value = data.decode()
    except UnicodeDecodeError:
        raise UsageProblem(f"{source} is not UTF-8.") from None
    value = value[:-2] if value.endswith("\r\n") else value.removesuffix("\n")
    if not value:
        raise UsageProblem(f"{source} is empty.")
    return value


def _ask_keyring(name: str, where: str) -> str:
    service, _, user = name.rpartition("/")
    if not service or not user:
        raise UsageProblem(f"{where}: a keyring entry is written keyring:SERVICE/USER.")
    from importlib import import_module

    try:
        keyring = import_module("keyring")
        value: str | None = keyring.get_password(service, user)
        asked = keyring.get_keyring()
    except Exception as problem:  # noqa: BLE001  backends are anybody's, and raise what they like where they are locked, absent or broken
        if isinstance(problem, ModuleNotFoundError) and problem.name == "keyring":
            raise UsageProblem(f"{where}: the Python package keyring is not installed.", hint="pip install keyring") from None
        why = ": ".join([type(problem).__name__, *str(problem).splitlines()[:1]])
        raise UsageProblem(f"{where}: the keyring did not answer: {why.rstrip('.')}.", hint=f"try: keyring get {service} {user} > /dev/null") from None
    if not value:
        off = type(asked).__module__ == "keyring.backends.null"
        raise UsageProblem(f"{where}: the keyring has no entry {service}/{user}; {asked.name} was asked.",
                           hint="keyring is switched off: by its keyringrc.cfg, or PYTHON_KEYRING_BACKEND" if off else f"keyring set {service} {user}")
    return value
