"""`brokercli describe`: one thing, explained; nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.commandline import CommandLine
from tests.commands.conftest import Place


def test_a_place_is_explained_for_people_and_programs(cli: CommandLine, place: Place) -> None:
    ended = cli("describe", place.url, "-o", "json")
    assert ended.code == 0, ended.stderr
    described = json.loads(ended.stdout)
    assert described["name"] == place.name
    assert described["facts"]
    table = cli("describe", place.url)
    assert table.code == 0
    assert place.name in table.stdout.decode().splitlines()[0]


def test_a_description_fits_a_narrow_terminal(place: Place, terminal: Callable[..., object]) -> None:
    shown = terminal("describe", place.url, columns=40)
    assert shown.wait() == 0  # type: ignore[attr-defined]
    assert place.name.encode() in shown.screen  # type: ignore[attr-defined]


def test_a_thing_that_does_not_exist_exits_with_1(cli: CommandLine, kafka_address: str, unique: Callable[[str], str]) -> None:
    ended = cli("describe", f"kafka://{kafka_address}/{unique('nothing')}")
    assert (ended.code, ended.stdout) == (1, b"")
    assert "There is no topic" in ended.stderr


def test_a_form_of_output_that_does_not_exist_is_refused(cli: CommandLine) -> None:
    assert cli("describe", "orders", "--context", "kafka://127.0.0.1:1", "-o", "xml").code == 2
