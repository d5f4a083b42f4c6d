"""`brokercli demo`: the whole story on a broker of one's own, and every command in it works when it is typed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import pytest

from tests.commandline import CommandLine


@pytest.fixture
def local(cli: CommandLine) -> Iterator[CommandLine]:
    """Return `cli`; its local broker is stopped at the end."""
    yield cli
    cli("local", "stop")


def commands(stdout: bytes) -> list[list[str]]:
    """Return the commands that the story shows."""
    return [shlex.split(line[2:].decode())[1:] for line in stdout.splitlines() if line.startswith(b"$ brokercli ")]


def test_the_story_runs_chooses_local_and_what_it_shows_works_when_typed(local: CommandLine) -> None:
    told = local("demo")
    assert told.code == 0, told.stderr
    assert b"\x1b" not in told.stdout
    assert told.stdout.count(b'{"order":1,"customer":"ada","amount":120}') == 3  # published, tailed, replayed from the copy
    assert "the context local is chosen now" in told.stderr
    shown = commands(told.stdout)
    assert {words[0] for words in shown} >= {"local", "declare", "publish", "tail", "replay", "dlq", "ls", "describe"}
    for words in shown:
        # the letter that was put back is no longer there to be planned on
        assert local(*words).code == 0, words


def test_what_failed_is_dead_inspected_and_put_back_and_one_letter_is_left_for_who_types_redrive(local: CommandLine) -> None:
    told = local("demo")
    assert told.code == 0, told.stderr
    assert b"3 orders billed, 2 given back twice" in told.stdout
    assert b"max deliveries" in told.stdout
    assert b"ran again: 1 order billed" in told.stdout
    (group,) = [json.loads(line) for line in local("dlq", "inspect", "-o", "json").lines]
    assert (group["count"], group["origin"], group["consumer"]) == (1, "subject:orders.created", "billing")
    assert local("dlq", "redrive").code == 8
    assert local("dlq", "redrive", "--yes").code == 0
    assert local("replay", "orders.created", "--from", "-1").lines == [b'{"order":5,"customer":"barbara","amount":"95"}']


def test_it_can_be_told_again(local: CommandLine) -> None:
    first, second = local("demo"), local("demo")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert commands(first.stdout) == commands(second.stdout)


def test_tail_typed_next_works_as_it_stands(local: CommandLine) -> None:
    assert local("demo").code == 0
    tail = local.start("tail", "orders.created", "-n", "1")
    while tail.poll() is None:  # until it listens, what is published is not for it
        assert local("publish", "orders.created", '{"order":4}').code == 0
    assert local.finish(tail).stdout == b'{"order":4}\n'


def test_a_context_that_was_chosen_stays_chosen_and_is_not_touched(local: CommandLine) -> None:
    assert local("context", "add", "prod", "--url", "nats://127.0.0.1:1", "--use").code == 0
    told = local("demo")
    assert told.code == 0, told.stderr
    assert all("--context" in words for words in commands(told.stdout) if words[0] != "local")
    assert json.loads(local("context", "show", "-o", "json").stdout)["context"] == "prod"
    assert "your context stays prod" in told.stderr


def test_a_home_where_nothing_can_be_written_down_still_gets_the_story(local: CommandLine) -> None:
    (local.home / "config_home").write_text("")
    told = local("demo")
    assert told.code == 0, told.stderr
    assert "could not be chosen" in told.stderr


def test_where_the_broker_does_not_start_nothing_is_chosen(local: CommandLine) -> None:
    (local.home / "state_home").write_text("")
    told = local("demo")
    assert (told.code, commands(told.stdout)) == (10, [["local", "start"]])
    assert "the demonstration ends here" in told.stderr
    assert local("ls").code == 2  # as before: no broker is chosen


def test_on_a_terminal_it_is_coloured(local: CommandLine, terminal: Callable[..., object]) -> None:
    shown = terminal("demo")
    assert shown.wait() == 0  # type: ignore[attr-defined]
    assert b"\x1b[32m$ brokercli local start" in shown.screen  # type: ignore[attr-defined]


def test_a_reader_that_leaves_ends_the_story_quietly(local: CommandLine) -> None:
    demo = local.start("demo")
    assert demo.stdout is not None
    demo.stdout.readline()
    demo.stdout.close()
    demo.stdout = None
    ended = local.finish(demo)
    assert ended.code == 141
    assert "Traceback" not in ended.stderr
