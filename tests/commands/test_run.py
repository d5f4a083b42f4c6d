"""Every way in which a command line can end is one exit code, and is said in words, or as JSON where data is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer._click.exceptions import UsageError

from brokercli.commands import run as module
from brokercli.commands.run import run
from brokercli.model.errors import Failed, LocalIO, Unreachable


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException | None], None]:
    """Let every command end with this."""
    monkeypatch.setenv("BROKERCLI_STATE_DIR", str(tmp_path))

    def end(error: BaseException | None) -> None:
        def command(args: list[str], prog_name: str) -> None:
            assert prog_name == "brokercli"
            if error is not None:
                raise error

        monkeypatch.setattr(module, "build", lambda arguments: command)

    return end


@pytest.mark.parametrize(("error", "arguments", "code"), [
    (None, ["ls"], 0), (SystemExit(), ["ls"], 0), (SystemExit(0), ["ls"], 0), (SystemExit(4), ["ls"], 4), (SystemExit("text"), ["ls"], 1),
    (SystemExit(1), ["ls"], 1), (SystemExit(130), ["ls"], 130),
    # of a help page whose reader has gone
    (SystemExit(1), ["ls", "--help"], 141), (SystemExit(1), ["-h"], 141), (SystemExit(0), ["ls", "--help"], 0), (SystemExit(2), ["ls", "--help"], 2)])
def test_the_code_that_a_command_decides_is_the_one_it_ends_with(ending: Callable[[BaseException | None], None], capfd: pytest.CaptureFixture[str],
                                                               error: BaseException | None, arguments: list[str], code: int) -> None:
    ending(error)
    assert run(arguments) == code
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("error", "code", "said"), [
    (Unreachable("no broker", hint="start it"), 5, "no broker"), (LocalIO("no room"), 10, "no room"), (Failed("no"), 1, "no"), (KeyboardInterrupt(), 130, ""),
    (ValueError("oops"), 1, "oops")])
def test_what_a_command_raises_is_said_and_has_its_code(ending: Callable[[BaseException | None], None], capfd: pytest.CaptureFixture[str],
                                                      error: BaseException, code: int, said: str) -> None:
    ending(error)
    for words in (["ls"], ["ls", "-o", "json"], ["ls", "--output=json"]):
        assert run(words) == code
        captured = capfd.readouterr()
        assert captured.out == ""
        assert said in captured.err
        if words[1:] and said:
            told = json.loads(captured.err.splitlines()[0])
            assert (said in told["error"], told["exit_code"]) == (True, code)
        elif said:
            assert captured.err.startswith("brokercli: ")


def test_what_cannot_be_said_does_not_change_what_it_was(ending: Callable[[BaseException | None], None]) -> None:
    for wrong, code in ((UsageError("wrong"), 2), (ValueError("else"), 10)):
        unwritable = OSError(28, "No space left on device")
        unwritable.__context__ = wrong
        ending(unwritable)
        assert run(["ls"]) == code


def test_what_is_asked_for_a_completion_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("brokercli.commands.completing.answer", lambda words: asked.append(words) or 7)
    assert (run(["__complete", "bash", "pub"]), asked) == (7, [["bash", "pub"]])
