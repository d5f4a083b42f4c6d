"""`brokercli replay --resume` where the source was deleted and made anew: its numbers count other messages now."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from brokercli.model.address import Address
from tests.backends.kafka_topics import Topics
from tests.commandline import CommandLine, Ended
from tests.commands.conftest import Place, make_kafka, make_nats, make_rabbitmq, unmake

TELLING = [pytest.param(broker, marks=getattr(pytest.mark, broker)) for broker in ("kafka", "nats")]
"""The brokers that tell what was made anew from what was there before. On RabbitMQ it shows where there is less of it, or something else."""


def make_anew(place: Place) -> None:
    """Delete a topic or stream and make it once more."""
    if place.broker == "nats":
        unmake(place)
        make_nats(place.server, place.name.partition(".")[0])
        return
    if place.broker == "rabbitmq":
        unmake(place)
        make_rabbitmq(place.server, place.name)
        return
    topics = Topics(urlsplit(place.server).netloc)
    topics.delete(Address(place.name, "topic"))
    make_kafka(urlsplit(place.server).netloc, place.name)
    topics.close()


def publish(cli: CommandLine, place: Place, *bodies: str) -> None:
    ended = cli("publish", place.url, stdin="".join(f"{body}\n" for body in bodies).encode())
    assert ended.code == 0, ended.stderr


def copy(cli: CommandLine, source: Place, target: Place, *options: str) -> Ended:
    return cli("replay", source.url, "--to", target.url, "--resume", "journal", *options)


def bodies(cli: CommandLine, place: Place) -> list[bytes]:
    return cli("replay", place.url).lines


@pytest.mark.parametrize("broker", [*TELLING, pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["finished", "unfinished"])
def test_a_journal_of_what_was_there_before_is_refused_and_another_takes_everything(
        cli: CommandLine, make_place: Callable[..., Place], broker: str, options: tuple[str, ...]) -> None:
    source, target = make_place(broker), make_place(broker)
    publish(cli, source, "1", "2", "3")
    assert copy(cli, source, target, *options).code == 0
    make_anew(source)
    publish(cli, source, "4", "5", "6", "7")
    refused = copy(cli, source, target)
    assert refused.code == 2, refused.stderr
    assert "was deleted and made anew since the journal journal was begun" in refused.stderr
    assert "a journal of its own" in refused.stderr
    before = [b"1", b"2"] if options else [b"1", b"2", b"3"]
    assert bodies(cli, target) == before
    ended = copy(cli, source, target, "--resume", "another")
    assert ended.code == 0, ended.stderr
    assert bodies(cli, target) == [*before, b"4", b"5", b"6", b"7"]


@pytest.mark.rabbitmq
@pytest.mark.parametrize(("options", "there", "code", "said"), [
    ((), ("4", "5"), 1, "holds the offsets 0 to 1; 3 is not among them"), (("-n", "2"), (), 1, "is empty, and its next offset is 0; 2 was asked for"),
    (("-n", "2"), ("4", "5"), 2, "was deleted and made anew since the journal journal was begun")])
def test_a_rabbitmq_stream_that_ends_before_what_the_journal_was_begun_for_is_another_one(
        cli: CommandLine, make_place: Callable[..., Place], options: tuple[str, ...], there: tuple[str, ...], code: int, said: str) -> None:
    source, target = make_place("rabbitmq"), make_place("rabbitmq")
    publish(cli, source, "1", "2", "3")
    assert copy(cli, source, target, *options).code == 0
    make_anew(source)
    if there:
        publish(cli, source, *there)
    refused = copy(cli, source, target)
    assert refused.code == code, refused.stderr
    assert said in refused.stderr
    assert bodies(cli, target) == ([b"1", b"2"] if options else [b"1", b"2", b"3"])


@pytest.mark.parametrize("broker", TELLING)
def test_a_journal_that_says_nothing_of_it_goes_on_and_says_it_from_then_on(cli: CommandLine, make_place: Callable[..., Place], broker: str) -> None:
    source, target = make_place(broker), make_place(broker)
    publish(cli, source, "1", "2", "3")
    assert copy(cli, source, target, "-n", "2").code == 0
    journal = cli.home / "journal"
    journal.write_text("".join(line for line in journal.read_text().splitlines(keepends=True) if "incarnation" not in line))
    ended = copy(cli, source, target)
    assert ended.code == 0, ended.stderr
    assert bodies(cli, target) == [b"1", b"2", b"3"]
    make_anew(source)
    assert copy(cli, source, target).code == 2


def test_a_copy_that_is_complete_says_so(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    publish(cli, place, "meant 1", "meant 2", "meant 3", "4")
    first = copy(cli, place, target, "--grep", "meant")
    assert first.code == 0, first.stderr
    assert "left to copy" not in first.stderr
    publish(cli, place, "meant 5")
    again = copy(cli, place, target, "--grep", "meant", "--report", "report")
    assert again.code == 0, again.stderr
    assert "nothing was left to copy: 3 messages were delivered by earlier runs" in again.stderr
    assert json.loads((cli.home / "report").read_bytes())["confirmed"] == 0
    assert "left to copy" not in copy(cli, place, target, "--grep", "meant", "--quiet").stderr


@pytest.mark.rabbitmq
def test_a_journal_whose_next_message_is_not_stored_any_more_says_so_and_what_is(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    source, target = make_place("rabbitmq"), make_place("rabbitmq")
    publish(cli, source, "1", "2", "3")
    assert copy(cli, source, target, "-n", "2").code == 0
    make_anew(source)
    publish(cli, source, "4")
    refused = copy(cli, source, target)
    assert refused.code == 1, refused.stderr
    assert "The copy of the journal journal goes on behind what it delivered last, and that is not stored" in refused.stderr
    assert "holds the offsets 0 to 0; 2 is not among them" in refused.stderr
    assert "another --resume FILE begins another copy" in refused.stderr
    assert "--from" not in refused.stderr
