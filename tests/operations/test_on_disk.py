"""What was begun is still there after a power cut: a new file's name is forced to the disk like what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.local.on_disk import make_private
from brokercli.operations.journal import Journal
from brokercli.operations.letter_file import LetterFile


@pytest.mark.parametrize("begin", [lambda path: Journal(path, {"from": "here"}), LetterFile])
def test_the_folder_of_a_new_journal_is_forced_to_the_disk_before_it_is_used(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable[[str], Journal | LetterFile]) -> None:
    forced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: forced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink())))
    begin(str(tmp_path / "journal")).close()
    assert str(tmp_path) in forced


def test_folders_that_are_made_on_the_way_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "one" / "two")
        make_private(tmp_path / "one" / "two")
    finally:
        os.umask(before)
    assert [(place.stat().st_mode & 0o777) for place in (tmp_path / "one", tmp_path / "one" / "two")] == [0o700, 0o700]


def test_a_file_in_the_place_of_a_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_private(tmp_path / "file")
