"""The last line of a command that moved messages, and the same as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import orjson

from brokercli.local.on_disk import write_whole
from brokercli.model.amount import amount
from brokercli.model.errors import LocalIO, ReaderLeft
from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Account
from brokercli.terminal.escape import json_of
from brokercli.terminal.failure import present
from brokercli.terminal.progress import spoken_duration
from brokercli.terminal.streams import Streams


def summarise(streams: Streams, verb: str, account: Account, *, seconds: float, extra: Mapping[str, object] | None = None, quiet: bool = False,
              doubt: str | None = None) -> None:
    """Print one line on standard error: `published: read 10, confirmed 9, refused 1, unknown 0, skipped 0 in 0.4 s`.

    A second line says what unknown means and what to do, whenever there are any; `quiet` leaves only that one. `doubt` says it where
    nothing was published, or repeating it is safe.
    """
    if not quiet:
        counts = ", ".join(f"{name} {count:,}" for name, count in asdict(account).items())
        facts = "".join(f"; {name.replace('_', ' ')} {f'{value:,}' if isinstance(value, int) else value}" for name, value in (extra or {}).items())
        # what was read ahead and passed over when the run was stopped is no part of its speed
        done = account.read - account.skipped
        rate = f" ({done / seconds:,.0f}/s)" if seconds >= 1 and done > 1 else ""
        line = f"{verb}: {counts} in {spoken_duration(seconds)}{rate}{facts}"
        streams.say(line, "bold yellow" if account.unknown else "yellow" if account.refused else "")
    if account.unknown and doubt is not None:
        streams.say(doubt, "bold yellow")
    elif account.unknown:
        said = amount(account.unknown, "message was sent and its verdict never came: it", "messages were sent and their verdicts never came: they")
        streams.say(f"{said} may be stored, or not. Look before sending again, or there may be two of each.", "bold yellow")


def write_report(path: str, verb: str, account: Account, *, exit_code: int, seconds: float, extra: Mapping[str, object] | None = None) -> None:
    """Write the summary as one JSON object, readable by its owner alone. The file appears whole or not at all.

    Raises LocalIO when it cannot be written; what stood there before is kept then.
    """
    try:
        write_whole(path, _report(verb, account, exit_code, seconds, extra))
    except OSError as problem:
        raise LocalIO(f"The report {path} cannot be written: {problem.strerror or problem}.", hint="the run itself is over; its summary stands above") from None


def report_end(streams: Streams, path: str, verb: str, account: Account, exit_code: int, seconds: float, extra: Mapping[str, object] | None = None) -> int:
    """Write the report of a run, `-` to standard output, and return its exit code. A report that cannot be written is said, and is the
    exit code only where the run has nothing graver to tell."""
    try:
        if path == "-":
            streams.write(_report(verb, account, exit_code, seconds, extra))
        else:
            write_report(path, verb, account, exit_code=exit_code, seconds=seconds, extra=extra)
    except (LocalIO, ReaderLeft) as problem:
        code = present(problem, streams)
        return code if exit_code in (ExitCode.DONE, ExitCode.NOTHING_MATCHED) else exit_code
    return exit_code


def _report(verb: str, account: Account, exit_code: int, seconds: float, extra: Mapping[str, object] | None) -> bytes:
    told = {"summary": verb, **asdict(account), "exit_code": int(exit_code), "seconds": round(seconds, 3), **(extra or {})}
    return json_of(told, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
