"""Programs that bodies are passed through, and what they do wrong."""

from __future__ import annotations

import resource
import time

import pytest

from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message
from brokercli.operations import through
from brokercli.operations.through import Through

LARGE = bytes(range(256)) * 4096


@pytest.mark.parametrize(("command", "body", "output"), [
    ("cat", b"one", b"one"), ("cat", b"", b""), ("cat", LARGE, LARGE), ("head -c 3", LARGE, LARGE[:3]), ("sh -c 'exec <&-; echo new'", LARGE, b"new\n"),
    ("sh -c 'sleep 0.3; cat'", LARGE, LARGE)], ids=["small", "empty", "large", "a part", "deaf", "late"])
def test_what_a_program_prints_is_the_new_body(command: str, body: bytes, output: bytes) -> None:
    transformed = Through(command).transform(Message(body))
    assert transformed.message is not None, transformed.reason
    # compared so that a failure prints no megabyte
    assert (transformed.message.body == output) is True


@pytest.mark.parametrize(("command", "reason"), [
    ("false", "false exited with 1"), ("sh -c 'kill -9 $$'", "sh was ended by signal 9"), ("true", "true printed nothing"),
    ("sleep 100", "sleep did not end within 0.5 s"),
    ("sh -c 'cat; sleep 100 &'", "sh ended, and what it left in the background kept its output open for 0.5 s"),
    ("sh -c 'exec >&-; sleep 100'", "sh did not end within 0.5 s"), ("sh -c 'sleep 100 < /dev/null'", "sh did not end within 0.5 s")])
def test_a_program_that_fails_keeps_its_message_out(command: str, reason: str) -> None:
    began = time.monotonic()
    transformed = Through(command, timeout=0.5 if "100" in command else 30).transform(Message(LARGE))
    assert (transformed.message, transformed.reason) == (None, f"--through: {reason}")
    assert time.monotonic() - began < 25


@pytest.mark.parametrize(("command", "why"), [
    ("jq '.", "cannot be read as a command"), ("", "names 'nothing', which is no program"),
    ("no-such-program -x", "names 'no-such-program', which is no program")])
def test_what_is_no_program_is_refused_before_any_message_is_read(command: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why):
        Through(command)


@pytest.mark.parametrize(("key", "seen"), [
    (b"c-7", b"c-7"), (b"\xff", b"\xff"), (None, b"none"), (b"a\0b", b"none"), (b"x" * 65535, b"x" * 65535), (b"x" * 65536, b"none")],
    ids=["text", "binary", "none", "with a NUL", "long", "too long"])
def test_a_program_is_told_the_key_where_an_environment_can_hold_it(key: bytes | None, seen: bytes) -> None:
    transformed = Through("sh -c 'printf %s \"${BROKERCLI_KEY-none}\"'").transform(Message(b"{}", key=key))
    assert transformed.message is not None, transformed.reason
    assert (transformed.message.body == seen, transformed.message.key == key) == (True, True)


def test_a_program_that_prints_without_end_is_ended_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through, "LARGEST_OUTPUT", 1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    transformed = Through("yes", timeout=5).transform(Message(b"y"))
    assert (transformed.message, transformed.reason) == (None, "--through: yes printed more than 1 MiB")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
