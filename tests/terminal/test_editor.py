"""An editor has the terminal to itself, and what it leaves is the body."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brokercli.model.errors import Failed, UsageProblem
from brokercli.terminal.editor import edit


def editor(folder: Path, script: str) -> dict[str, str]:
    program = folder / "editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return {"EDITOR": str(program), "PATH": "/usr/bin:/bin"}


def test_ctrl_c_is_for_the_editor_alone(tmp_path: Path) -> None:
    # a terminal sends it to both
    environment = editor(tmp_path, 'kill -INT $PPID; printf mended > "$1"')
    program = f"from brokercli.terminal.editor import edit; print(edit(b'broken', {environment!r}))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "b'mended'\n"), ended.stderr


def test_a_line_end_that_the_editor_adds_is_taken_off_where_there_was_none(tmp_path: Path) -> None:
    environment = editor(tmp_path, 'echo mended > "$1"')
    assert edit(b"broken", environment) == b"mended"
    assert edit(b"broken\n", environment) == b"mended\n"


@pytest.mark.parametrize("script", [': > "$1"', 'echo > "$1"'])
def test_who_empties_the_file_has_thought_better_of_it(tmp_path: Path, script: str) -> None:
    environment = editor(tmp_path, script)
    with pytest.raises(Failed, match="left nothing of the body: nothing was changed"):
        edit(b"broken", environment)
    assert edit(b"", environment) == b""


@pytest.mark.parametrize("said", ["no-such-editor", "vi 'half", " "])
def test_an_editor_that_cannot_be_is_refused(said: str) -> None:
    with pytest.raises(UsageProblem, match="Nothing was changed"):
        edit(b"x", {"EDITOR": said, "PATH": "/usr/bin:/bin"})


def test_an_editor_knows_no_more_than_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert edit(b"", editor(tmp_path, 'printf "[$SECRET]" > "$1"')) == b"[]"
