"""Which letters a command is about: filters, limits, and the destination it finds when none is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pytest

from tests.brokers.nats import Nats
from tests.commandline import CommandLine
from tests.commands.conftest import Place, make_nats, unmake
from tests.commands.dead_letters import Graveyard, make_graveyard
from tests.conftest import StartServer


@pytest.fixture
def graveyard(kafka_address: str, cli: CommandLine, unique: Callable[[str], str]) -> Iterator[Graveyard]:
    """A home and its DLQ on Kafka, with five letters of three kinds."""
    made = make_graveyard(cli, kafka_address, "kafka", unique("dlq"))
    made.bury('{"amount":1}', '{"amount":200}', reason="timeout", x_failed_at="2026-01-01T00:00:00Z")
    made.bury('{"amount":3}', reason="schema", x_exception_class="com.acme.BadSchema", x_failed_at="2026-02-01T00:00:00Z")
    made.bury("x", "y", reason="other", x_original_topic=f"{made.origin}.elsewhere", x_failed_at="2026-03-01T00:00:00Z", x_tenant="bank")
    yield made
    unmake(made.home)
    unmake(made.dlq)


def test_filters_are_the_same_for_looking_and_for_doing(cli: CommandLine, graveyard: Graveyard) -> None:
    for options, count in ((("--reason", "TIME*", "--grep", "200"), 1), (("--origin", "*.elsewhere"), 2), (("--until", "@2026-01-15T00:00Z"), 2),
                           (("--where", "value.amount > 100"), 1), (("--header", "x-tenant=bank", "--since", "1s"), 0)):
        assert sum(graveyard.states(*options).values()) == count
        assert orjson.loads(cli("dlq", "drop", graveyard.url, "-o", "json", *options).stdout)["letters"] == count
    ended = cli("dlq", "drop", graveyard.url, "--yes", "--header", "x-tenant=bank")
    assert "read 2, confirmed 2, refused 0, unknown 0, skipped 0" in ended.stderr
    assert graveyard.pending == 3


def test_an_empty_destination_and_one_without_a_match_are_told_apart(cli: CommandLine, graveyard: Graveyard) -> None:
    assert f"none of the 5 letters in topic:{graveyard.dlq.name} match\n" in cli("dlq", "inspect", graveyard.url, "--reason", "nothing").stderr
    assert f"no letters in topic:{graveyard.home.name}\n" in cli("dlq", "inspect", graveyard.home.url).stderr


def test_what_an_open_transaction_holds_back_is_said_by_every_look_and_every_run(
        cli: CommandLine, graveyard: Graveyard, make_place: Callable[..., Place], unique: Callable[[str], str]) -> None:
    from confluent_kafka import Producer

    target = make_place("kafka")
    # without a time of its own the broker ends it after a minute
    producer = Producer({"bootstrap.servers": graveyard.dlq.server.removeprefix("kafka://"), "transactional.id": unique("open"),
                         "transaction.timeout.ms": 600_000})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(graveyard.dlq.name, b"not yet")
    producer.flush(60)
    for command in (("dlq", "inspect", graveyard.url), ("dlq", "export", "-", graveyard.url), ("dlq", "redrive", graveyard.url),
                    ("replay", graveyard.dlq.url, "--to", target.url, "--dry-run"), ("replay", graveyard.dlq.url, "--to", target.url),
                    ("dlq", "drop", graveyard.url, "--yes", "--unrecognised")):
        ended = cli(*command)
        assert ended.code in (0, 8), ended.stderr
        assert ended.stderr.count("a transaction that is still open holds back") == 1, (command, ended.stderr)
    producer.abort_transaction(60)


def test_letters_can_be_named_in_a_file(cli: CommandLine, graveyard: Graveyard) -> None:
    (cli.home / "ids").write_text("0:1\n0:3\n\n")
    ended = cli("dlq", "drop", graveyard.url, "--ids", "ids", "--yes")
    assert "read 2, confirmed 2" in ended.stderr
    exported = cli("dlq", "export", "-q", "letters", graveyard.url)
    assert exported.code == 0
    states = [orjson.loads(cli("dlq", "show", f"0:{offset}", graveyard.url, "-o", "json").stdout)["facts"]["state"] for offset in range(5)]
    assert states == ["pending", "dropped", "pending", "dropped", "pending"]
    for content in (None, "\n"):
        (cli.home / "ids").unlink() if content is None else (cli.home / "ids").write_text(content)
        assert cli("dlq", "drop", graveyard.url, "--ids", "ids", "--yes").code == 2


def test_a_limit_counts_letters_that_match_and_the_next_run_goes_on(cli: CommandLine, graveyard: Graveyard) -> None:
    plan = orjson.loads(cli("dlq", "redrive", graveyard.url, "-n", "1", "--reason", "timeout", "-o", "json").stdout)
    assert list(plan["destinations"].values()) == [1]
    for left in (1, 0, 0):
        ended = cli("dlq", "redrive", graveyard.url, "-n", "1", "--reason", "timeout", "--yes")
        assert ended.code == 0, ended.stderr
        assert graveyard.states("--reason", "timeout").get("pending", 0) == left
    assert graveyard.at_home() == [b'{"amount":1}', b'{"amount":200}']


def test_a_rate_still_puts_everything_back(cli: CommandLine, graveyard: Graveyard) -> None:
    ended = cli("dlq", "redrive", graveyard.url, "--reason", "timeout", "--rate", "20/s", "--yes")
    assert ended.code == 0, ended.stderr
    assert graveyard.at_home() == [b'{"amount":1}', b'{"amount":200}']


def test_a_refused_letter_stays_and_its_neighbours_go(cli: CommandLine, graveyard: Graveyard) -> None:
    ended = cli("dlq", "redrive", graveyard.url, "--yes")  # the topic that two of them come from does not exist
    assert ended.code == 3, ended.stderr
    assert "read 5, confirmed 3, refused 2" in ended.stderr
    assert f"{graveyard.origin}.elsewhere" in ended.stderr
    assert "the same command goes on" in ended.stderr
    assert graveyard.pending == 2


@pytest.mark.parametrize("command", [("inspect", "--since", "yesterday"), ("redrive", "--yes", "--where", "1 +"), ("drop", "--yes", "--grep", "/(/"),
                                     ("redrive", "--yes", "--through", "no-such-program"), ("redrive", "--yes", "--rate", "0"), ("park", "--yes"),
                                     ("drop", "--yes", "--since", "1h", "--until", "2h")])
def test_what_cannot_be_understood_is_refused_before_anything_is_read(cli: CommandLine, graveyard: Graveyard, command: tuple[str, ...]) -> None:
    ended = cli("dlq", command[0], graveyard.url, *command[1:])
    assert (ended.code, ended.stdout) == (2, b""), ended.stderr
    assert graveyard.pending == 5


def test_a_pattern_without_a_text_is_refused_as_a_script_with_an_unset_variable_gives_it(cli: CommandLine) -> None:
    for option in ("--reason", "--origin"):
        for command in ("inspect", "drop"):
            ended = cli("dlq", command, "kafka://127.0.0.1:1/orders.dlq", option, "")
            assert (ended.code, ended.stdout, ended.stderr.splitlines()[0]) == (2, b"", f"brokercli: {option} needs a text to look for.")


def test_a_protected_context_is_named_and_a_read_only_one_is_only_looked_at(cli: CommandLine, graveyard: Graveyard) -> None:
    for name, flag in (("prod", "protected"), ("audit", "readonly")):
        assert cli("context", "add", name, "--url", graveyard.dlq.server, f"--{flag}").code == 0
        assert cli("context", "use", name).code == 0
        plan = cli("dlq", "redrive", graveyard.address)
        assert plan.code == 8, plan.stderr
        refused = cli("dlq", "redrive", graveyard.address, "--yes")
        assert refused.code == 2
        assert name in refused.stderr
    assert cli("dlq", "drop", graveyard.address, "--yes", "--context", "audit").code == 2
    assert graveyard.pending == 5
    assert cli("dlq", "redrive", graveyard.address, "--yes", "--reason", "timeout", "--context", "prod").code == 0
    assert graveyard.pending == 3


@pytest.mark.parametrize("dlq", ["", "@prod/"], ids=["its dlq", "its dlq with its name"])
def test_the_letters_that_a_protected_context_names_are_not_named_by_whoever_leaves_them_out(cli: CommandLine, graveyard: Graveyard, dlq: str) -> None:
    added = cli("context", "add", "prod", "--url", graveyard.dlq.server, "--dlq", f"{dlq}{graveyard.address}", "--protected", "--use")
    assert added.code == 0, added.stderr
    for command in (("redrive",), ("drop",), ("park", "--to", graveyard.home.name)):
        refused = cli("dlq", *command, "--yes")
        assert (refused.code, "The context prod is protected" in refused.stderr) == (2, True), refused.stderr
    assert graveyard.pending == 5
    assert cli("dlq", "drop", "--yes", "--reason", "timeout", "--context", "prod").code == 0
    assert cli("dlq", "drop", "@prod/", "--yes", "--reason", "schema").code == 0
    assert graveyard.pending == 2


@pytest.fixture
def lonely(servers: StartServer[Nats], cli: CommandLine) -> Nats:
    """A NATS with nothing on it, chosen."""
    server = servers(Nats)
    assert cli("context", "add", "lonely", "--url", server.address, "--use").code == 0
    return server


def nothing_is_an_end(cli: CommandLine, words: str, *options: str) -> None:
    """Assert that every command about letters says this and ends well, or with 9 where nothing is to fail."""
    for command in (("redrive", "--yes", "--report", "report.json"), ("redrive",), ("drop", "--yes"), ("inspect",), ("export", "letters.ndjson")):
        ended = cli("dlq", *command, *options)
        assert (ended.code, ended.stdout, words in ended.stderr) == (0, b"", True), ended.stderr
        assert ("read 0, confirmed 0" in ended.stderr) == ("--yes" in command)
        ended = cli("dlq", *command, *options, "--fail-if-empty", "-q")
        assert (ended.code, ended.stderr) == (9, "")
    assert orjson.loads((cli.home / "report.json").read_bytes())["read"] == 0
    assert not (cli.home / "letters.ndjson").exists()
    (cli.home / "report.json").unlink()


def test_without_a_name_the_only_destination_is_meant(cli: CommandLine, lonely: Nats) -> None:
    none = cli("dlq", "show", "87")
    assert none.code == 1
    assert "no dead letters on lonely" in none.stderr
    assert "name one: brokercli dlq show POSITION ADDRESS" in none.stderr
    assert "in this order: brokercli dlq show POSITION ADDRESS" in cli("dlq", "show", "letters", "87").stderr
    nothing_is_an_end(cli, "There are no dead letters on lonely")
    first = make_graveyard(cli, lonely.address, "nats", "first")
    scripted = cli("dlq", "redrive", "--dry-run", "-q")
    assert (scripted.code, scripted.stderr) == (0, "")
    assert "no letters in stream:first-DLQ" in cli("dlq", "inspect").stderr
    first.bury("a")
    assert [cli("dlq", *command, "-q").stderr for command in (("inspect",), ("show", "#1"), ("export", "-"), ("drop", "-n", "0", "--yes"))] == [""] * 4
    scripted = cli("dlq", "redrive", "--dry-run", "-q")
    assert (scripted.code, scripted.stderr) == (8, "")
    for no_name, words in (("", "An address cannot be empty"), ("firs*", "no stream name"), ("stream:", "An address cannot be empty"),
                           ("@lonely/stream:firs*", "firs*")):
        refused = cli("dlq", "redrive", no_name, "--yes")
        assert refused.code != 0, no_name
        assert words in refused.stderr
    assert first.pending == 1
    assert cli("dlq", "redrive", "@lonely/").code == cli("dlq", "redrive", lonely.address).code == 8
    named = cli("dlq", "ls", "first-DLQ")
    assert (named.code, named.stdout) == (2, b"")
    assert "first-DLQ is no broker" in named.stderr
    second = make_graveyard(cli, lonely.address, "nats", "second")
    second.bury("b", "c")
    several = cli("dlq", "redrive", "--yes")
    assert several.code == 2
    assert "stream:first-DLQ" in several.stderr
    assert "2 pending" in several.stderr
    assert "dlq redrive" in several.stderr  # what to type next
    assert cli("context", "add", "lonely2", "--url", lonely.address, "--dlq", "stream:second-DLQ", "--use").code == 0
    chosen = cli("dlq", "redrive", "--yes")
    assert chosen.code == 0, chosen.stderr
    assert second.at_home() == [b"b", b"c"]
    assert cli("dlq", "redrive", "--context", "lonely", "--yes").code == 0
    assert first.at_home() == [b"a"]
    nothing_is_an_end(cli, "No letter is pending in any of the 2 destinations of dead letters on lonely", "--context", "lonely")
    for made in (first, second):
        unmake(made.home)
        unmake(made.dlq)


def test_a_stream_of_work_is_not_taken_for_dead_letters(cli: CommandLine, lonely: Nats) -> None:
    place = make_nats(lonely.address, "work")
    assert cli("publish", place.url, "a").code == 0
    for verb in ("redrive", "drop"):
        ended = cli("dlq", verb, "stream:work", "--yes")
        assert "Traceback" not in ended.stderr
        assert "confirmed" not in ended.stderr or "confirmed 0" in ended.stderr
    assert cli("replay", place.url).lines == [b"a"]
    unmake(place)


@pytest.mark.kafka
@pytest.mark.nats
def test_the_context_is_that_of_the_letters_where_the_destination_names_its_own(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    source, target = make_place("kafka"), make_place("nats")
    assert cli("context", "add", "far", "--url", target.server).code == 0
    assert cli("context", "add", "near", "--url", source.server, "--use", "--protected").code == 0
    assert cli("publish", source.url, "a").code == 0
    to = ("--to", f"@far/{target.name}")
    unnamed = cli("dlq", "redrive", source.name, *to, "--yes")
    assert (unnamed.code, "--context near" in unnamed.stderr) == (2, True)
    for command in (("dlq", "redrive"), ("replay",)):
        done = cli(*command, source.name, *to, "--context", "near", *(["--yes"] if command[0] == "dlq" else []))
        assert (done.code, "confirmed 1" in done.stderr) == (0, True), done.stderr
    parked = cli("dlq", "park", source.name, *to, "--context", "near", "--yes")
    assert (parked.code, f"dlq redrive --to @far/{target.name} puts them there" in parked.stderr) == (2, True), parked.stderr


@pytest.mark.kafka
@pytest.mark.nats
def test_letters_are_not_parked_on_the_way_to_another_broker(cli: CommandLine, make_place: Callable[..., Place], nats_address: str) -> None:
    place = make_place("kafka")
    ended = cli("dlq", "redrive", place.url, "--to", f"{nats_address}/elsewhere", "--park", "parked", "--yes")
    assert ended.code == 2
    assert "--park does not go with a --to on another broker" in ended.stderr
