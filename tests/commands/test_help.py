"""`brokercli help`: every topic, and nothing that the program does not know."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import brokercli
from brokercli.backends.nats import options as nats
from brokercli.backends.rabbitmq import options as rabbitmq
from brokercli.backends.registry import descriptors
from brokercli.commands import help_texts
from brokercli.commands.app import COMMANDS
from brokercli.commands.groups import GROUPS
from brokercli.commands.help_texts import TOPICS, page
from brokercli.model.declaration import KINDS
from brokercli.model.exit_code import ExitCode
from brokercli.settings.schema import CONTEXT_KEYS, TLS_KEYS
from brokercli.settings.topology_file import read_topology
from brokercli.terminal.cells import width_of
from brokercli.terminal.format import VERBS, Format
from tests.commandline import CommandLine, environment
from tests.commandline import command as process


def test_the_topics_are_listed(cli: CommandLine) -> None:
    ended = cli("help")
    assert ended.code == 0
    for name, summary in TOPICS.items():
        assert f"{name}  " in ended.stdout.decode()
        assert summary in ended.stdout.decode()


def test_every_text_is_a_topic() -> None:
    assert {path.stem for path in (Path(help_texts.__file__).parent / "topics").iterdir()} == set(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_is_printed_as_it_stands(cli: CommandLine, topic: str) -> None:
    ended = cli("help", topic)
    assert (ended.code, ended.stdout.decode(), ended.stderr) == (0, page(topic), "")
    assert max(map(len, page(topic).splitlines())) <= 130


def test_every_exit_code_is_explained() -> None:
    for code in ExitCode:
        assert f" {int(code)} " in page("exit-codes")


def test_every_setting_is_named() -> None:
    for key in (*CONTEXT_KEYS, *TLS_KEYS, *nats.OPTIONS.allowed, *rabbitmq.OPTIONS.allowed):
        assert re.search(rf"\b{key}\b", page("contexts")), key


def test_every_variable_that_is_read_is_named() -> None:
    sources = "".join(path.read_text() for path in Path(brokercli.__file__).parent.rglob("*.py"))
    for variable in {"EDITOR", "VISUAL", *re.findall(r"\bBROKERCLI_[A-Z_]+", sources)}:
        assert re.search(rf"\b{variable}\b", page("environment")), variable


def test_the_topology_that_is_shown_can_be_read_by_the_brokers_it_is_for() -> None:
    shown = "\n".join(re.split(r" {4,}", line.removeprefix("  "))[0] for line in page("topologies").splitlines() if line.startswith("  "))
    parts = re.split(r"\n(?=\[+(\w+))", shown[shown.index("[topic"):])
    read = {"topic": "kafka", "stream": "nats", "consumer": "nats", "exchange": "rabbitmq", "queue": "rabbitmq", "binding": "rabbitmq", "retry": "nats"}
    brokers = {descriptor.name: descriptor for descriptor in descriptors()}
    seen = set()
    for kind, text in zip(["topic", *parts[1::2]], parts[::2], strict=True):
        topology = read_topology(text, kind, brokers[read[kind]])
        assert len(topology.declarations) + len(topology.retries) == 1
        seen.add(kind)
    assert seen == set(read)
    assert set(KINDS) <= seen


def test_every_verb_of_a_format_is_explained_and_the_examples_compile() -> None:
    for verb in VERBS:
        assert f"%{verb}  " in page("output")
    for example in (r"%t %p %o %k %v\n", "%d{strftime[%F %T]}", "%h{%k=%v }", r"\n \t \r \0 \\", "%%", "%{"):
        assert example in page("output")
        Format(example)
    numbers = "hex byte big64 big32 big16 big8 little64 little32 little16 little8"
    for verb, modifiers in (("v", "hex base64 base64raw json"), ("o", numbers), ("d", "s ms us ns")):
        for modifier in modifiers.split():
            assert f"{{{modifier}}}" in page("output")
            Format(f"%{verb}{{{modifier}}}")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_on_a_command_is_its_own_help(cli: CommandLine, command: str) -> None:
    if command == "help":
        return
    below = GROUPS[command][1][0:1] if command in GROUPS else ()
    assert cli("help", command, *below).stdout == cli(command, *below, "--help").stdout


@pytest.mark.parametrize("group", [(), *((name,) for name in GROUPS)], ids=lambda words: " ".join(("brokercli", *words)))
def test_help_that_is_asked_for_before_a_command_names_them_all(cli: CommandLine, group: tuple[str, ...]) -> None:
    command = GROUPS[group[0]][1][0] if group else "dlq"
    assert cli(*group, "--help", command).stdout == cli(*group, "--help").stdout


def test_a_topic_that_does_not_exist_is_refused_with_the_nearest(cli: CommandLine) -> None:
    ended = cli("help", "exitcodes")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "did you mean exit-codes?" in ended.stderr
    assert "did you mean exit-codes?" in cli("help", "exit", "codes").stderr


@pytest.mark.parametrize("topic", TOPICS)
def test_on_a_terminal_a_topic_breaks_between_words_and_goes_on_below_its_column(terminal: Callable[..., Any], topic: str) -> None:
    shown = terminal("help", topic, columns=80)
    assert shown.wait() == 0
    lines = shown.screen.decode().replace("\r\n", "\n").splitlines()
    assert [line for line in lines if width_of(line) > 80 and " " in line.strip()] == []  # an envelope stays whole, to be copied
    assert " ".join(lines).split() == page(topic).split()


def test_what_goes_on_is_below_the_text_it_belongs_to(terminal: Callable[..., Any]) -> None:
    shown = terminal("help", "addresses", columns=80)
    assert shown.wait() == 0
    assert (b"  orders.created                 a Kafka topic, a NATS subject, a RabbitMQ\r\n"
            b"                                 queue: whatever the broker calls it\r\n") in shown.screen


@pytest.mark.parametrize("command", ["publish", "tail", "replay", "dlq redrive", "dlq drop", "dlq inspect", "declare topic", "context add", "consumers lag"])
def test_the_help_of_a_command_is_whole_on_a_terminal_of_80_columns(cli: CommandLine, command: str) -> None:
    shown = cli(*command.split(), "--help", extra={"COLUMNS": "80"})
    cut = [line for line in shown.stdout.decode().splitlines() if re.search(r"[^\s,=]… ", line)]
    assert cut == []


def test_the_help_of_a_command_is_printed_in_a_locale_that_lacks_some_of_its_characters(cli: CommandLine) -> None:
    ended = subprocess.run(process(["publish", "--help"]), capture_output=True, env=environment(cli.home, {"PYTHONIOENCODING": "latin-1"}), check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"content_type=?," in ended.stdout


@pytest.mark.parametrize("words", [("--version",), ("-V",), ("--no-color", "--version"), ("-V", "--debug"), ("--version", "ls")])
def test_the_version_is_printed_whatever_stands_beside_it_and_what_keeps_it_from_that_is_said(cli: CommandLine, words: tuple[str, ...]) -> None:
    ended = cli(*words)
    assert (ended.code, ended.stdout, ended.stderr) == (0, f"brokercli {brokercli.__version__}\n".encode(), "")
    with Path("/dev/full").open("wb") as full:
        failed = subprocess.run(process(words), stdout=full, stderr=subprocess.PIPE, env=environment(cli.home), check=False)
    assert (failed.returncode, b"No space left on device" in failed.stderr) == (10, True)


@pytest.mark.parametrize("words", [["tail"], ["nosuch"], ["tail", "x", "--nosuch"]])
def test_a_complaint_about_a_command_line_that_cannot_be_printed_is_2_all_the_same(cli: CommandLine, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(process(words), stderr=full, env=environment(cli.home), check=False)
    assert ended.returncode == 2


@pytest.mark.parametrize("words", [["ls", "--help"], ["--help"], ["tail"]])
def test_help_and_complaints_about_a_command_line_have_no_colours_with_no_color(terminal: Callable[..., Any], words: list[str]) -> None:
    shown = terminal("--no-color", *words)
    shown.wait()
    assert b"Usage" in shown.screen
    assert re.search(rb"\x1b\[[\d;]*3\d", shown.screen) is None
    coloured = terminal(*words)
    coloured.wait()
    assert re.search(rb"\x1b\[[\d;]*3\d", coloured.screen)
