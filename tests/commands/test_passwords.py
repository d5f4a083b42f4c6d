"""A password in a URL is in nothing that is printed, and in no file that is written: wherever the URL stands, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.brokers.kafka import PASSWORD, USER
from tests.brokers.server import HOST
from tests.commandline import CommandLine
from tests.commands.conftest import Place

SECRET = "s3cretpw"
URL = f"amqp://u:{SECRET}@{HOST}:1/%2F"


@pytest.mark.parametrize("words", [
    (URL,), ("dlq", URL), ("consumers", URL), ("topology", URL), ("declare", URL), ("local", "start", URL), ("demo", URL), ("help", URL), ("brokers", URL),
    ("completion", URL), ("dlq", "ls", URL), ("topology", "plan", URL), ("context", "rm", URL), ("context", "add", URL, "--url", "nats://h"),
    ("publish", "x", "--rate", URL), ("publish", f"nats://{HOST}:1/x", "-f", URL), ("replay", f"nats://{HOST}:1/x", "--from", URL),
    ("publish", "x", "-o", URL), ("tail", "x", "-n", URL),
], ids=" ".join)
def test_a_url_where_none_belongs_is_not_repeated_with_its_password(cli: CommandLine, words: tuple[str, ...]) -> None:
    for more in ((), ("-o", "json")):
        ended = cli(*words, *more)
        assert ended.code not in (0, 141)
        assert SECRET not in f"{ended.stdout!r}{ended.stderr}"
        # a box in which typer says it may break the line anywhere
        assert ended.stderr


SPACED, HALF = f"nats://u:my {SECRET}@{HOST}:1/x", f"nats:/u:{SECRET}@{HOST}:1/x"


@pytest.mark.parametrize("words", [
    (SPACED,), ("tail", *SPACED.split()), ("tail", "x", "--from", SPACED), ("tail", "x", f"--from={SPACED}"), ("tail", "x", "-n", SPACED),
    ("tail", "x", "--timeout", SPACED), ("publish", "x", "--file", SPACED), ("topology", "plan", SPACED), ("tail", "x", "-o", SPACED), (HALF,),
    ("tail", HALF), ("tail", f"u:{SECRET}@{HOST}/x"), ("tail", "x", "-c", HALF), ("dlq", "ls", HALF, "-c", "local"), ("tail", "x", "-n", HALF),
    ("context", "use", HALF),
], ids=" ".join)
def test_a_login_is_not_repeated_where_it_makes_no_url(cli: CommandLine, words: tuple[str, ...]) -> None:
    for more in ((), ("-o", "json")):
        ended = cli(*words, *more)
        assert ended.code == 2, ended.stderr
        # typer's box may break the line anywhere
        assert SECRET[:5] not in f"{ended.stdout!r}{ended.stderr}"
    named = cli("tail", "x", extra={"BROKERCLI_CONTEXT": HALF})
    assert (named.code, SECRET in named.stderr) == (2, False)


@pytest.fixture(params=[pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("nats", marks=pytest.mark.nats)])
def with_password(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> tuple[Place, str, str]:
    """A place, its broker's URL with a login in it, and the password; a NATS without users takes any."""
    place = make_place(request.param)
    if place.broker == "nats":
        return place, place.server.replace("://", f"://u:{SECRET}@"), SECRET
    return place, f"kafka://{USER}:{PASSWORD}@{request.getfixturevalue('kafka_login_address')}", PASSWORD


def test_what_works_and_what_does_not_leaves_no_password_anywhere(cli: CommandLine, with_password: tuple[Place, str, str],
                                                                 make_place: Callable[..., Place]) -> None:
    place, server, password = with_password
    elsewhere = f"{server}/{make_place(place.broker).name}"
    dead = place.name if place.broker == "kafka" else f"stream:{place.name.partition('.')[0]}"
    address, letters, away = f"{server}/{place.name}", f"{server}/{dead}", f"{server.rpartition(':')[0]}:1/{place.name}"
    commands: list[tuple[int, tuple[str, ...]]] = [
        (0, ("publish", address, "one", "--receipts", "--report", "published.json")),
        (0, ("replay", address, "-o", "json")), (0, ("replay", address, "--to", address, "--resume", "journal", "--report", "replayed.json")),
        (5, ("replay", address, "--to", away, "--connect-timeout", "1")), (0, ("describe", address)), (0, ("dlq", "inspect", letters)),
        (8, ("dlq", "redrive", letters, "--to", elsewhere, "--dry-run")),
        (0, ("dlq", "redrive", letters, "--to", elsewhere, "--yes", "--report", "redriven.json")),
        (2, ("dlq", "park", letters, "--to", away, "--yes", "--connect-timeout", "1")), (0, ("dlq", "export", "-", letters)), (0, ("doctor", server)),
        (0, ("topology", "plan", "topology.toml", "--context", server)), (1, ("consumers", "lag", address)),
        (5, ("publish", away, "x", "--connect-timeout", "1"))]
    (cli.home / "topology.toml").touch()
    for code, words in commands:
        ended = cli(*words)
        assert ended.code == code, (words, ended.stderr)
        assert password not in f"{ended.stdout!r}{ended.stderr}", words
    assert {"published.json", "replayed.json", "journal", "redriven.json"} <= {file.name for file in cli.home.iterdir()}
    for file in cli.home.rglob("*"):
        assert not file.is_file() or password.encode() not in file.read_bytes(), file
