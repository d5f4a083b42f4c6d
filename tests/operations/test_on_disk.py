"""What was begun is still there after a power cut: a new file's name is forced to the disk like what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.operations.journal import Journal
from brokercli.operations.letter_journal import LetterFile


@pytest.mark.parametrize("begin", [lambda path: Journal(path, {"from": "here"}), LetterFile])
def test_the_folder_of_a_new_journal_is_forced_to_the_disk_before_it_is_used(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable[[str], Journal | LetterFile]) -> None:
    forced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: forced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink())))
    begin(str(tmp_path / "journal")).close()
    assert str(tmp_path) in forced
