"""Programs that bodies are passed through, and what they do wrong."""

from __future__ import annotations

import resource
import time

import pytest

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
    ("sleep 100", "sleep did not end within 0.5 s"), ("sh -c 'cat; sleep 100 &'", "sh did not end within 0.5 s"),
    ("sh -c 'exec >&-; sleep 100'", "sh did not end within 0.5 s"), ("sh -c 'sleep 100 < /dev/null'", "sh did not end within 0.5 s")])
def test_a_program_that_fails_keeps_its_message_out(command: str, reason: str) -> None:
    began = time.monotonic()
    transformed = Through(command, timeout=0.5 if "100" in command else 30).transform(Message(LARGE))
    assert (transformed.message, transformed.reason) == (None, f"--through: {reason}")
    assert time.monotonic() - began < 25


def test_a_program_that_prints_without_end_is_ended_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through, "LARGEST_OUTPUT", 1 << 20, raising=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    transformed = Through("yes", timeout=5).transform(Message(b"y"))
    assert (transformed.message, transformed.reason) == (None, "--through: yes printed more than 1 MiB")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
