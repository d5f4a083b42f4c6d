"""Turns an error into words and an exit code; the only place that does."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from brokercli.local.on_disk import make_private
from brokercli.model.errors import BrokercliError, Bug, ReaderLeft
from brokercli.model.exit_code import ExitCode
from brokercli.terminal.interrupt import StopNow
from brokercli.terminal.logins import without_logins
from brokercli.terminal.streams import Streams

# crash reports kept; the oldest go
KEPT = 20
_UNKEPT = "repeat it as brokercli --debug …, and report what it prints"
# what a library of ours (the help's printer) lets through when it cannot write
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def present(error: BaseException, streams: Streams, *, debug: bool = False, output_json: bool = False, words: Sequence[str] = ()) -> int:
    """Say on standard error what went wrong and what to type next; return the exit code.

    An error that is none of ours is a bug: it is said to be one, and its traceback (without values of variables) is kept in
    a file for the report. A reader that left and Ctrl-C say nothing. `debug`, or BROKERCLI_DEBUG, prints every traceback.
    `words` is what was written by whoever called us; no login that stands in it is said.
    """
    streams.status("")
    debug = debug or os.environ.get("BROKERCLI_DEBUG", "0") not in ("", "0")
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if debug:
        for line in _traceback(error, words).splitlines():
            streams.say(line, "dim")
    match error:
        case KeyboardInterrupt():
            if streams.moving:
                streams.end_line()
            return int(ExitCode.INTERRUPTED)
        case StopNow():
            return error.exit_code
        case ReaderLeft():
            return int(ExitCode.READER_LEFT)
        case BrokercliError() if not isinstance(error, Bug):
            _say(streams, without_logins(str(error), words), without_logins(error.hint or "", words), int(error.exit_code), output_json)
            return int(error.exit_code)
        case BrokenPipeError():
            return int(ExitCode.READER_LEFT)
        case OSError(errno=number) if number in _NO_ROOM:
            _say(streams, f"cannot write {error.filename or 'output'}: {error.strerror}", None, int(ExitCode.LOCAL_IO), output_json)
            return int(ExitCode.LOCAL_IO)
        case OSError(errno=number) if number in (errno.EMFILE, errno.ENFILE):
            _say(streams, "too many files are open", "ulimit -n says how many this process may have", int(ExitCode.LOCAL_IO), output_json)
            return int(ExitCode.LOCAL_IO)
    _say(streams, f"this is a bug: {_one_line(error, words)}", _keep(error, os.environ, words), int(ExitCode.FAILED), output_json)
    return int(ExitCode.FAILED)


def _say(streams: Streams, message: str, hint: str | None, exit_code: int, output_json: bool) -> None:
    hint = hint or None
    if output_json:
        streams.say_json({"error": message, "hint": hint, "exit_code": exit_code})
        return
    streams.say(f"brokercli: {message}", "bold red:")
    if hint:
        streams.say_hint(hint)


def _one_line(error: BaseException, words: Sequence[str]) -> str:
    text = " ".join(without_logins(str(error), words).split())
    if isinstance(error, Bug):
        return text[:200]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _keep(error: BaseException, environment: Mapping[str, str], words: Sequence[str]) -> str:
    from datetime import UTC, datetime

    from brokercli import __version__

    text = (f"brokercli {__version__}, Python {sys.version.split()[0]}, {sys.platform}\n"
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}\n\n{_traceback(error, words)}")
    directory = _state_directory(environment)
    if directory is None:
        return _UNKEPT
    try:
        make_private(directory)
        for old in sorted(directory.glob("*.txt"))[:-KEPT + 1]:
            old.unlink()
        path = directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return _UNKEPT
    home = environment.get("HOME", "")
    return f"please report it, with {f'~{str(path).removeprefix(home)}' if home and path.is_relative_to(home) else path}"


def _traceback(error: BaseException, words: Sequence[str]) -> str:
    import traceback

    return without_logins("".join(traceback.format_exception(error)), words)


def _state_directory(environment: Mapping[str, str]) -> Path | None:
    # as settings/places.py says it; a crash must find its way without the rest of the program
    if said := environment.get("BROKERCLI_STATE_DIR"):
        try:
            return Path(said).expanduser().absolute() / "crashes"
        except (RuntimeError, OSError):
            return None  # no such home, or the working directory is gone
    if (base := environment.get("XDG_STATE_HOME", "")).startswith("/"):
        return Path(base) / "brokercli" / "crashes"
    home = environment.get("HOME", "")
    return Path(home) / ".local/state/brokercli/crashes" if home.startswith("/") else None
