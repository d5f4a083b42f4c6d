"""Errors in words: one sentence, the next step, one exit code."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from brokercli.model.errors import BrokercliError, Bug, InputRefused, LocalIO, NotAuthorised, ReaderLeft, TimedOut, Unreachable, Unsupported, UsageProblem
from brokercli.terminal.failure import present
from brokercli.terminal.interrupt import StopNow


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BROKERCLI_DEBUG", raising=False)
    monkeypatch.delenv("BROKERCLI_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/brokercli/crashes"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokercliError("x"), 1),
        (UsageProblem("x"), 2),
        (Unreachable("x"), 5),
        (NotAuthorised("x"), 6),
        (Unsupported("x"), 7),
        (LocalIO("x"), 10),
        (TimedOut("x"), 124),
        (InputRefused("x", 3), 2),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(capture: Callable[..., Any], error: BrokercliError, code: int) -> None:
    captured = capture()
    assert present(error, captured.streams) == code
    assert captured.err == "brokercli: x\n"


def test_the_hint_stands_below_with_an_arrow(capture: Callable[..., Any]) -> None:
    captured = capture()
    present(UsageProblem("No context is chosen.", hint="brokercli local start\nbrokercli context add NAME URL"), captured.streams)
    assert captured.err == "brokercli: No context is chosen.\n  → brokercli local start\n  → brokercli context add NAME URL\n"


def test_lines_of_a_hint_that_are_indented_belong_to_the_one_before(capture: Callable[..., Any]) -> None:
    captured = capture()
    present(UsageProblem("No broker.", hint="choose:\n  brokercli demo\n  a URL\nor ask"), captured.streams)
    assert captured.err == "brokercli: No broker.\n  → choose:\n      brokercli demo\n      a URL\n  → or ask\n"


@pytest.mark.parametrize(("end", "code"), [(KeyboardInterrupt(), 130), (StopNow(143), 143), (ReaderLeft("gone"), 141), (SystemExit(7), 7), (SystemExit(), 0)])
def test_an_end_that_was_asked_for_is_silent(capture: Callable[..., Any], end: BaseException, code: int) -> None:
    captured = capture()
    assert present(end, captured.streams) == code
    assert captured.err == ""


def test_what_a_broker_said_cannot_steer_the_terminal(capture: Callable[..., Any]) -> None:
    captured = capture()
    present(Unreachable("it said \x1b]0;title\x07 and\nbrokercli: all is well", hint="\x9b2J"), captured.streams)
    assert captured.err == "brokercli: it said \\x1b]0;title\\x07 and\\nbrokercli: all is well\n  → \\u009b2J\n"


def test_only_the_name_of_the_program_is_coloured(capture: Callable[..., Any]) -> None:
    captured = capture(stderr_colour=True)
    present(UsageProblem("no: such thing"), captured.streams)
    assert captured.err == "\x1b[1;31mbrokercli:\x1b[0m no: such thing\n"


def test_an_error_about_a_file_whose_name_is_not_utf8_is_an_object_as_well(capture: Callable[..., Any]) -> None:
    captured = capture()
    assert present(UsageProblem("--ids a\udcff cannot be read"), captured.streams, output_json=True) == 2
    assert orjson.loads(captured.err) == {"error": "--ids a\\xff cannot be read", "hint": None, "exit_code": 2}


def test_for_a_program_an_error_is_one_json_object(capture: Callable[..., Any]) -> None:
    captured = capture()
    assert present(Unreachable("x\n\u202e", hint="try"), captured.streams, output_json=True) == 5
    assert captured.err == '{"error":"x\\n\\u202e","hint":"try","exit_code":5}\n'
    assert orjson.loads(captured.err)["error"] == "x\n\u202e"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 10, "brokercli: cannot write output: No space left on device\n"),
        (OSError(errno.ENOSPC, "No space left on device", "journal"), 10, "brokercli: cannot write journal: No space left on device\n"),
        (OSError(errno.EMFILE, "Too many open files"), 10, "brokercli: too many files are open\n  → ulimit -n says how many this process may have\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_a_disk_or_a_limit_that_is_full_is_no_bug_wherever_it_shows(capture: Callable[..., Any], error: OSError, code: int, said: str) -> None:
    captured = capture()
    assert present(error, captured.streams) == code
    assert captured.err == said


def raised() -> BaseException:
    password = "hunter2-in-a-variable"
    try:
        raise KeyError(f"amqp://guest:hunter2@host/{len(password)}")
    except KeyError as error:
        return error


def test_a_bug_says_so_and_keeps_a_private_traceback_without_values(capture: Callable[..., Any], state: Path) -> None:
    captured = capture()
    assert present(raised(), captured.streams) == 1
    [kept] = state.iterdir()
    assert (
        captured.err == f"brokercli: this is a bug: KeyError: 'amqp://guest:****@host/21'\n  → please report it, with ~/state/brokercli/crashes/{kept.name}\n"
    )
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert "raise KeyError" in kept.read_text()
    assert "hunter2" not in kept.read_text()


def test_a_bug_on_a_connections_thread_is_told_as_any_other_with_the_traceback_of_what_was_raised_there(
        capture: Callable[..., Any], state: Path) -> None:
    def on_its_thread() -> None:
        raise KeyError("x")

    captured = capture()
    with pytest.raises(KeyError) as raised_there:
        on_its_thread()
    assert present(Bug("in the NATS backend", raised_there.value), captured.streams) == 1
    (kept,) = state.iterdir()
    assert captured.err.startswith("brokercli: this is a bug: in the NATS backend: KeyError: 'x'\n  → please report it")
    assert "in on_its_thread" in kept.read_text()


def test_a_bug_without_a_place_to_keep_it_is_still_told(capture: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERCLI_STATE_DIR", "/dev/null/nowhere")
    captured = capture()
    assert present(raised(), captured.streams) == 1
    assert captured.err.endswith("  → repeat it as brokercli --debug …, and report what it prints\n")


def test_only_the_newest_tracebacks_are_kept(capture: Callable[..., Any], state: Path) -> None:
    state.mkdir(parents=True)
    for number in range(30):
        (state / f"20200101T0000{number:02d}-1.txt").touch()
    present(raised(), capture().streams)
    assert len(list(state.iterdir())) == 20
    assert (state / "20200101T000029-1.txt").exists()


@pytest.mark.parametrize("asked", ["argument", "environment"])
def test_debugging_prints_the_traceback_of_any_error(capture: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    if asked == "environment":
        monkeypatch.setenv("BROKERCLI_DEBUG", "1")
    captured = capture()
    present(UsageProblem("asked \x1b wrongly"), captured.streams, debug=asked == "argument")
    assert captured.err.splitlines() == ["brokercli.model.errors.UsageProblem: asked \\x1b wrongly", "brokercli: asked \\x1b wrongly"]
