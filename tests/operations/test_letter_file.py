"""A file of letters: every line of every call, in order, without a second copy of all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from brokercli.operations import letter_file
from brokercli.operations.letter_file import LetterFile


def test_lines_are_written_in_order_and_large_ones_not_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_file, "_WRITTEN_TOGETHER", 100)
    sizes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: sizes.append(len(data)) or write(descriptor, data))
    calls = [[b"a"] * 30, [b"b" * 99, b"c" * 500, b"", b"d" * 60, b"e" * 60], [], [b"f"]]
    with LetterFile(tmp_path / "letters") as kept:
        for lines in calls:
            kept.write_lines(lines)
        assert kept.count == 36
    assert (tmp_path / "letters").read_bytes() == b"".join(line + b"\n" for lines in calls for line in lines)
    assert sizes == [60, 100, 501, 62, 61, 2]
