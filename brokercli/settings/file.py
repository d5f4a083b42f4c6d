"""Reading one configuration file, and saying where in it something is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from brokercli.model.errors import UsageProblem
from brokercli.settings.places import PROJECT_FILE
from brokercli.settings.schema import Document, Misfit, check_document

LARGEST = 1_048_576
"""Bytes; a configuration larger than this is another file."""


class ConfigurationFile(NamedTuple):
    """One file, and what it says."""

    path: Path
    text: str
    mode: int
    """Permission bits."""
    owned: bool
    """Whether it belongs to the user who runs us."""
    document: Document

    def problem(self, path: tuple[str, ...], message: str, hint: str | None = None) -> UsageProblem:
        """Return an error that names the file and the line of the key at `path`."""
        return UsageProblem(f"{self.path}:{line_of(self.text, path)}: {message}.", hint=hint)


def read_configuration(path: Path) -> ConfigurationFile | None:
    """Read and check a file; None when there is none. Raises UsageProblem naming file, line and what to write instead."""
    content = _read_bytes(path)
    if content is None:
        return None
    data, status = content
    text = _decode(data, path)
    import tomllib  # 4 ms that a command with a one-off URL does not pay

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise UsageProblem(f"{path} is not TOML: {problem}.", hint="toml.io shows the format; strings need quotes") from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise UsageProblem(f"{path} holds a number with far too many digits.") from None
    except RecursionError:
        raise UsageProblem(f"{path} is nested too deeply to be a configuration.") from None
    try:
        checked = check_document(document)
    except Misfit as misfit:
        raise UsageProblem(f"{path}:{line_of(text, misfit.path)}: {misfit.message}.", hint=misfit.hint) from None
    getuid = getattr(os, "getuid", None)
    owned = getuid is None or status.st_uid == getuid()
    return ConfigurationFile(path, text, stat.S_IMODE(status.st_mode), owned, checked)


def line_of(text: str, path: tuple[str | int, ...]) -> int:
    """Return the line on which the key at `path` is written; 1 when it is not there. A number in it is a place in a list.

    A file cut after any whole statement is a TOML file itself, and the key is where it first appears in one.
    """
    lines = text.split("\n")
    low, high = 0, len(lines)
    while low < high:  # looks for the fewest lines that, completed to a whole statement, have the key
        middle = (low + high) // 2
        reached = next((count for count in range(middle, len(lines)) if _parse(lines[:count]) is not None), len(lines))
        if _holds(_parse(lines[:reached]), path):
            high = middle
        else:
            low = reached + 1
    return max(1, min(low, len(lines)))


def _parse(lines: list[str]) -> Mapping[str, object] | None:
    import tomllib

    try:
        return tomllib.loads("\n".join(lines))
    except ValueError:
        return None


def _holds(document: object, path: tuple[str | int, ...]) -> bool:
    for key in path:
        inside = key in document if isinstance(document, dict) else isinstance(document, list) and isinstance(key, int) and key < len(document)
        if not inside:
            return False
        document = document[key]  # type: ignore[index]
    return True


def _read_bytes(path: Path) -> tuple[bytes, os.stat_result] | None:
    try:
        # without O_NONBLOCK a named pipe in the place of the file would be waited for
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        way_out = "make it readable, or move it away" if path.name == PROJECT_FILE else "set BROKERCLI_CONFIG_DIR to a directory you can read"
        raise UsageProblem(f"The configuration {path} cannot be read: {problem.strerror}.", hint=way_out) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise UsageProblem(f"The configuration {path} is {what}.", hint="move it away; brokercli context add writes a new one")
        if status.st_size > LARGEST:
            raise UsageProblem(f"The configuration {path} has {status.st_size} bytes; more than {LARGEST} are not read.")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(LARGEST), status
    finally:
        os.close(descriptor)


def _decode(data: bytes, path: Path) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise UsageProblem(f"{path}:1: the file starts with a byte order mark.", hint="save it as UTF-8 without one")
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        line = data[:problem.start].count(b"\n") + 1
        raise UsageProblem(f"{path}:{line}: the file is not UTF-8.", hint="save it as UTF-8") from None
