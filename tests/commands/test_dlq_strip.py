"""`dlq redrive --strip`: headers that would make the next failure the last are taken off as well, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.commandline import CommandLine
from tests.commands.dead_letters import Graveyard


def names_at_home(cli: CommandLine, graveyard: Graveyard) -> list[list[str]]:
    """Return the names of the headers of what lies at home, but for those of brokers and of brokercli."""
    look = ("dlq", "export", "-", graveyard.home.url) if graveyard.home.broker == "rabbitmq" else ("replay", graveyard.home.url, "-o", "json")
    ended = cli(*look)
    assert ended.code == 0, ended.stderr
    return [[header["name"] for header in orjson.loads(line)["headers"] if not header["name"].startswith(("x-brokercli-", "Nats-"))] for line in ended.lines]


def test_it_takes_off_what_it_names_and_nothing_else(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b", tries="3", job_tries_left="0")
    plan = cli("dlq", "redrive", graveyard.url, "--strip", "tries", "--strip", "job-*")
    assert (plan.code, "tries (2)" in plan.stderr, "job-tries-left (2)" in plan.stderr) == (8, True, True)
    done = cli("dlq", "redrive", graveyard.url, "--strip", "tries", "--strip", "job-*", "--yes")
    assert done.code == 0, done.stderr
    assert names_at_home(cli, graveyard) == [["x-tenant"]] * 2


def test_a_plan_names_what_a_consumer_may_count_its_tries_in_until_it_is_taken_off(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", retry_count="3", tries="1")
    plan = cli("dlq", "redrive", graveyard.url)
    assert "\nretry-count goes back as it was: whoever counts tries there takes the next failure for the last; --strip retry-count takes it off" in plan.stderr
    assert orjson.loads(cli("dlq", "redrive", graveyard.url, "-o", "json").stdout)["counters"] == ["retry-count"]
    assert "goes back as it was" not in cli("dlq", "redrive", graveyard.url, "--strip", "retry-count").stderr


def test_without_it_they_stay(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", tries="3")
    assert cli("dlq", "redrive", graveyard.url, "--yes").code == 0
    assert [sorted(names) for names in names_at_home(cli, graveyard)] == [["tries", "x-tenant"]]


def test_it_holds_for_letters_out_of_a_file_and_for_another_place(cli: CommandLine, graveyard: Graveyard, tmp_path: Path) -> None:
    graveyard.bury("a", tries="3")
    assert cli("dlq", "export", str(tmp_path / "letters"), graveyard.url).code == 0
    cli.extra["BROKERCLI_URL"] = graveyard.home.server
    out_of = cli("dlq", "redrive", "--from-file", str(tmp_path / "letters"), "--strip", "tries", "--yes")
    assert out_of.code == 0, out_of.stderr
    to = cli("dlq", "redrive", graveyard.url, "--to", graveyard.home.url, "--strip", "t?ies", "--yes")
    assert to.code == 0, to.stderr
    assert names_at_home(cli, graveyard) == [["x-tenant"]] * 2
