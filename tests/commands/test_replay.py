"""`brokercli replay`: from a place to a place, to standard output or to another address on any of the three brokers."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable

import orjson
import pytest

from tests.brokers.server import wait_until
from tests.commandline import STOPPING, CommandLine
from tests.commands.conftest import STORED, Place, make_kafka, unmake

PAIRS = list(itertools.product(STORED, STORED))


def bodies(cli: CommandLine, place: Place, *arguments: str) -> list[bytes]:
    ended = cli("replay", place.url, *arguments)
    assert ended.code == 0, ended.stderr
    return ended.lines


def first_number(cli: CommandLine, place: Place) -> int:
    envelope = orjson.loads(cli("replay", place.url, "-n", "1", "-o", "json").lines[0])
    return int(envelope["sequence"] if "sequence" in envelope else envelope["offset"])


def test_positions_say_where_it_begins_and_ends(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, stdin=b"".join(b"%d\n" % number for number in range(10))).code == 0
    base = first_number(cli, place)
    assert bodies(cli, place) == [b"%d" % number for number in range(10)]
    assert bodies(cli, place, "--from", "-3") == [b"7", b"8", b"9"]
    assert bodies(cli, place, "--from", str(base + 4), "--until", str(base + 6)) == [b"4", b"5"]
    assert bodies(cli, place, "--range", f"{base + 4}:{base + 6}") == [b"4", b"5"]
    assert bodies(cli, place, "-n", "2") == [b"0", b"1"]
    assert bodies(cli, place, "--from", "@-1h") == [b"%d" % number for number in range(10)]
    assert bodies(cli, place, "--from", "end") == []
    assert bodies(cli, place, "--until", "@-1h") == []


def test_a_place_that_is_not_stored_is_refused_with_what_is(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, stdin=b"a\nb\n").code == 0
    ended = cli("replay", place.url, "--from", "123456")
    assert (ended.code, ended.stdout) == (1, b"")
    assert str(first_number(cli, place)) in ended.stderr


def test_an_empty_source_ends_at_once(cli: CommandLine, place: Place) -> None:
    assert bodies(cli, place) == []
    assert cli("replay", place.url, "--fail-if-empty").code == 9


@pytest.mark.parametrize(("source_broker", "target_broker"), [
    pytest.param(source, target, marks=[getattr(pytest.mark, name) for name in {source, target}]) for source, target in PAIRS])
def test_a_copy_carries_bodies_headers_keys_and_ids_from_any_broker_to_any(cli: CommandLine, make_place: Callable[..., Place], source_broker: str,
                                                                           target_broker: str) -> None:
    source, target = make_place(source_broker), make_place(target_broker)
    key = ["-k", "c-7"] if source_broker == "kafka" else []
    assert cli("publish", source.url, "-H", "x-attempts=1", "-H", "x-origin-service=shop", "--id", "m-1", *key, stdin=b'{"id":1}').code == 0
    assert cli("publish", source.url, stdin=b"\xff\x00\n\n").code == 0
    ended = cli("replay", source.url, "--to", target.url)
    assert ended.code == 0, ended.stderr
    assert "read 3, confirmed 3, refused 0, unknown 0, skipped 0" in ended.stderr
    found = [orjson.loads(line) for line in cli("replay", target.url, "-o", "json").lines]
    assert [envelope["body"] for envelope in found] == ['{"id":1}', {"base64": "/wA="}, ""]
    headers = {header["name"]: header["value"] for header in found[0]["headers"]}
    assert headers["x-attempts"] == "1"
    assert headers["x-origin-service"] == "shop"
    if source_broker == "kafka":
        assert found[0]["key"] == "c-7" if target_broker == "kafka" else headers["x-message-key"] == "c-7"
    identity = found[0].get("properties", {}).get("message_id") if target_broker == "rabbitmq" else headers.get("x-message-id")
    if (source_broker, target_broker) == ("nats", "nats"):
        assert identity is None  # Nats-Msg-Id steers the broker and is withheld
        assert "Nats-Msg-Id (1)" in ended.stderr
    else:
        assert identity == "m-1"


def test_a_dry_run_counts_and_publishes_nothing(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"a\nb\n").code == 0
    ended = cli("replay", place.url, "--to", target.url, "--dry-run")
    assert (ended.code, ended.stdout) == (0, b"")
    assert "dry run: 2 of 2 messages would go" in ended.stderr
    assert cli("replay", place.url, "--to", target.url, "--dry-run", "--grep", "c", "--fail-if-empty").code == 9
    assert cli("replay", place.url, "--to", target.url, "--dry-run", "--timeout", "0.000001").code == 124
    assert bodies(cli, target) == []


def test_a_program_changes_bodies_and_its_failure_leaves_a_message_out(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"good\nbad\nalso good\n").code == 0
    ended = cli("replay", place.url, "--to", target.url, "--through", "sh -c 'read -r body; test \"$body\" != bad && printf \"<%s>\" \"$body\"'")
    assert ended.code == 3
    assert "read 3, confirmed 2, refused 1" in ended.stderr
    assert "sh exited with 1" in ended.stderr
    assert bodies(cli, target) == [b"<good>", b"<also good>"]
    ended = cli("replay", place.url, "--to", target.url, "--through", "no-such-program")
    assert (ended.code, ended.stdout) == (2, b"")


@pytest.mark.kafka
def test_a_tombstone_goes_round_the_program_and_what_it_prints_nothing_for_is_left_out(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    place, target = make_place("kafka"), make_place("kafka")
    assert cli("publish", place.url, "-k", "c-1", "--tombstone").code == 0
    assert cli("publish", place.url, stdin=b"kept\nfiltered\n\n").code == 0
    ended = cli("replay", place.url, "--to", target.url, "--through", "sh -c 'grep -v filtered || true'")
    assert ended.code == 3, ended.stderr
    assert "read 4, confirmed 3, refused 1" in ended.stderr
    assert "sh printed nothing" in ended.stderr
    assert [orjson.loads(line)["body"] for line in cli("replay", target.url, "-o", "json").lines] == [None, "kept\n", ""]


def test_a_journal_is_no_way_to_go_on_with_another_choice_of_messages(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"1\n2\n3\n").code == 0
    copy = ("replay", place.url, "--to", target.url, "--resume", "journal")
    assert cli(*copy, "--from", "-2", "--grep", "3").code == 0
    for options, words in (((), "its --from is -2, not nothing"), (("--from", "-2"), "its --grep is 3, not nothing"),
                           (("--from", "start", "--grep", "3"), "its --from is -2, not start"),
                           (("--from", "-2", "--grep", "3", "--through", "cat"), "its --through is nothing, not cat")):
        refused = cli(*copy, *options)
        assert refused.code == 2, refused.stderr
        assert words in refused.stderr
    assert cli(*copy, "--from", "-2", "--grep", "3").code == 0
    assert bodies(cli, target) == [b"3"]


@pytest.mark.nats
def test_a_journal_that_cannot_be_looked_for_is_said_by_a_dry_run_as_by_the_copy(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    """A name that is too long stands for a folder that may not be entered: root may enter all."""
    place = make_place("nats")
    for options in ((), ("--dry-run",)):
        ended = cli("replay", place.url, "--to", place.url, "--resume", "long" * 100, *options)
        assert (ended.code, ended.stdout) == (10, b""), ended.stderr
        assert "cannot be opened: File name too long." in ended.stderr


@pytest.mark.nats
def test_who_is_told_to_repeat_a_copy_of_so_many_is_told_that_they_are_counted_anew(cli: CommandLine, make_place: Callable[[str], Place]) -> None:
    place = make_place("nats")
    assert cli("publish", place.url, stdin=b"1\n2\n").code == 0
    copy = ("replay", place.url, "--to", place.url, "--resume", "journal", "--through", "false")
    for options, more in ((("-n", "1"), "; -n counts anew"), ((), "")):
        assert f"the same command with --resume journal goes on from what is confirmed{more}\n" in cli(*copy, *options).stderr


@pytest.mark.nats
def test_what_was_confirmed_and_is_not_in_the_journal_is_said_to_go_once_more(cli: CommandLine, make_place: Callable[[str], Place]) -> None:
    place, target = make_place("nats"), make_place("nats")
    assert cli("publish", place.url, stdin=b"1\nbad\n3\n4\n").code == 0
    copy = ("replay", place.url, "--to", target.url, "--resume", "journal")
    ended = cli(*copy, "--through", "sh -c '! grep bad && printf good'")
    assert (ended.code, "confirmed 3, refused 1" in ended.stderr) == (3, True), ended.stderr
    assert "--resume journal goes on from what is in it, and sends 2 messages once more that had been confirmed\n" in ended.stderr
    cli(*copy, "--through", "sh -c '! grep bad && printf good'")
    assert len(bodies(cli, target)) == 5


def test_a_dry_run_with_a_journal_counts_what_the_copy_would_go_on_with(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"1\n2\n3\n").code == 0
    copy = ("replay", place.url, "--to", target.url, "--resume", "journal")
    for options, words in (((), "3 of 3 messages would go"), (("-n", "2"), "2 of 2 messages would go")):
        assert words in cli(*copy, "--dry-run", *options).stderr
        assert not (cli.home / "journal").exists()
    assert cli(*copy, "-n", "2").code == 0
    assert cli("publish", place.url, stdin=b"4\n").code == 0
    kept = (cli.home / "journal").read_bytes()
    assert "dry run: 1 of 1 message would go" in cli(*copy, "--dry-run").stderr
    assert (cli.home / "journal").read_bytes() == kept
    refused = cli(*copy, "--dry-run", "--grep", "3")
    assert (refused.code, "its --grep is nothing, not 3" in refused.stderr) == (2, True), refused.stderr
    assert cli(*copy).code == 0
    assert "dry run: 0 of 0 messages would go" in cli(*copy, "--dry-run").stderr
    assert bodies(cli, target) == [b"1", b"2", b"3"]


def test_a_journal_goes_on_where_the_last_run_was_confirmed(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"1\n2\n3\n").code == 0
    assert cli("replay", place.url, "--to", target.url, "--resume", "journal").code == 0
    assert cli("publish", place.url, stdin=b"4\n").code == 0
    again = cli("replay", place.url, "--to", target.url, "--resume", "journal", "--report", "report.json")
    assert again.code == 0, again.stderr
    assert json.loads((cli.home / "report.json").read_bytes())["confirmed"] == 0  # the end was fixed when the copy began
    assert bodies(cli, target) == [b"1", b"2", b"3"]
    ended = cli("replay", place.url, "--to", place.url, "--resume", "journal")
    assert ended.code == 2
    assert "belongs to another copy" in ended.stderr


def test_options_of_a_copy_without_a_destination_are_refused(cli: CommandLine, place: Place) -> None:
    for arguments in (("--through", "cat"), ("--rate", "5"), ("--rate", ""), ("--dry-run",), ("--resume", "x"), ("--speed", "recorded"), ("--keep-time",),
                      ("--keep-partition",), ("--keep-control-headers",), ("--receipts",), ("--report", "report.json")):
        ended = cli("replay", place.url, *arguments)
        assert (ended.code, ended.stdout) == (2, b"")
        assert f"{arguments[0]} goes with --to" in ended.stderr


def test_a_format_is_for_what_is_printed_and_refused_with_a_destination(cli: CommandLine) -> None:
    ended = cli("replay", "nats://127.0.0.1:1/orders", "--to", "fixed", "--format", "%v")
    assert (ended.code, "--format says how records are printed" in ended.stderr) == (2, True), ended.stderr


def test_a_rate_and_a_recorded_rhythm_still_deliver_everything(cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"1\n2\n3\n").code == 0
    assert cli("replay", place.url, "--to", target.url, "--rate", "100/s").code == 0
    assert cli("replay", place.url, "--to", target.url, "--speed", "recorded").code == 0
    assert bodies(cli, target) == [b"1", b"2", b"3"] * 2


@pytest.mark.parametrize("slow", [("--rate", "50/s"), ("--through", "sh -c 'sleep 0.2; cat'"), ("--rate", "50/s", "-n", "1500")])
def test_a_copy_whose_time_is_over_stops_in_the_midst_of_what_it_has_read_and_says_so(
        cli: CommandLine, place: Place, make_place: Callable[..., Place], slow: tuple[str, ...]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"x\n" * 1500).code == 0
    copy = ("replay", place.url, "--to", target.url, "--resume", "journal", "--report", "report.json")
    ended = cli(*copy, *slow, "--timeout", "1s")
    report = json.loads((cli.home / "report.json").read_bytes())
    assert (ended.code, report["exit_code"]) == (124, 124), ended.stderr
    assert report["read"] == report["confirmed"] + report["skipped"]
    assert report["confirmed"] == len(bodies(cli, target)) < 1500  # all of them take half a minute, or five


def test_an_interrupt_waits_for_one_run_of_the_program_and_not_for_all_that_was_read(
        cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"x\n" * 500).code == 0
    process = cli.start("replay", place.url, "--to", target.url, "--through", "sh -c 'echo >> begun; until test -e told; do sleep 0.05; done; cat'")
    wait_until((cli.home / "begun").exists, 60, "the program")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = ""
    while STOPPING not in said:
        said += (line := process.stderr.readline().decode())
        assert line, said
    (cli.home / "told").touch()
    ended = cli.finish(process)
    assert ended.code == 130, ended.stderr
    assert "confirmed 0, refused 0, unknown 0, skipped " in ended.stderr
    assert (cli.home / "begun").read_text() == "\n"


@pytest.mark.kafka
def test_a_copy_that_was_out_of_time_goes_on_without_repeating_anything(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    source, target = make_place("kafka"), make_place("kafka")
    assert cli("publish", source.url, stdin=b"".join(b"%d\n" % number for number in range(200))).code == 0
    copy = ("replay", source.url, "--to", target.url, "--resume", "journal")
    assert cli(*copy, "--rate", "100/s", "--timeout", "1s").code == 124
    assert cli(*copy).code == 0
    assert bodies(cli, target) == [b"%d" % number for number in range(200)]


def test_what_was_confirmed_of_a_batch_that_was_interrupted_on_its_way_is_not_repeated(
        cli: CommandLine, place: Place, make_place: Callable[..., Place]) -> None:
    target = make_place(place.broker)
    assert cli("publish", place.url, stdin=b"".join(b"%d\n" % number for number in range(2000))).code == 0
    copy = ("replay", place.url, "--to", target.url, "--resume", "journal")
    process = cli.start(*copy, "--rate", "100/s", "--report", "report.json")  # ten at a time; all of them take twenty seconds
    journal = cli.home / "journal"
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b'"done"') > 2, 60, "something that is done")
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process)
    first = json.loads((cli.home / "report.json").read_bytes())
    assert (ended.code, first["unknown"], 0 < first["confirmed"] < 2000) == (130, 0, True), ended.stderr
    assert cli(*copy, "--report", "report.json").code == 0
    second = json.loads((cli.home / "report.json").read_bytes())
    assert first["confirmed"] + second["confirmed"] == 2000
    assert bodies(cli, target) == [b"%d" % number for number in range(2000)]


@pytest.mark.kafka
def test_a_copy_keeps_partitions_where_that_is_asked_and_refuses_those_that_its_destination_lacks(
        cli: CommandLine, kafka_address: str, unique: Callable[[str], str]) -> None:
    source, target, smaller = (make_kafka(kafka_address, unique("kept"), partitions) for partitions in (3, 3, 2))
    try:
        for partition in (2, 0, 1, 2):
            assert cli("publish", source.url, "-k", "same", "-p", str(partition), f"in {partition}").code == 0
        assert cli("replay", source.url, "--to", target.url, "--keep-partition").code == 0
        copies = [orjson.loads(line) for line in cli("replay", target.url, "-o", "json").lines]
        assert sorted((copy["partition"], copy["body"]) for copy in copies) == [(0, "in 0"), (1, "in 1"), (2, "in 2"), (2, "in 2")]
        ended = cli("replay", source.url, "--to", smaller.url, "--keep-partition")
        assert (ended.code, "read 4, confirmed 2, refused 2" in ended.stderr) == (3, True), ended.stderr
        assert "the topic has no such partition" in ended.stderr
    finally:
        for place in (source, target, smaller):
            unmake(place)
