"""Completion: the scripts, the answers to a TAB, and a real bash that uses both."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from brokercli.commands.app import COMMANDS, build
from brokercli.commands.completion_scripts import SCRIPTS
from brokercli.commands.shell_words import spell, split_line
from tests.commandline import CommandLine, environment
from tests.commands.conftest import Place

Answer = TypeVar("Answer")


def words(cli: CommandLine, line: str) -> list[str]:
    """Return what can follow on a line."""
    answer = cli("__complete", "fish", line)
    assert (answer.code, answer.stderr) == (0, "")
    first, *candidates = answer.stdout.decode().splitlines()
    assert first == "words"
    return [candidate.partition("\t")[0] for candidate in candidates]


def live_words(cli: CommandLine, line: str, wanted: list[str]) -> list[str]:
    """Press TAB again and again until what is wanted is offered, as a user does where a busy machine took longer than one waits.
    Returns the last answer."""
    return pressed_until(lambda: words(cli, line), lambda offered: offered == wanted)


def pressed_until(press: Callable[[], Answer], enough: Callable[[Answer], bool]) -> Answer:
    """Press TAB until the answer will do, and return the last one: what is not known within a second is not waited for, broker or not."""
    deadline = time.monotonic() + 60
    while not enough(answer := press()) and time.monotonic() < deadline:
        pass
    return answer


def offers_files(cli: CommandLine, line: str) -> bool:
    """Whether a shell is told to complete files there."""
    return pressed_until(lambda: cli("__complete", "fish", line).stdout, lambda answer: answer == b"files\n") == b"files\n"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_of_every_shell_is_printed_to_standard_output(cli: CommandLine, shell: str) -> None:
    ended = cli("completion", shell)
    assert (ended.code, ended.stdout.decode(), ended.stderr) == (0, SCRIPTS[shell], "")


def test_a_shell_that_is_not_known_is_refused_and_nothing_is_printed(cli: CommandLine) -> None:
    ended = cli("completion", "tcsh")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "tcsh" in ended.stderr


def test_bash_takes_the_script_as_it_is() -> None:
    subprocess.run(["bash", "-n"], input=SCRIPTS["bash"].encode(), check=True)


def test_commands_options_and_choices_are_offered(cli: CommandLine) -> None:
    for line, wanted in (("brokercli ", list(COMMANDS)), ("brokercli ta", ["tail"]), ("cat x | sudo brokercli comp", ["completion"]),
                         ("brokercli tail --output ", ["auto", "json", "raw", "bodies"]), ("brokercli tail --output=j", ["--output=json"]),
                         ("brokercli context ", ["add", "use", "ls", "show", "rm"]), ("brokercli help exit", ["exit-codes"]),
                         ("brokercli help top", ["topologies", "topology"]),
                         ("brokercli completion z", ["zsh"]), ("brokercli nonsense ", [])):
        assert live_words(cli, line, wanted) == wanted
    options = {"--from", "--limit", "--output"}
    assert options <= set(pressed_until(lambda: words(cli, "brokercli tail --"), lambda offered: options <= set(offered)))


def test_files_are_left_to_the_shell(cli: CommandLine) -> None:
    assert offers_files(cli, "brokercli publish orders -f ")
    assert offers_files(cli, "brokercli context add x --password-file ./")


@pytest.mark.parametrize("line", ["brokercli tail --", "brokercli ", "brokercli context use ", "brokercli tail -o "])
def test_a_tab_that_needs_no_broker_loads_no_client_and_nothing_for_screens(cli: CommandLine, line: str) -> None:
    code = (f"import sys; from brokercli.commands.run import run; error = sys.stderr; run(['__complete', 'zsh', {line!r}]);"
            "print(sorted({'confluent_kafka', 'nats', 'pika', 'asyncio', 'rich', 'orjson', 'importlib.metadata', 'tomlkit'} & set(sys.modules)))")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(cli.home), check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_contexts_are_offered_by_name_and_as_addresses(cli: CommandLine) -> None:
    for name in ("staging", "prod"):
        assert cli("context", "add", name, "--url", "nats://127.0.0.1:1").code == 0
    for line, wanted in (("brokercli tail orders --context s", ["staging"]), ("brokercli context use ", ["local", "prod", "staging"]),
                         ("brokercli tail @", ["@local/", "@prod/", "@staging/"])):
        assert live_words(cli, line, wanted) == wanted


def test_wherever_an_address_is_wanted_addresses_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.commands.completing_names.addresses", lambda incomplete, context_name: [(f"{incomplete}ders", "topic")])

    def unaided(command: Any) -> list[str]:
        wanted = [parameter for parameter in command.params if (parameter.metavar or "").strip("[]") in ("ADDRESS", "DLQ")]
        own = [f"{command.name} {parameter.name}" for parameter in wanted
               if [item.value for item in parameter.shell_complete(typer.Context(command), "or")] != ["orders"]]
        return own + [one for child in getattr(command, "commands", {}).values() for one in unaided(child)]

    # a context's dead letters lie on a broker that is not known yet
    assert unaided(typer.main.get_command(build())) == ["add dlq"]


def test_names_and_kinds_on_the_broker_are_offered_live(cli: CommandLine, place: Place, request: pytest.FixtureRequest) -> None:
    management = ("--management", request.getfixturevalue("rabbitmq_management")) if place.broker == "rabbitmq" else ()
    kind = {"kafka": "topic", "nats": "stream", "rabbitmq": "stream"}[place.broker]
    name = place.name.partition(".")[0]
    assert cli("context", "add", "here", "--url", place.server, *management).code == 0
    for line, wanted in ((f"brokercli tail --context here {name[:-2]}", [name]), (f"brokercli describe -c here {kind}:{name[:-2]}", [f"{kind}:{name}"]),
                         (f"brokercli tail @here/{name[:-2]}", [f"@here/{name}"]), (f"brokercli tail -c here {kind[:-2]}", [f"{kind}:"])):
        assert live_words(cli, line, wanted) == wanted


@pytest.fixture
def mute() -> Iterator[int]:
    """Return a port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("scheme", ["kafka", "nats", "amqp"])
def test_a_broker_that_is_away_or_mute_is_silently_nothing(cli: CommandLine, mute: int, scheme: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name, port in (("away", closed.getsockname()[1]), ("mute", mute)):
            assert cli("context", "add", name, "--url", f"{scheme}://127.0.0.1:{port}").code == 0
            assert words(cli, f"brokercli tail -c {name} ord") == []


def test_the_local_broker_is_not_started_by_a_tab(cli: CommandLine) -> None:
    assert cli("context", "use", "local").code == 0
    assert words(cli, "brokercli tail ord") == []
    assert cli("local", "status").code == 1


def test_nobody_is_asked_and_no_slow_password_command_is_waited_for(cli: CommandLine) -> None:
    assert cli("context", "add", "slow", "--url", "nats://127.0.0.1:1", "--user", "a", "--password-command", "sleep 600").code == 0
    began = time.monotonic()
    assert words(cli, "brokercli tail -c slow ord") == []
    assert time.monotonic() - began < 60  # far from 600, whatever the machine does meanwhile


def test_a_broken_configuration_is_silently_nothing(cli: CommandLine) -> None:
    path = cli.home / "config_home" / "brokercli" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("][")
    assert words(cli, "brokercli tail ord") == []
    assert words(cli, "brokercli tail --context ") == []
    assert live_words(cli, "brokercli ta", ["tail"]) == ["tail"]


@given(st.lists(st.text(st.characters(blacklist_characters="\x00\n", blacklist_categories=["Cs"]), min_size=1), min_size=1, max_size=4))
def test_a_line_is_split_as_a_shell_would(parts: list[str]) -> None:
    quoted = " ".join("'" + part.replace("'", "'\\''") + "'" for part in parts)
    assert split_line(f"{quoted} x") == (parts, "x", "")


@pytest.mark.parametrize(("line", "words", "word", "quote"), [
    ("tail '@staging/it''s' x", ["tail", "@staging/it's"], "x", ""), ("tail `@staging/or", ["tail"], "@staging/or", ""),
    ('tail "say ""x""', ["tail"], 'say "x"', '"'), ("tail a\\b c` d 'e`f", ["tail", "a\\b", "c d"], "e`f", "'")])
def test_a_line_of_powershell_is_split_by_its_own_rules(line: str, words: list[str], word: str, quote: str) -> None:
    assert split_line(line, "powershell") == (words, word, quote)


@pytest.mark.parametrize("name", [
    "$(touch owned)", "`touch owned`", "a b", "a;touch owned", "a*", "~root", "it's", 'say "x"', "a\\b", "a&b|c", "#x", "a!b", "{a,b}", "é"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_whatever_a_queue_is_called_bash_reads_it_as_text(tmp_path: Path, name: str, quote: str) -> None:
    answer = spell([(name, "")], False, "bash", "", "", quote).splitlines()[1:]
    for line in answer:  # none where it cannot be written inside that quote
        typed = line.partition("\t")[0]
        read = subprocess.run(["bash", "-c", f"printf %s {quote}{typed}{quote}"], capture_output=True, cwd=tmp_path, check=True)
        assert read.stdout.decode() == name
    assert answer or quote
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(("name", "begun"), [("a b", "a "), ("a b c", "a b "), ("a$b", "a$"), ('say "x"', 'say "'), ("queue:a b", "queue:a ")])
def test_bash_gets_the_whole_of_a_name_that_is_begun_inside_a_quote(name: str, begun: str, quote: str) -> None:
    typed = spell([(begun, "")], False, "bash", "", "", quote).splitlines()[1].partition("\t")[0]
    # bash says what stands behind the quote, and puts a candidate in the place of that
    assert split_line(f"brokercli tail {quote}{typed}") == (["brokercli", "tail"], begun, quote)
    offered = spell([(name, "")], False, "bash", begun, typed, quote).splitlines()[1].partition("\t")[0]
    read = subprocess.run(["bash", "-c", f"printf %s {quote}{offered}{quote}"], capture_output=True, check=True)
    assert read.stdout.decode() == name


def test_a_name_that_would_be_read_as_an_option_is_offered_with_its_kind() -> None:
    from brokercli.commands.completing_names import _bare

    assert [_bare(name) for name in ("-n", "--yes", "o-k")] == [False, False, True]


def test_an_explanation_is_the_first_sentence_of_the_help_and_says_something_by_itself(cli: CommandLine) -> None:
    lines = pressed_until(lambda: cli("__complete", "zsh", "brokercli dlq inspect --").stdout.decode().splitlines(), lambda answer: len(answer) > 5)
    explained = dict(line.split("\t") for line in lines[1:])
    assert explained["--output"] == "table, or json: one object a line"
    assert explained["--lift-limit"].startswith("RabbitMQ: have a quorum queue")
    assert explained["--reason"].startswith("Only letters that died of this: ")


def test_names_that_would_steer_a_terminal_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    from brokercli.commands import completing

    monkeypatch.setattr(completing, "candidates", lambda words, incomplete: [("a\x1b]0;x\x07", ""), ("b\nc", ""), ("d\u202e", ""), ("e", "")])
    found: list[tuple[str, str]] = []
    completing._work([], "", found, [])
    assert found == [("e", "")]


class Bash:
    """An interactive bash on a terminal, with our completion loaded."""

    def __init__(self, home: Path) -> None:
        programs = home / "bin"
        programs.mkdir()
        (programs / "brokercli").write_text(f'#!/bin/sh\nexec {sys.executable} -m brokercli "$@"\n')
        (programs / "brokercli").chmod(0o755)
        variables = environment(home) | {"PATH": f"{programs}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "READY "}
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self._process = subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=slave, stdout=slave, stderr=slave, env=variables, cwd=home,
                                         start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        # a TAB too many lists what there is; it must not ask, and take the next keys for the answer
        self.press("bind 'set completion-query-items 0'; bind 'set page-completions off'; echo BOUND-$((1+1))\n", "BOUND-2")
        self.press("source <(brokercli completion bash); echo LOADED-$((1+1))\n", "LOADED-2")

    def press(self, keys: str, expected: str) -> None:
        """Press keys and wait until what is expected is shown. A last TAB is pressed again where nothing came of it."""
        os.write(self._master, keys.encode())
        shown, pressed, deadline = b"", time.monotonic(), time.monotonic() + 60
        while expected.encode() not in shown and time.monotonic() < deadline:
            if select.select([self._master], [], [], 0.2)[0]:
                # for a TAB that nothing came of it rings, in the midst of the line
                shown += os.read(self._master, 65536).replace(b"\a", b"")
            elif keys.endswith("\t") and time.monotonic() - pressed > 2:
                os.write(self._master, b"\t")
                pressed = time.monotonic()
        assert expected.encode() in shown, shown

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def bash(cli: CommandLine) -> Iterator[Bash]:
    """Return a bash in the home of `cli`."""
    opened = Bash(cli.home)
    yield opened
    opened.close()


@pytest.mark.kafka
def test_a_real_bash_completes_across_its_own_word_breaks(cli: CommandLine, bash: Bash, make_place: Callable[[str], Place]) -> None:
    place = make_place("kafka")
    topic = place.name
    assert cli("context", "add", "broker", "--url", place.server, "--use").code == 0
    clear, cut = "\x15", topic[:-3]
    bash.press("brokercli ta\t", "brokercli tail ")
    bash.press(f"{clear}brokercli tail topi\t", "brokercli tail topic:")
    bash.press(f"{clear}brokercli tail {cut}\t", f"brokercli tail {topic} ")
    bash.press(f"{clear}brokercli tail topic:{cut}\t", f"brokercli tail topic:{topic} ")
    bash.press(f"{clear}brokercli tail @bro\t", "brokercli tail @broker/")
    bash.press(f"{clear}brokercli tail @broker/topic:{cut}\t", f"brokercli tail @broker/topic:{topic} ")
    bash.press(f"{clear}brokercli tail x --output=js\t", "--output=json ")
    bash.press(f"{clear}brokercli publish x -f bi\t", "-f bin/")


def test_settings_of_the_chosen_broker_are_offered_without_asking_it(cli: CommandLine) -> None:
    cli.extra["BROKERCLI_URL"] = "kafka://127.0.0.1:1"
    for line, wanted in (("brokercli declare topic orders --set retention", ["retention.ms=", "retention.bytes="]),
                         ("brokercli declare settings to", ["topic"]), ("brokercli declare queue orders --set ", []),
                         ("brokercli declare topic orders -c nats://127.0.0.1:1 --set ", [])):
        assert live_words(cli, line, wanted) == wanted
    for line, setting in (("brokercli declare stream ORDERS -c nats://127.0.0.1:1 --set max", "max_age="),
                          ("brokercli declare consumer ORDERS/worker -c nats://127.0.0.1:1 -s max_d", "max_deliver=")):
        assert setting in pressed_until(lambda line=line: words(cli, line), lambda offered, setting=setting: setting in offered)
    assert offers_files(cli, "brokercli topology plan ./")
