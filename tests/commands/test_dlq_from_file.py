"""`dlq redrive --from-file`: letters out of an export or a journal, put back where they came from, remembered by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import orjson
import pytest

from tests.brokers.nats import Nats
from tests.commandline import CommandLine
from tests.commands.conftest import Place, make_nats, unmake
from tests.commands.dead_letters import Graveyard, make_graveyard
from tests.conftest import StartServer


@pytest.fixture
def graveyard(cli: CommandLine, graveyard: Graveyard) -> Graveyard:
    """A home and its empty DLQ, on each broker in turn; the context is chosen."""
    assert cli("context", "add", "here", "--url", graveyard.dlq.server, "--use").code == 0
    return graveyard


def test_what_was_dropped_comes_back_from_its_journal_and_only_once(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b", "c")
    assert cli("dlq", "drop", graveyard.url, "--yes", "--journal", "dropped.ndjson").code == 0
    planned = cli("dlq", "redrive", "--from-file", "dropped.ndjson")
    assert planned.code == 8, planned.stderr
    assert graveyard.origin.encode() in planned.stdout
    assert graveyard.at_home() == []
    ended = cli("dlq", "redrive", "--from-file", "dropped.ndjson", "--yes", "--report", "report")
    assert ended.code == 0, ended.stderr
    assert "read 3, confirmed 3, refused 0, unknown 0, skipped 0" in ended.stderr
    assert json.loads((cli.home / "report").read_text())["confirmed"] == 3
    assert "put back by earlier runs" not in ended.stderr
    for options in (("--yes",), ()):
        again = cli("dlq", "redrive", "--from-file", "dropped.ndjson", *options)
        assert again.code == 0, again.stderr
        assert "3 of the 3 letters were put back there by earlier runs" in again.stderr  # in the plan as well
    assert graveyard.at_home() == [b"a", b"b", b"c"]


def test_it_goes_on_where_a_limit_or_a_filter_stopped_it(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b", "c", "d")
    assert cli("dlq", "export", "letters", graveyard.url).code == 0
    for options in (("--grep", "c"), ("-n", "1"), ("-n", "9")):
        ended = cli("dlq", "redrive", "--from-file", "letters", "--resume", "done", *options, "--yes")
        assert ended.code == 0, ended.stderr
    assert graveyard.at_home() == [b"c", b"a", b"b", b"d"]
    assert graveyard.pending == 4  # where they lie nothing changed
    (cli.home / "letters").write_bytes((cli.home / "letters").read_bytes().replace(b'"a"', b'"z"'))
    refused = cli("dlq", "redrive", "--from-file", "letters", "--resume", "done", "--yes")
    assert refused.code == 2
    assert "belongs to another copy" in refused.stderr


@pytest.mark.parametrize("options", [(), ("--header", "x-tenant")], ids=["all", "filtered"])
def test_letters_that_were_handled_are_not_exported_and_go_home_no_second_time(cli: CommandLine, graveyard: Graveyard, options: tuple[str, ...]) -> None:
    graveyard.bury("home", "dropped", "left")
    assert cli("dlq", "redrive", graveyard.url, "--grep", "home", "--yes").code == 0
    assert cli("dlq", "drop", graveyard.url, "--grep", "dropped", "--yes").code == 0
    ended = cli("dlq", "export", "letters", graveyard.url, *options)
    assert ended.code == 0, ended.stderr
    assert "exported: 1 letter of" in ended.stderr
    kept = graveyard.dlq.broker == "kafka"  # elsewhere they are gone
    assert ("2 letters that were handled already are left out" in ended.stderr) is kept
    assert cli("dlq", "redrive", "--from-file", "letters", "--yes").code == 0
    assert graveyard.at_home() == [b"home", b"left"]
    assert cli("dlq", "drop", graveyard.url, "--yes").code == 0
    assert cli("dlq", "export", "none", graveyard.url, *options, "--fail-if-empty").code == 9


@pytest.fixture
def on_kafka(kafka_address: str, cli: CommandLine, unique: Callable[[str], str]) -> Iterator[Graveyard]:
    """The same on Kafka alone."""
    made = make_graveyard(cli, kafka_address, "kafka", unique("file"))
    assert cli("context", "add", "here", "--url", made.dlq.server, "--use").code == 0
    yield made
    unmake(made.home)
    unmake(made.dlq)


def test_a_home_that_is_gone_refuses_its_letters_alone_and_they_can_be_put_back_later(cli: CommandLine, on_kafka: Graveyard) -> None:
    on_kafka.bury("a")
    on_kafka.bury("b", x_original_topic=f"{on_kafka.origin}.gone")
    assert cli("dlq", "export", "letters", on_kafka.url).code == 0
    ended = cli("dlq", "redrive", "--from-file", "letters", "--yes")
    assert ended.code == 3, ended.stderr
    assert "read 2, confirmed 1, refused 1" in ended.stderr
    assert cli("dlq", "redrive", "--from-file", "letters", "--to", on_kafka.home.name, "--yes").code == 0
    assert on_kafka.at_home() == [b"a", b"b"]


@pytest.mark.nats
def test_what_was_put_back_on_one_broker_is_not_done_on_another(cli: CommandLine, nats_address: str, unique: Callable[[str], str],
                                                                servers: StartServer[Nats]) -> None:
    made = make_graveyard(cli, nats_address.rstrip("/"), "nats", unique("file"))
    made.bury("a", "b")
    assert cli("dlq", "export", "letters", made.url).code == 0
    production = servers(Nats).address
    there = make_nats(production, made.home.name.partition(".")[0])
    for name, url in (("staging", made.home.server), ("prod", production)):
        assert cli("context", "add", name, "--url", url).code == 0
        ended = cli("dlq", "redrive", "--from-file", "letters", "--context", name, "--yes")
        assert ended.code == 0, ended.stderr
        assert "read 2, confirmed 2" in ended.stderr
    assert made.at_home() == made.read(there) == [b"a", b"b"]
    assert cli("dlq", "redrive", "--from-file", "letters", "--context", "staging", "--resume", "done", "--yes").code == 0
    refused = cli("dlq", "redrive", "--from-file", "letters", "--context", "prod", "--resume", "done", "--yes")
    assert refused.code == 2
    assert "belongs to another copy: its to is" in refused.stderr
    unmake(made.home)
    unmake(made.dlq)


@pytest.mark.parametrize(("content", "words"), [
    (b"no envelope\n", "line 1 is not JSON"),
    (b'{"v":1,"broker":"nats","stream":"S","sequence":1,"body":"x"}\n', "a letter of nats, and this context is kafka"),
    (b'{"v":1,"topic":"t","partition":0,"offset":1,"body":"x"}\n', "does not say which broker"), (None, "cannot be read")])
def test_a_file_that_holds_something_else_is_refused_before_anything_is_sent(
        cli: CommandLine, on_kafka: Graveyard, content: bytes | None, words: str) -> None:
    if content is not None:
        (cli.home / "letters").write_bytes(content)
    ended = cli("dlq", "redrive", "--from-file", "letters", "--yes")
    assert ended.code == 2
    assert words in ended.stderr
    assert on_kafka.at_home() == []


@pytest.mark.parametrize("options", [("--resume", "j"), ("--from-file", "letters", "--journal", "j"), ("--from-file", "letters", "somewhere")])
def test_options_that_do_not_go_together_are_refused(cli: CommandLine, on_kafka: Graveyard, options: tuple[str, ...]) -> None:
    assert cli("dlq", "redrive", *options, "--yes").code == 2


def test_half_a_line_at_the_end_of_a_journal_is_passed_over_and_said(cli: CommandLine, on_kafka: Graveyard) -> None:
    on_kafka.bury("a", "b", "c")
    assert cli("dlq", "drop", on_kafka.url, "--yes", "--journal", "dropped").code == 0
    whole = (cli.home / "dropped").read_bytes()
    (cli.home / "dropped").write_bytes(whole[:-20])
    ended = cli("dlq", "redrive", "--from-file", "dropped", "--yes")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("line 3 of dropped is half a letter and passed over") == 1
    assert on_kafka.at_home() == [b"a", b"b"]
    for damaged in (whole[:-20] + b"\n" + whole, whole[:20]):
        (cli.home / "dropped").write_bytes(damaged)
        assert cli("dlq", "redrive", "--from-file", "dropped", "--yes").code == 2


def test_a_tombstone_that_is_edited_without_a_change_or_goes_through_a_program_stays_one(cli: CommandLine, on_kafka: Graveyard) -> None:
    for key in ("c-1", "c-2"):
        assert cli("publish", on_kafka.dlq.url, "-k", key, "--tombstone", "-H", f"x-original-topic={on_kafka.origin}", "-H", "x-attempts=3").code == 0
    ended = cli("dlq", "redrive", on_kafka.url, "-n", "1", "--edit", "--yes", extra={"EDITOR": "true"})
    assert ended.code == 0, ended.stderr
    assert "the body is as it was" in ended.stderr
    assert cli("dlq", "redrive", on_kafka.url, "--through", "cat", "--yes").code == 0
    envelopes = [orjson.loads(line) for line in cli("replay", on_kafka.home.url, "-o", "json").lines]
    assert [(envelope["key"], envelope["body"]) for envelope in envelopes] == [("c-1", None), ("c-2", None)]


def test_one_letter_can_be_edited_on_its_way(cli: CommandLine, on_kafka: Graveyard) -> None:
    on_kafka.bury('{"amount":"7"}', '{"amount":8}')
    editor = {"EDITOR": """sed -i 's/"7"/7/'"""}
    several = cli("dlq", "redrive", on_kafka.url, "--edit", "--yes", extra=editor)
    assert several.code == 2
    assert "--edit is for one letter" in several.stderr
    failed = cli("dlq", "redrive", on_kafka.url, "-n", "1", "--edit", "--yes", extra={"EDITOR": "false"})
    assert (failed.code, on_kafka.pending) == (1, 2)
    missing = cli("dlq", "redrive", on_kafka.url, "-n", "1", "--edit", "--yes", extra={"EDITOR": "no-such-editor"})
    assert (missing.code, on_kafka.pending) == (2, 2)
    ended = cli("dlq", "redrive", on_kafka.url, "--grep", '"7"', "--edit", "--yes", "--journal", "kept", extra=editor)
    assert ended.code == 0, ended.stderr
    assert on_kafka.at_home() == [b'{"amount":7}']
    assert orjson.loads((cli.home / "kept").read_bytes())["body"] == '{"amount":"7"}'
    assert on_kafka.states() == {"redriven": 1, "pending": 1}


def test_a_letter_that_is_parked_because_it_was_put_back_too_often_cannot_be_edited_on_its_way(cli: CommandLine, on_kafka: Graveyard) -> None:
    on_kafka.bury('{"amount":"7"}', x_brokercli_redriven_count="3")
    ended = cli("dlq", "redrive", on_kafka.url, "--edit", "--park", on_kafka.home.name, "--yes", extra={"EDITOR": """sed -i 's/"7"/7/'"""})
    assert ended.code == 2, ended.stderr
    assert "what is parked goes as it is" in ended.stderr
    assert on_kafka.pending == 1


@pytest.mark.rabbitmq
def test_letters_of_a_stream_which_cannot_be_taken_out_go_home_by_way_of_a_file(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    source, home = make_place("rabbitmq"), make_place("rabbitmq")
    assert cli("context", "add", "here", "--url", source.server, "--use").code == 0
    assert cli("publish", source.url, stdin=b"a\nb\n").code == 0
    refused = cli("dlq", "redrive", source.url, "--to", home.url, "--yes")
    assert refused.code == 7, refused.stderr
    assert f"brokercli dlq export FILE stream:{source.name}, and then brokercli dlq redrive --from-file FILE, puts them back" in refused.stderr
    assert cli("dlq", "export", "letters", source.url).code == 0
    for _ in range(2):
        ended = cli("dlq", "redrive", "--from-file", "letters", "--to", home.url, "--yes")
        assert ended.code == 0, ended.stderr
    assert cli("replay", home.url).lines == [b"a", b"b"]


@pytest.mark.nats
@pytest.mark.rabbitmq
def test_what_went_to_another_broker_is_not_said_to_have_been_put_back_on_this_one(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    source, home, elsewhere = make_place("rabbitmq"), make_place("rabbitmq"), make_place("nats")
    assert cli("context", "add", "here", "--url", source.server, "--use").code == 0
    assert cli("publish", source.url, stdin=b"a\nb\n").code == 0
    assert cli("dlq", "export", "letters", source.url).code == 0
    for passed_over in (False, True):
        for place in (elsewhere, home):
            ended = cli("dlq", "redrive", "--from-file", "letters", "--to", place.url, "--yes")
            assert ended.code == 0, ended.stderr
            assert ("2 of the 2 letters were put back there by earlier runs" in ended.stderr) is passed_over, ended.stderr
    for place in (elsewhere, home):
        assert cli("replay", place.url).lines == [b"a", b"b"]


def test_a_file_may_have_the_name_of_the_home(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b")
    assert cli("dlq", "export", graveyard.origin, graveyard.url).code == 0
    ended = cli("dlq", "redrive", "--from-file", graveyard.origin, "--yes")
    assert ended.code == 0, ended.stderr
    assert graveyard.at_home() == [b"a", b"b"], ended.stderr
