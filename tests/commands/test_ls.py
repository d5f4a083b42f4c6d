"""`brokercli ls`: what there is, and only that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers.memory import Memory
from tests.commandline import CommandLine
from tests.commands.conftest import Place

KINDS = {"kafka": "topic", "nats": "stream", "rabbitmq": "stream"}


@pytest.fixture
def here(cli: CommandLine, place: Place, request: pytest.FixtureRequest) -> Place:
    """Return a place on the broker of the context `here`, which knows where RabbitMQ's management API is."""
    management = ("--management", request.getfixturevalue("rabbitmq_management")) if place.broker == "rabbitmq" else ()
    assert cli("context", "add", "here", "--url", place.server, *management).code == 0
    return place


def names(cli: CommandLine, *arguments: str) -> list[tuple[str, str]]:
    """Return kind and name of what is listed."""
    ended = cli("ls", *arguments, "-o", "json")
    assert ended.code == 0, ended.stderr
    return [(row["kind"], row["name"]) for row in map(json.loads, ended.lines)]


def listed_name(place: Place) -> str:
    """Return what `ls` calls a place: on NATS, the stream behind the subject."""
    return place.name.partition(".")[0]


def test_a_place_is_listed_by_pattern_kind_and_context(cli: CommandLine, here: Place) -> None:
    name, kind = listed_name(here), KINDS[here.broker]
    expected = [(kind, name)]
    assert (kind, name) in names(cli, "--context", "here")
    assert names(cli, f"{name[:-1]}?", "--context", "here") == expected
    assert names(cli, f"{kind}:{name[:-2]}*", "--context", "here") == expected
    assert (kind, name) in names(cli, "@here/")
    assert (kind, name) in names(cli, f"@here/{kind}:")
    assert {found for found, _ in names(cli, f"{kind}:", "--context", "here")} == {kind}


@pytest.mark.nats
def test_a_name_with_brackets_is_listed_by_itself(cli: CommandLine, make_place: Callable[[str], Place]) -> None:
    place = make_place("nats")
    assert cli("publish", f"{place.url}[1]", "hi").code == 0
    assert cli("ls", f"{place.url}[1]", "--fail-if-empty").code == 0


@pytest.mark.kafka
def test_a_broker_is_listed_by_its_url(cli: CommandLine, make_place: Callable[[str], Place]) -> None:
    place = make_place("kafka")
    assert ("topic", place.name) in names(cli, place.server)
    assert names(cli, place.url) == [("topic", place.name)]


def test_counts_are_numbers_and_a_table_has_no_empty_columns(cli: CommandLine, here: Place) -> None:
    for number in range(3):
        assert cli("publish", here.url, f"{number}").code == 0
    name = listed_name(here)
    row = json.loads(cli("ls", name, "--context", "here", "-o", "json").stdout)
    assert row["messages"] is None or row["messages"] <= 3  # RabbitMQ's counters are as old as their last refresh
    table = cli("ls", name, "--context", "here")
    assert (table.code, table.stderr) == (0, "")
    title, line = table.stdout.decode().splitlines()
    assert title.split()[:2] == ["KIND", "NAME"]
    assert line.split()[:2] == [KINDS[here.broker], name]


def test_nothing_of_that_name_is_no_failure_unless_asked(cli: CommandLine, here: Place, unique: Callable[[str], str]) -> None:
    nothing = cli("ls", unique("nothing"), "--context", "here")
    assert (nothing.code, nothing.stdout) == (0, b"")
    assert "nothing of this name" in nothing.stderr
    assert cli("ls", unique("nothing"), "--context", "here", "--fail-if-empty").code == 9


def test_a_broker_that_has_nothing_at_all_is_not_said_to_lack_a_name(cli: CommandLine, tmp_path: Path) -> None:
    empty = Memory(tmp_path / "empty")
    empty.start()
    try:
        for arguments in (("-c", empty.address), (f"{empty.address}/",)):
            assert cli("ls", *arguments).stderr.startswith("nothing there on ")
        assert cli("ls", "queue:", "-c", empty.address).stderr.startswith("nothing of this name on ")
    finally:
        empty.stop()


@pytest.mark.parametrize(("arguments", "words"), [
    (("queue:", "--context", "kafka://127.0.0.1:1"), "Apache Kafka has no queues; it has topics"),
    (("x:", "--context", "kafka://127.0.0.1:1"), "no kind of address"),
    (("orders", "--context", "nowhere"), "There is no context"),
    (("mqtt://h/",), "No broker speaks mqtt://"),
    (("orders", "--context", "nats://h", "-o", "xml"), "xml"),
])
def test_what_is_asked_wrongly_is_refused_before_anything_is_opened(cli: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    ended = cli("ls", *arguments)
    assert (ended.code, ended.stdout) == (2, b"")
    assert words in " ".join(ended.stderr.split())


def test_a_broker_that_is_away_exits_with_5(cli: CommandLine) -> None:
    ended = cli("ls", "--context", "kafka://127.0.0.1:1", "--connect-timeout", "2")
    assert (ended.code, ended.stdout) == (5, b"")


@pytest.mark.parametrize(("limit", "code"), [("2", 5), ("2s", 5), ("1500ms", 5), ("0", 2), ("50ms", 2), ("soon", 2)])
def test_the_time_to_connect_is_written_as_every_other_duration(cli: CommandLine, limit: str, code: int) -> None:
    for ended in (cli("ls", "--context", "kafka://127.0.0.1:1", "--connect-timeout", limit),
                  cli("ls", "--context", "kafka://127.0.0.1:1", extra={"BROKERCLI_CONNECT_TIMEOUT": limit})):
        assert (ended.code, ended.stdout) == (code, b"")
        assert code == 5 or "duration" in ended.stderr
