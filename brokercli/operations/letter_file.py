"""Letters on disk before anything is done to them: envelopes, so that `publish --input json` puts them back into the DLQ."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from brokercli.backends.envelope import encode_record, encode_with_original, mark_dead_at_home
from brokercli.dialects import at_home
from brokercli.local.on_disk import keep_name, make_private
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import LocalIO

_WRITTEN_TOGETHER = 4 << 20


class LetterFile:
    """An append-only file of envelopes, one a line, for its owner only. What `write` returned from is on the disk."""

    def __init__(self, path: str | Path, elsewhere: str = "name a file in a folder that has room and can be written to") -> None:
        """Begin the file. Raises LocalIO where it cannot be written (`elsewhere` says how another is named), or exists by now."""
        self.path = str(path)
        self.count = 0
        self._elsewhere = elsewhere
        self._descriptor = -1
        try:
            make_private(Path(path).parent)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            keep_name(path)
        except OSError as problem:
            self.close()
            hint = "name a file that does not exist yet" if isinstance(problem, FileExistsError) else elsewhere
            raise LocalIO(f"{self.path} cannot be written: {problem.strerror}. Nothing was changed.", hint=hint) from None

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Append letters. Raises LocalIO, with as much as was written left in the file, when the disk is full."""
        self.write_lines([letter_line(letter) for letter in letters])

    def write_lines(self, lines: Sequence[bytes]) -> None:
        """Append envelopes that are encoded already."""
        try:
            for part in _parts(lines):
                data = memoryview(b"\n".join([*part, b""]))
                while data:
                    data = data[os.write(self._descriptor, data):]
            os.fsync(self._descriptor)
        except OSError as problem:
            raise LocalIO(f"{self.path} cannot be written: {problem.strerror}. What was not written was not touched.",
                          hint=self._elsewhere) from None
        self.count += len(lines)

    def close(self) -> None:
        """Let go of the file; one that holds nothing is removed. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if not self.count:
                Path(self.path).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def letter_line(letter: DeadLetter) -> bytes:
    """Write a letter so that a file is enough to put it back: one that only points at its message, with the message, which may be taken
    out as well; one that its broker alone knew to be dead, with that."""
    if letter.original is not None:
        return encode_with_original(letter.record, letter.original)
    line = encode_record(letter.record)
    return mark_dead_at_home(line) if letter.dialect == at_home.NAME else line


def _parts(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield lines in order, as many at once as are written together: not a second copy of all that is in memory already."""
    begin = size = 0
    for number, line in enumerate(lines):
        if number > begin and size + len(line) > _WRITTEN_TOGETHER:
            yield lines[begin:number]
            begin, size = number, 0
        size += len(line)
    yield lines[begin:]
