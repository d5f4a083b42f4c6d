"""`brokercli tail`: new messages as they come; signals, pipes and limits end it the way scripts expect."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import orjson
import pytest

from tests.brokers.kafka import Kafka
from tests.commandline import PATIENCE, CommandLine, Terminal
from tests.commands.conftest import Place, make_kafka
from tests.terminal.test_stalled_reader import wait_until_full

OSC_52 = "\x1b]52;c;ZXZpbA==\x07[/] [link=http://x]y\u202e"


def test_it_prints_what_arrives_after_it_started_and_stops_at_its_limit(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "before").code == 0
    follower = cli.start("tail", place.url, "-n", "2", "--timeout", "50s")
    assert follower.stdout is not None
    # there is no word on when a tail has begun; publishing until something shows is what a user sees
    for number in range(200):
        assert cli("publish", place.url, stdin=b"new %d\n" % number).code == 0
        if follower.poll() is not None:
            break
    ended = cli.finish(follower)
    assert ended.code == 0, ended.stderr
    assert len(ended.lines) == 2
    assert all(line.startswith(b"new ") for line in ended.lines)


def test_until_end_begins_at_the_start_and_ends(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, stdin=b"1\n2\n3\n").code == 0
    assert cli("tail", place.url, "-e").lines == [b"1", b"2", b"3"]
    assert cli("tail", place.url, "--from", "-2", "-e").lines == [b"2", b"3"]


def test_it_ends_once_its_reader_has_gone_though_nothing_more_comes(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "only").code == 0
    follower = cli.start("tail", place.url, "--from", "start", stderr=subprocess.DEVNULL)
    assert follower.stdout is not None
    assert os.read(follower.stdout.fileno(), 100) == b"only\n"  # as by: brokercli tail … | head -1
    follower.stdout.close()
    assert follower.wait(PATIENCE) == 141


@pytest.mark.parametrize(("arguments", "bodies"), [
    (("--grep", "beta"), [b'{"name":"beta","n":2}']),
    (("--grep", "/n.:[13]/"), [b'{"name":"alpha","n":1}', b'{"name":"gamma","n":3}']),
    (("--header", "kind=odd"), [b'{"name":"alpha","n":1}', b'{"name":"gamma","n":3}']),
    (("--where", "value.n > 1 && value.name != 'beta'"), [b'{"name":"gamma","n":3}']),
    (("--where", "value.missing == 1"), []),
])
def test_only_what_matches_is_printed(cli: CommandLine, place: Place, arguments: tuple[str, ...], bodies: list[bytes]) -> None:
    for name, number in (("alpha", 1), ("beta", 2), ("gamma", 3)):
        assert cli("publish", place.url, f'{{"name":"{name}","n":{number}}}', "-H", f"kind={'odd' if number % 2 else 'even'}").code == 0
    ended = cli("tail", place.url, "-e", *arguments)
    assert (ended.code, ended.lines) == (0, bodies)
    assert cli("tail", place.url, "-e", "--fail-if-empty", *arguments).code == (0 if bodies else 9)


def test_a_filter_that_cannot_be_read_is_said_before_anything_is_read(cli: CommandLine, place: Place) -> None:
    for arguments in (("--where", "value.n >"), ("--grep", "/(/")):
        ended = cli("tail", place.url, "-e", *arguments)
        assert (ended.code, ended.stdout) == (2, b"")
        assert "Traceback" not in ended.stderr


def test_idle_timeout_ends_with_0_and_timeout_with_124(cli: CommandLine, place: Place) -> None:
    idle = cli("tail", place.url, "-n", "1", "--idle-timeout", "300ms")
    assert idle.code == 0
    assert "--idle-timeout is over: 0 records of " in idle.stderr
    assert "is over" not in cli("tail", place.url, "--idle-timeout", "300ms", "-q").stderr
    late = cli("tail", place.url, "--timeout", "300ms")
    assert late.code == 124
    assert "--timeout is over: 0 records of " in late.stderr
    assert cli("tail", place.url, "--timeout", "300ms", "-q").stderr == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_its_code_and_without_a_traceback(cli: CommandLine, place: Place, number: int, code: int) -> None:
    assert cli("publish", place.url, "x").code == 0
    process = cli.start("tail", place.url, "--from", "start")
    assert process.stdout is not None
    assert process.stdout.readline() == b"x\n"
    process.send_signal(number)
    ended = cli.finish(process)
    assert ended.code == code
    assert "Traceback" not in ended.stderr


def test_one_signal_ends_it_also_while_its_reader_takes_nothing(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, stdin=b"".join(b"%099d\n" % number for number in range(3000))).code == 0
    process = cli.start("replay", place.url)
    assert process.stdout is not None
    wait_until_full(process.stdout.fileno())
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    ended = cli.finish(process)
    assert (ended.code, ended.stderr) == (143, "")
    assert ended.lines == [b"%099d" % number for number in range(len(ended.lines))]
    assert 0 < len(ended.lines) < 3000


def test_nothing_dangerous_reaches_a_terminal_and_a_pipe_gets_the_bytes(cli: CommandLine, terminal: Callable[..., Terminal], place: Place) -> None:
    assert cli("publish", place.url, OSC_52, "-H", "x=\x1b[2J", *(["-k", "\x1b]0;t\x07"] if place.broker == "kafka" else [])).code == 0
    shown = terminal("tail", place.url, "-e", extra={"NO_COLOR": "1"})
    assert shown.wait() == 0
    assert b"\x1b]" not in shown.screen
    assert b"\x07" not in shown.screen
    assert "\u202e".encode() not in shown.screen
    assert rb"\x1b]52;c;ZXZpbA==\x07[/] [link=http://x]y" in shown.screen.replace(b"\r\n", b"")
    assert cli("tail", place.url, "-e").lines == [OSC_52.encode()]


def test_formats_have_the_verbs_of_kcl_and_raw_adds_nothing(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "abc", "-H", "a=b").code == 0
    assert cli("tail", place.url, "-e", "-f", r"%v|%V|%v{hex}|%h\n").stdout == b"abc|3|616263|a=b\n"
    assert cli("tail", place.url, "-e", "-o", "raw").stdout == b"abc"
    ended = cli("tail", place.url, "-e", "-f", "%Q")
    assert (ended.code, ended.stdout) == (2, b"")


def test_what_does_not_exist_is_said_with_what_to_type_next(cli: CommandLine, place: Place) -> None:
    ended = cli("tail", f"{place.server}/{'stream' if place.broker != 'kafka' else 'topic'}:no-such-thing", "--timeout", "50s")
    assert (ended.code, ended.stdout) == (1, b"")
    assert "no-such-thing" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_envelopes_of_a_tail_are_one_json_object_a_line(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, stdin=b"a\nb\n").code == 0
    lines = cli("tail", place.url, "-e", "-o", "json").lines
    assert [orjson.loads(line)["body"] for line in lines] == ["a", "b"]
    assert {orjson.loads(line)["broker"] for line in lines} == {place.broker}


def test_a_tail_that_printed_and_was_to_end_when_nothing_comes_says_nothing(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "x").code == 0
    ended = cli("tail", place.url, "--from", "start", "--idle-timeout", "2s")
    assert (ended.code, ended.lines, "is over" in ended.stderr) == (0, [b"x"], False)
    assert "--idle-timeout is over: 1 record of " in cli("tail", place.url, "--from", "start", "-n", "5", "--idle-timeout", "2s").stderr


def test_what_there_is_to_tell_of_a_wait_is_told_while_it_lasts(cli: CommandLine, private_kafka: Kafka, unique: Callable[[str], str]) -> None:
    place = make_kafka(private_kafka.address, unique("frozen"))
    assert cli("publish", place.url, "before").code == 0
    follower = cli.start("tail", place.url, "--from", "start")
    assert follower.stdout is not None
    assert follower.stderr is not None
    assert follower.stdout.readline() == b"before\n"
    private_kafka.pause()
    try:
        assert b"no leader of " in follower.stderr.readline()
    finally:
        private_kafka.resume()
    follower.send_signal(signal.SIGINT)
    assert cli.finish(follower).code == 130
