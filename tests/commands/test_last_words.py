"""Signals that come when everything is over: neither the summary nor the report is cut by them, and the exit code is what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.commandline import CommandLine, environment
from tests.commands.conftest import Place, unmake
from tests.commands.dead_letters import Graveyard, make_graveyard

_TOLD_TWICE = """
import os, signal, sys
from brokercli.backends.nats.backend import NatsBackend
from brokercli.commands.run import run
from brokercli.terminal import interrupt, summary
from brokercli.terminal.streams import Streams

interrupt.LAST_WORDS = 600.0

def told_twice_before(work):
    def tell(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        return work(*arguments, **options)
    return tell

def say(self, text, style="", *, said=Streams.say, tell=told_twice_before(lambda: None)):
    if text.startswith("exported"):
        tell()
    said(self, text, style)
    if text.startswith("created"):
        tell()

Streams.say = say
summary.summarise = told_twice_before(summary.summarise)
summary.write_report = told_twice_before(summary.write_report)
if "--report" in sys.argv:  # what has none speaks once all is closed
    NatsBackend.close = told_twice_before(NatsBackend.close)
sys.exit(run(sys.argv[1:]))
"""
"""Stands for `brokercli`; is told twice to stop before it prints its summary, writes its report and closes its connections."""


def told_twice(cli: CommandLine, *arguments: str) -> tuple[int, str, dict[str, int]]:
    ended = subprocess.run([sys.executable, "-c", _TOLD_TWICE, *arguments], input="a\nb\n", capture_output=True, text=True,
                           timeout=60, check=False, cwd=cli.home, env=environment(cli.home))
    report = cli.home / "report"
    return ended.returncode, ended.stderr, json.loads(report.read_text()) if report.exists() else {}


@pytest.mark.nats
def test_a_copy_and_what_is_published_are_accounted_for_to_the_last_word(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    source, target = make_place("nats"), make_place("nats")
    for arguments, verb in (
            (("publish", source.url, "--report", "report"), "published"),
            (("replay", source.url, "--to", target.url, "--resume", "journal", "--report", "report"), "replayed")):
        code, said, report = told_twice(cli, *arguments)
        assert f"{verb}: read 2, confirmed 2, refused 0, unknown 0, skipped 0" in said
        assert (code, report["confirmed"], report["exit_code"]) == (0, 2, 0)


@pytest.mark.nats
@pytest.mark.parametrize("verb", ["redrive", "drop"])
def test_a_repair_is_accounted_for_to_the_last_word(cli: CommandLine, nats_address: str, unique: Callable[[str], str], verb: str) -> None:
    graveyard: Graveyard = make_graveyard(cli, nats_address.rstrip("/"), "nats", unique("last"))
    graveyard.bury("a", "b")
    code, said, _ = told_twice(cli, "dlq", "export", "letters", graveyard.url)
    assert (code, "exported: 2 letters" in said) == (0, True)
    code, said, report = told_twice(cli, "dlq", verb, graveyard.url, "--yes", "--journal", "kept", "--report", "report")
    assert "read 2, confirmed 2, refused 0, unknown 0, skipped 0" in said
    assert "the letters as they were are kept in kept" in said
    assert (code, report["confirmed"], report["exit_code"]) == (0, 2, 0)
    unmake(graveyard.home)
    unmake(graveyard.dlq)


@pytest.mark.nats
def test_what_is_declared_is_known_to_be_done_when_that_has_been_said(cli: CommandLine, nats_address: str, unique: Callable[[str], str]) -> None:
    name = unique("last")
    code, said, _ = told_twice(cli, "declare", "stream", f"{nats_address.rstrip('/')}/stream:{name}", "--subjects", f"{name}.>")
    unmake(Place("nats", "", name, nats_address))
    assert (code, f"created: stream {name}" in said, "not known" in said) == (0, True, False), said
