"""What was begun is still there after a power cut: a new file's name is forced to the disk like what is in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.local.on_disk import make_private, write_new
from brokercli.model.errors import LocalIO
from brokercli.operations.journal import Journal
from brokercli.operations.letter_file import LetterFile


@pytest.mark.parametrize("begin", [lambda path: Journal(path, {"from": "here"}), LetterFile])
def test_the_folder_of_a_new_journal_is_forced_to_the_disk_before_it_is_used(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable[[str], Journal | LetterFile]) -> None:
    forced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: forced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink())))
    begin(str(tmp_path / "journal")).close()
    assert str(tmp_path) in forced


def write(journal: Journal | LetterFile) -> None:
    if isinstance(journal, Journal):
        journal.enter({0: 4}, 5)
    else:
        journal.write_lines([b'{"done"'])


@pytest.mark.parametrize("begin", [lambda path: Journal(path, {"from": "here"}), LetterFile])
def test_what_is_entered_is_forced_to_the_disk_as_a_whole_before_anybody_goes_on(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable[[str], Journal | LetterFile]) -> None:
    path, forced = tmp_path / "journal", b""

    def force(descriptor: int) -> None:
        nonlocal forced
        forced = path.read_bytes()

    with begin(str(path)) as journal:
        monkeypatch.setattr(os, "fsync", force)
        write(journal)
        assert b'{"done"' in forced
        assert forced == path.read_bytes()


@pytest.mark.parametrize("begin", [lambda path: Journal(path, {"from": "here"}), LetterFile])
def test_what_cannot_be_forced_to_the_disk_was_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           begin: Callable[[str], Journal | LetterFile]) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with begin(str(tmp_path / "journal")) as journal:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LocalIO, match=r"journal cannot be written: Input/output error"):
            write(journal)
        assert (journal.done if isinstance(journal, Journal) else journal.count) in ({}, 0)


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


def test_a_new_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new"
    write_new(path, b"all of it")
    assert path.read_bytes() == b"all of it"
    with pytest.raises(FileExistsError):
        write_new(path, b"another")
    assert path.read_bytes() == b"all of it"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_new(tmp_path / "other", b"all of it")
    assert [found.name for found in tmp_path.iterdir()] == ["new"]
