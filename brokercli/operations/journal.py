"""What a copy has already delivered, on disk: the file that `--resume` goes on from.

One JSON object a line, each with a checksum. The first says what is copied where; every further one is written, and
forced to the disk, only after everything it counts was confirmed. A torn last line is passed over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any, Self

from brokercli.local.on_disk import keep_name
from brokercli.model.errors import LocalIO, OutOfRange, UsageProblem
from brokercli.model.message import Record
from brokercli.model.position import Number, Span, parse_position

VERSION = 1
RESUME = "--resume names a file in a folder that can be written to"


def is_begun(path: str) -> bool:
    """Whether there is a journal with something in it. Raises LocalIO where that cannot be seen."""
    status = _require_file(path)
    return status is not None and status.st_size > 0


def _require_file(path: str) -> os.stat_result | None:
    """Return what is known of a file, None where there is none yet. Raises UsageProblem where something else stands there: a pipe would be
    waited for without end, and what a device takes cannot be read again. A folder is what opening it says."""
    try:
        status = os.stat(path)  # noqa: PTH116 - it is a path as it was typed
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise _cannot_be_opened(path, problem) from None
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise UsageProblem(f"The journal {path} is no regular file.", hint=RESUME)
    return status


def _cannot_be_opened(path: str, problem: OSError) -> LocalIO:
    return LocalIO(f"The journal {path} cannot be opened: {problem.strerror}.", hint=RESUME)


class Journal:
    """One copy's journal, locked while it is open.

    `done` maps a partition (0 where the source has none) to the number of the last record delivered from it.
    """

    def __init__(self, path: str, identity: dict[str, str], incarnation: str = "") -> None:
        """Open or begin the journal of a copy with this identity; what is empty in it was not given.

        `incarnation` is what another source of the same name would not share (`Backend.incarnation`); empty where nothing tells. A journal
        that was begun without it is taken for this one's, and tells from now on.

        Raises UsageProblem where the file belongs to another copy or to what its source was before it was made anew, is no journal, was
        edited, or is in use; LocalIO where it cannot be written.
        """
        self.path = path
        self.done: dict[int, int] = {}
        self.bounds: dict[str, str] = {}
        self.delivered = 0
        self._incarnation = ""
        self.mark = ""
        """What the last record delivered is known by (`mark_of`); only where nothing else tells its source from another of its name."""
        self._source = identity.get("from", "The source")
        _require_file(path)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        except OSError as problem:
            raise _cannot_be_opened(path, problem) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise UsageProblem(f"The journal {path} is in use by another run.", hint="wait for that run, or give this one a journal of its own") from None
        try:
            self._load(identity)
            self._check(incarnation)
        except BaseException:
            self.close()
            raise

    def bind(self, bounds: dict[str, str]) -> None:
        """Enter where the copy begins and ends, as numbers that do not move; once, at its start."""
        self.bounds = bounds
        self._append({"bounds": bounds})

    def enter(self, done: dict[int, int], delivered: int, last: Record | None = None) -> None:
        """Record that everything up to these numbers is confirmed; returns once it is on the disk. `last` is the record of the last one."""
        total, mark = self.delivered + delivered, "" if self._incarnation or last is None else mark_of(last)
        said = {"mark": mark} if mark else {}
        self._append({"done": {str(partition): number for partition, number in done.items()}, "delivered": total, **said})
        self.done.update(done)
        self.delivered, self.mark = total, mark

    def close(self) -> None:
        """Let go of the file and its lock; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _load(self, identity: dict[str, str]) -> None:
        try:
            content = Path(self.path).read_bytes()
        except OSError as problem:
            raise LocalIO(f"The journal {self.path} cannot be read: {problem.strerror}.") from None
        whole, newline, torn = content.rpartition(b"\n")
        lines = whole.split(b"\n") if newline else []
        entries = [_checked(line, number, self.path) for number, line in enumerate(lines, 1)]
        head = {"brokercli-journal": VERSION, **{name: value for name, value in identity.items() if value}}
        if torn and not entries and not _line(head).startswith(torn):
            raise _foreign(self.path)
        if torn:
            os.ftruncate(self._descriptor, len(whole) + len(newline))
        if not entries:
            self._append(head)
            try:
                keep_name(self.path)
            except OSError as problem:
                raise LocalIO(f"The journal {self.path} cannot be kept: {problem.strerror}.") from None
            return
        if entries[0].get("brokercli-journal") != VERSION:
            raise _foreign(self.path)
        for name, value in identity.items():
            begun = entries[0].get(name, "")
            if begun != value:
                raise UsageProblem(f"The journal {self.path} belongs to another copy: its {name} is {begun or 'nothing'}, not {value or 'nothing'}.",
                                   hint="name another file, or repeat the command the journal was begun with")
        for entry in entries[1:]:
            self.bounds = entry.get("bounds", self.bounds)
            self.done |= {int(partition): number for partition, number in entry.get("done", {}).items()}
            self.delivered = entry.get("delivered", self.delivered)
            self._incarnation = entry.get("incarnation", self._incarnation)
            self.mark = entry.get("mark", "" if "done" in entry else self.mark)

    def require_same(self, last: Record | None) -> None:
        """Raise UsageProblem where the record that is stored now under the last number delivered is another one; None where none is found."""
        if last is not None and self.mark and mark_of(last) != self.mark:
            raise self._made_anew()

    def require_reach(self, found: Span | None) -> None:
        """Raise UsageProblem where the source ends before its end of the time when the journal was begun. Deleting messages at its
        beginning moves no end, so this source was made anew."""
        end = parse_position(self.bounds["end"]) if "end" in self.bounds else None
        if found is not None and isinstance(end, Number) and isinstance(found.end, Number) and found.end.value < end.value:
            raise self._made_anew()

    def beyond(self, problem: OutOfRange) -> OutOfRange:
        """Return what to raise where the source does not hold the place that the copy goes on from."""
        return OutOfRange(f"The copy of the journal {self.path} goes on behind what it delivered last, and that is not stored: {problem}",
                          hint="another --resume FILE begins another copy, of what is there now")

    def _check(self, incarnation: str) -> None:
        if incarnation and not self._incarnation:
            self._append({"incarnation": incarnation})
            self._incarnation = incarnation
        elif incarnation and incarnation != self._incarnation:
            raise self._made_anew()

    def _made_anew(self) -> UsageProblem:
        return UsageProblem(f"{self._source} was deleted and made anew since the journal {self.path} was begun: its numbers count other messages now.",
                            hint="give this copy a journal of its own: --resume with the name of a new file")

    def _append(self, entry: dict[str, Any]) -> None:
        line = _line(entry)
        try:
            before = os.fstat(self._descriptor).st_size
            try:
                while line:
                    line = line[os.write(self._descriptor, line):]
            except OSError:
                # half a line is passed over at the end only
                os.ftruncate(self._descriptor, before)
                raise
            os.fsync(self._descriptor)
        except OSError as problem:
            raise LocalIO(f"The journal {self.path} cannot be written: {problem.strerror}.") from None


def mark_of(record: Record) -> str:
    """Return what tells a record from another under the same number: its body, id and time, which no release of a broker writes otherwise."""
    message = record.message
    return hashlib.sha256(b"%d %b %b" % (record.time or 0, (message.id or "").encode(errors="surrogateescape"), message.body or b"")).hexdigest()[:16]


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _foreign(path: str) -> UsageProblem:
    return UsageProblem(f"{path} is no journal of brokercli, or one of another version.", hint="name a file that does not exist yet")


def _checked(line: bytes, number: int, path: str) -> dict[str, Any]:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) == zlib.crc32(text):
            entry = json.loads(text)
            if isinstance(entry, dict):
                return entry
    except ValueError:
        pass
    raise UsageProblem(f"{path} is no journal of brokercli, or was changed: line {number} does not match its checksum.",
                       hint="name a file that does not exist yet; --from of replay takes the place to go on from")
