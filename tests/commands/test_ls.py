"""`brokercli ls`: what there is, and only that."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.commandline import CommandLine
from tests.commands.conftest import Place

KINDS = {"kafka": "topic", "nats": "stream", "rabbitmq": "stream"}


def names(cli: CommandLine, *arguments: str) -> list[tuple[str, str]]:
    """Return kind and name of what is listed."""
    ended = cli("ls", *arguments, "-o", "json")
    assert ended.code == 0, ended.stderr
    return [(row["kind"], row["name"]) for row in map(json.loads, ended.lines)]


def listed_name(place: Place) -> str:
    """Return what `ls` calls a place: on NATS, the stream behind the subject."""
    return place.name.partition(".")[0]


def test_a_place_is_listed_by_pattern_kind_context_and_url(cli: CommandLine, place: Place) -> None:
    name, kind = listed_name(place), KINDS[place.broker]
    assert cli("context", "add", "here", "--url", place.server).code == 0
    expected = [(kind, name)]
    assert (kind, name) in names(cli, "--context", "here")
    assert names(cli, f"{name[:-1]}?", "--context", "here") == expected
    assert names(cli, f"{kind}:{name[:-2]}*", "--context", "here") == expected
    assert (kind, name) in names(cli, "@here/")
    assert (kind, name) in names(cli, f"@here/{kind}:")
    assert (kind, name) in names(cli, place.server)
    assert {found for found, _ in names(cli, f"{kind}:", "--context", "here")} == {kind}


def test_counts_are_numbers_and_a_table_has_no_empty_columns(cli: CommandLine, place: Place) -> None:
    for number in range(3):
        assert cli("publish", place.url, f"{number}").code == 0
    name = listed_name(place)
    row = json.loads(cli("ls", name, "--context", place.server, "-o", "json").stdout)
    assert row["messages"] in (3, None)
    table = cli("ls", name, "--context", place.server)
    assert (table.code, table.stderr) == (0, "")
    title, line = table.stdout.decode().splitlines()
    assert title.split()[:2] == ["KIND", "NAME"]
    assert line.split()[:2] == [KINDS[place.broker], name]


def test_nothing_of_that_name_is_no_failure_unless_asked(cli: CommandLine, place: Place, unique: Callable[[str], str]) -> None:
    nothing = cli("ls", unique("nothing"), "--context", place.server)
    assert (nothing.code, nothing.stdout) == (0, b"")
    assert "nothing of this name" in nothing.stderr
    assert cli("ls", unique("nothing"), "--context", place.server, "--fail-if-empty").code == 9


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
