"""A file of letters: every line of every call, in order, without a second copy of all of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from brokercli.backends.envelope import decode_original, decode_record, is_dead_at_home
from brokercli.dialects.at_home import died_at_home
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import LocalIO
from brokercli.operations import letter_file
from brokercli.operations.letter_file import LetterFile, letter_line
from tests.operations.test_filed_letters import LETTER, ORIGINAL


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


def test_a_file_is_its_owners_alone_and_is_not_there_when_nothing_was_kept(tmp_path: Path) -> None:
    kept = LetterFile(tmp_path / "folder" / "letters")
    assert [place.stat().st_mode & 0o777 for place in (tmp_path / "folder", tmp_path / "folder" / "letters")] == [0o700, 0o600]
    kept.close()
    kept.close()
    with LetterFile(tmp_path / "folder" / "others"):
        pass
    assert list((tmp_path / "folder").iterdir()) == []
    with LetterFile(tmp_path / "folder" / "more", "--journal FILE") as kept:
        kept.close()
        with pytest.raises(LocalIO, match="What was not written was not touched") as refused:
            kept.write_lines([b"to nowhere"])
    assert refused.value.hint == "--journal FILE"


def test_where_the_disk_is_full_the_next_step_is_a_place_with_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with LetterFile(tmp_path / "letters") as kept:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(LocalIO, match="No space left on device") as refused:
            kept.write_lines([b"a"])
    assert "has room" in str(refused.value.hint)


@pytest.mark.parametrize(("place", "why", "hint"), [
    ("there", "File exists", "does not exist yet"), ("link", "File exists", "does not exist yet"), ("there/letters", "Not a directory", "can be written to")])
def test_what_is_there_by_now_is_neither_written_to_nor_removed(tmp_path: Path, place: str, why: str, hint: str) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LocalIO, match=f"{place} cannot be written: {why}. Nothing was changed") as refused:
        LetterFile(tmp_path / place)
    assert hint in str(refused.value.hint)
    assert (sorted(path.name for path in tmp_path.iterdir()), (tmp_path / "there").read_text()) == (["link", "there"], "mine")


def test_a_line_holds_what_its_letter_points_at_and_what_its_broker_alone_knew() -> None:
    assert decode_record(letter_line(DeadLetter(LETTER, "x")), 1) == LETTER
    pointing = letter_line(DeadLetter(LETTER, "x", original=ORIGINAL))
    assert (decode_record(pointing, 1), decode_original(pointing)) == (LETTER, ORIGINAL)
    assert [is_dead_at_home(letter_line(letter)) for letter in (DeadLetter(LETTER, "x"), died_at_home(LETTER))] == [False, True]
