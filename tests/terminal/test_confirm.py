"""Asking before what cannot be taken back."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from brokercli.model.errors import UsageProblem
from brokercli.terminal.confirm import confirm

ASKABLE: dict[str, Any] = {"stdin_is_terminal": True, "stderr_is_terminal": True}


def test_yes_is_not_asked_again(capture: Callable[..., Any]) -> None:
    captured = capture()
    assert confirm(captured.streams, "Delete?", yes=True)
    assert captured.err == ""


@pytest.mark.parametrize("missing", ["stdin_is_terminal", "stderr_is_terminal", "input_allowed"])
def test_where_nobody_can_be_asked_yes_has_to_be_said(capture: Callable[..., Any], missing: str) -> None:
    captured = capture(**{**ASKABLE, "stdin": io.BytesIO(b"y\n"), missing: False})
    with pytest.raises(UsageProblem, match="needs --yes when nobody can be asked"):
        confirm(captured.streams, "Delete?", yes=False)
    assert captured.err == ""


@pytest.mark.parametrize(("typed", "answer"), [(b"y\n", True), (b"n\n", False), (b"", False)])
def test_the_answer_decides(capture: Callable[..., Any], typed: bytes, answer: bool) -> None:
    reading, writing = os.pipe()
    os.write(writing, typed)
    os.close(writing)
    with os.fdopen(reading, "rb") as stdin:
        captured = capture(**ASKABLE, stdin=stdin)
        assert confirm(captured.streams, "Delete \x1b3?", yes=False) is answer
    assert captured.err.startswith("Delete \\x1b3? [y/N] ")
