"""What is said of letters on their way: what does not go along with them, and what there is to know of where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pika
import pytest

from tests.brokers.kafka import PASSWORD, USER
from tests.commandline import CommandLine
from tests.commands.conftest import Place, make_rabbitmq, unmake
from tests.commands.dead_letters import Graveyard, make_graveyard

HOLD_BACK = "do not go along, because they steer the broker"
STEERS = {"nats": ("Nats-Custom", [{"name": "Nats-Custom", "value": "1"}], {}), "rabbitmq": ("expiration", [], {"expiration": "600000"})}
"""What steers the broker that a letter lies on, as headers and as properties."""


@pytest.fixture(params=[pytest.param(broker, marks=getattr(pytest.mark, broker)) for broker in STEERS])
def steering(request: pytest.FixtureRequest, cli: CommandLine, unique: Callable[[str], str]) -> Iterator[tuple[Graveyard, str]]:
    """Three letters, two of which carry something that steers their broker, and its name."""
    name, headers, properties = STEERS[request.param]
    made = make_graveyard(cli, request.getfixturevalue(f"{request.param}_address").rstrip("/"), request.param, unique("said"))
    made.bury("plain")
    ours = [{"name": "x-original-topic", "value": made.origin}, {"name": "x-dlq-reason", "value": "timeout"}]
    letters = b"".join(orjson.dumps({"body": str(number), "headers": ours + headers, "properties": properties}) + b"\n" for number in range(2))
    ended = cli("publish", made.dlq.url, "--input", "json", stdin=letters)
    assert ended.code == 0, ended.stderr
    yield made, name
    unmake(made.home)
    unmake(made.dlq)


def test_what_does_not_go_along_is_said_in_the_plan_and_once_when_it_is_done(cli: CommandLine, steering: tuple[Graveyard, str]) -> None:
    graveyard, name = steering
    park = ("dlq", "park", graveyard.url, "--to", graveyard.origin if graveyard.home.broker == "nats" else f"queue:{graveyard.origin}")
    plan = cli(*park)
    assert plan.code == 8, plan.stderr
    assert f"{HOLD_BACK}: {name} (2)\n" in plan.stderr
    assert orjson.loads(cli(*park, "-o", "json").stdout)["withheld"] == {name: 2}
    ended = cli(*park, "--yes")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count(f"headers that steer the broker were withheld: {name} (2)\n") == 1
    assert (ended.stderr.count(name), HOLD_BACK in ended.stderr) == (1, False)
    assert sorted(graveyard.at_home()) == [b"0", b"1", b"plain"]


@pytest.mark.nats
@pytest.mark.parametrize("steering", ["nats"], indirect=True)
def test_the_same_is_said_of_letters_that_go_home_and_of_those_in_a_file(cli: CommandLine, steering: tuple[Graveyard, str]) -> None:
    graveyard, name = steering
    assert cli("context", "add", "here", "--url", graveyard.dlq.server, "--use").code == 0
    assert cli("dlq", "export", "letters", graveyard.url).code == 0
    for source in (("--from-file", "letters"), (graveyard.url,)):
        assert f"{HOLD_BACK}: {name} (2)\n" in cli("dlq", "redrive", *source).stderr
        ended = cli("dlq", "redrive", *source, "--yes")
        assert ended.code == 0, ended.stderr
        assert (ended.stderr.count(f"{name} (2)"), HOLD_BACK in ended.stderr) == (1, False)
    assert sorted(graveyard.at_home()) == [b"0", b"0", b"1", b"1", b"plain", b"plain"]


@pytest.mark.kafka
@pytest.mark.parametrize(("broker", "name"), [pytest.param("nats", "Nats-Rollup", marks=pytest.mark.nats),
                                              pytest.param("rabbitmq", "CC", marks=pytest.mark.rabbitmq)])
def test_what_another_broker_would_take_for_an_order_is_said_in_the_plan_and_when_it_is_done(
        cli: CommandLine, make_place: Callable[..., Place], broker: str, name: str) -> None:
    source, target = make_place("kafka"), make_place(broker)
    assert cli("publish", source.url, "-H", f"{name}=all", stdin=b"a\nb\n").code == 0
    plan = cli("dlq", "redrive", source.url, "--to", target.url)
    assert plan.code == 8, plan.stderr
    assert f"{HOLD_BACK}: {name} (2)\n" in plan.stderr
    ended = cli("dlq", "redrive", source.url, "--to", target.url, "--yes")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count(f"headers that steer the broker were withheld: {name} (2)\n") == 1
    assert name not in cli("dlq", "redrive", source.url, "--to", target.url, "--yes", "-q").stderr


@pytest.mark.kafka
def test_what_there_is_to_know_of_a_destination_is_said_once_wherever_the_letters_come_from(
        cli: CommandLine, make_place: Callable[..., Place], kafka_login_address: str) -> None:
    source, target, note = make_place("kafka"), make_place("kafka"), "travels without TLS"
    server = f"kafka://{USER}:{PASSWORD}@{kafka_login_address}"
    assert cli("context", "add", "login", "--url", server, "--use").code == 0
    assert cli("publish", source.url, stdin=b"a\n").code == 0
    assert cli("dlq", "export", "letters", source.url).code == 0
    for command in (("redrive", "--from-file", "letters", "--to", target.name, "--yes"), ("redrive", source.url, "--to", f"@login/{target.name}", "--yes"),
                    ("inspect", f"@login/{source.name}")):
        ended = cli("dlq", *command)
        assert ended.code == 0, ended.stderr
        assert ended.stderr.count(note) == 1, ended.stderr
    assert note not in cli("dlq", "inspect", f"@login/{source.name}", "-q").stderr


def test_a_home_that_is_not_there_is_said_in_the_plan_before_anything_is_refused(cli: CommandLine, graveyard: Graveyard, unique: Callable[[str], str]) -> None:
    # no topic, no queue, and no subject that a stream listens on
    gone = unique("gone")
    graveyard.bury("a")
    graveyard.bury("b", "c", x_original_topic=gone)
    ended = cli("dlq", "redrive", graveyard.url)
    assert ended.code == 8, ended.stderr
    (said,) = [line for line in ended.stderr.splitlines() if "would be refused" in line]
    assert gone in said
    assert "2 letters would be refused and stay pending" in said
    assert "such letters go elsewhere with --to ADDRESS" in ended.stderr
    planned = orjson.loads(cli("dlq", "redrive", graveyard.url, "-o", "json").stdout)
    assert [name.partition(":")[2] for name in planned["obstacles"]] == [gone]
    ended = cli("dlq", "redrive", graveyard.url, "--yes")
    assert (ended.code, "read 3, confirmed 1, refused 2" in ended.stderr) == (3, True), ended.stderr
    assert graveyard.pending == 2


@pytest.mark.rabbitmq
def test_what_a_place_does_not_keep_of_the_letters_is_said_in_the_plan(cli: CommandLine, make_place: Callable[..., Place], rabbitmq_management: str) -> None:
    dlq, there = make_place("rabbitmq", kind="classic"), make_place("rabbitmq", kind="classic", message_ttl=1000)
    # another way to the same broker is another broker
    for context, ways in (("here", ()), ("elsewhere", ("--option", "give_up_after=30"))):
        assert cli("context", "add", context, "--url", dlq.server, "--management", rabbitmq_management, *ways).code == 0
    here = {"BROKERCLI_CONTEXT": "here"}
    assert cli("publish", f"@here/queue:{dlq.name}", stdin=b"a\nb\n").code == 0
    assert cli("dlq", "export", "letters", f"@here/queue:{dlq.name}").code == 0
    for *words, to in (("redrive", f"queue:{dlq.name}", "queue:"), ("redrive", f"queue:{dlq.name}", "@elsewhere/queue:"),
                       ("park", "--unrecognised", f"queue:{dlq.name}", "queue:"), ("redrive", "--from-file", "letters", "queue:")):
        arguments = (*words, "--to", f"{to}{there.name}")
        plan = cli("dlq", *arguments, extra=here)
        assert plan.code == 8, plan.stderr
        assert plan.stderr.count(f"messages in queue:{there.name} expire after 1s (message-ttl) and are deleted\n") == 1, plan.stderr
        assert orjson.loads(cli("dlq", *arguments, "-o", "json", extra=here).stdout)["fates"]


@pytest.mark.rabbitmq
def test_a_run_that_finds_nothing_because_somebody_holds_the_letters_says_so(
        cli: CommandLine, unique: Callable[[str], str], rabbitmq_address: str, rabbitmq_management: str) -> None:
    dlq = f"{unique('held')}.dlq"
    place = make_rabbitmq(rabbitmq_address, dlq, "classic")
    assert cli("context", "add", "here", "--url", rabbitmq_address, "--management", rabbitmq_management, "--use").code == 0
    assert cli("publish", f"queue:{dlq}", stdin=b"a\nb\n").code == 0
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_address)) as connection:
        channel = connection.channel()
        held = channel.consume(dlq)
        assert [next(held)[2] for _ in range(2)] == [b"a", b"b"]
        ended = cli("dlq", "drop", f"queue:{dlq}", "--unrecognised", "--yes")
        assert (ended.code, "read 0, confirmed 0" in ended.stderr) == (0, True), ended.stderr
        assert ended.stderr.count(f"1 other consumer takes from {dlq} as well") == 1, ended.stderr
        assert ended.stderr.count("2 letters are in somebody else's hands and not seen here") == 1, ended.stderr
        channel.cancel()
    unmake(place)
