"""Files that commands are given: what any option or argument for one takes, standard input among it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from brokercli.local.on_disk import may_be_written
from brokercli.model.errors import UsageProblem
from brokercli.terminal.streams import Streams


def read_file(streams: Streams, file: str, named: str, hint: str | None = None) -> bytes:
    """Return what is in a file, or comes from standard input (`-`) up to its end. `named` is what it is called in errors.

    Raises UsageProblem where it cannot be read, or has no name; `hint` is what helps where there is no such file.
    """
    check_named(file)
    if file != "-":
        read = Path(file).read_bytes
    elif streams.stdin is None:
        raise UsageProblem(f"Standard input is closed, and {named} is read from there.")
    else:
        read = streams.stdin.read
        if streams.stdin_is_terminal:
            streams.say(f"reading {named} from the terminal; Ctrl-D ends")
    try:
        return read()
    except OSError as problem:
        raise UsageProblem(f"{named} cannot be read: {problem.strerror}.", hint=hint) from None


def check_twice_readable(file: str) -> None:
    """Raise UsageProblem for a file that is not there, and for one that is empty the second time it is read: a pipe."""
    try:
        if not stat.S_ISREG(Path(file).stat().st_mode):
            raise UsageProblem(f"{file} is no regular file, and cannot be read twice. Nothing was sent.", hint="write it to a file first")
    except OSError as problem:
        raise UsageProblem(f"{file} cannot be read: {problem.strerror}. Nothing was sent.") from None


def check_named(file: str) -> None:
    """Raise UsageProblem for a file without a name."""
    if not file:
        raise UsageProblem("A file needs a name, and '' is none.")


def check_absent(file: str | None, hint: str = "name a file that does not exist yet") -> None:
    """Raise UsageProblem for a file that is there and is not to be written over, and for one without a name; before anything connects."""
    if file is None:
        return
    check_named(file)
    if os.path.lexists(file):
        raise UsageProblem(f"{file} is there already. Nothing was changed.", hint=hint)


def check_report(report: str | None, beside: str | None, unrun: str | None = None, files: Iterable[str | None] = (), instead: str = "") -> None:
    """Raise UsageProblem for a report where nothing is run (`unrun` says why, `instead` what there is), for one to standard output where
    `beside` goes there, for one over what the run reads or keeps itself, `files`, and for one that has no folder or may not be
    written: a run that did everything would end as one that failed."""
    if report == "":
        raise UsageProblem("--report needs the name of a file.", hint="--report - writes to standard output")
    if report is not None and any(are_one(report, file) for file in files if file is not None):
        raise UsageProblem(f"--report {report} would write over what the run itself reads or keeps.", hint="name a file of its own")
    if report is not None and unrun is not None:
        raise UsageProblem(f"--report tells how a run ended, and there is none {unrun}.", hint=f"leave --report out{instead}")
    if report == "-" and beside is not None:
        raise UsageProblem(f"--report - writes to standard output, and {beside} goes there.", hint="--report FILE writes it to a file")
    if report is not None and os.path.isdir(report):  # noqa: PTH112 - of what may not be looked into it says no
        raise UsageProblem(f"--report {report} is a directory. Nothing was sent.", hint="name a file in it")
    if report is not None and not os.path.isdir(Path(report).parent):  # noqa: PTH112
        raise UsageProblem(f"--report {report} cannot be written: there is no such folder. Nothing was sent.")
    if report not in (None, "-") and not may_be_written(report):
        raise UsageProblem(f"--report {report} cannot be written: that is not permitted. Nothing was sent.", hint="name a file in a folder of yours")


def are_one(file: str, other: str) -> bool:
    """Whether two names, of files that need not be there yet, name one file; `-` names none."""
    if "-" in (file, other):
        return False
    try:
        return os.path.realpath(file) == os.path.realpath(other)
    except OSError:  # the folder that we are in is gone, and with it what is in there
        return False
