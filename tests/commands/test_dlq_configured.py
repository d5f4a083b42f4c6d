"""Dead letters of a convention of one's own: the configuration names their destination and says which header means what."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pytest

from tests.commandline import CommandLine
from tests.commands.conftest import Place, make_kafka, unmake

DIALECT = """
[dialects.acme]
when = ["acme-origin"]
topic = "acme-origin"
reason = "acme-why"
attempts = "acme-tries"
strip = ["acme-x-*"]
"""


@pytest.fixture
def places(kafka_address: str, cli: CommandLine, unique: Callable[[str], str]) -> Iterator[tuple[Place, Place]]:
    """A home, and a destination of dead letters whose name no framework uses, with two letters; the context says so."""
    name = unique("acme")
    home, graveyard = make_kafka(kafka_address, name), make_kafka(kafka_address, f"{name}.graveyard")
    assert cli("context", "add", "shop", "--url", f"kafka://{kafka_address}", "--use").code == 0
    (path,) = cli.home.rglob("config.toml")
    path.write_text(f'dead_letters = ["{name}.gr*yard"]\n{path.read_text()}{DIALECT}')
    buried = cli("publish", graveyard.name, "-H", f"acme-origin={name}", "-H", "acme-why=late", "-H", "acme-tries=4", "-H", "acme-x-host=h", "-H", "kept=1",
                 stdin=b"a\nb\n")
    assert buried.code == 0, buried.stderr
    yield home, graveyard
    unmake(home)
    unmake(graveyard)


def test_its_letters_are_found_understood_and_put_back_without_what_it_added(cli: CommandLine, places: tuple[Place, Place]) -> None:
    home, graveyard = places
    found = [orjson.loads(line) for line in cli("dlq", "ls", "-o", "json").lines]
    assert (f"topic:{graveyard.name}", 2) in [(row["dlq"], row["pending"]) for row in found]
    (group,) = [orjson.loads(line) for line in cli("dlq", "inspect", graveyard.name, "-o", "json").lines]
    assert (group["dialect"], group["reason"], group["attempts"], group["origin"]) == ("acme", "late", [4, 4], f"topic:{home.name}")
    assert cli("dlq", "redrive", graveyard.name, "--yes").code == 0
    records = [orjson.loads(line) for line in cli("replay", home.name, "-o", "json").lines]
    assert [record["body"] for record in records] == ["a", "b"]
    names = [header["name"] for header in records[0]["headers"]]
    assert "kept" in names
    assert not [name for name in names if name.startswith("acme-")]


def test_a_mistake_in_it_stops_a_redrive_before_anything_is_read_and_no_other_command(cli: CommandLine, places: tuple[Place, Place]) -> None:
    home, graveyard = places
    (path,) = cli.home.rglob("config.toml")
    path.write_text(path.read_text().replace("attempts =", "atempts ="))
    ended = cli("dlq", "redrive", graveyard.name, "--yes")
    assert ended.code == 2
    assert "config.toml:" in ended.stderr
    assert "did you mean attempts?" in ended.stderr
    assert cli("replay", home.name).code == 0
