"""`brokercli dlq …` on JetStream: the whole story, from a stream whose deaths are recorded to an empty one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.backends.nats_letters import dlq_of, fill_dlq, in_stream, numbers, wait_for
from tests.backends.nats_streams import Streams
from tests.backends.nats_workers import ACK, fail, work
from tests.commandline import CommandLine, Ended
from tests.commands.conftest import Place


def record_deaths(cli: CommandLine, streams: Streams, nats_address: str, bodies: list[bytes], *retention: str) -> str:
    """Make a stream whose deaths are recorded, and let these messages die in it; return its name."""
    name = streams.make(*retention)
    streams.worker(name, max_deliver=1)
    assert cli("dlq", "capture", f"{nats_address}/stream:{name}", "--yes").code == 0
    streams._made.append(f"{name}_DLQ")
    streams.fill(f"{name.lower()}.a", bodies)
    fail(nats_address, name)
    wait_for(lambda: streams.state(f"{name}_DLQ")["messages"] == len(bodies))
    return name


@pytest.mark.parametrize("arguments", [("inspect",), ("redrive", "--yes"), ("capture", "--yes")])
def test_a_name_that_no_stream_has_is_said_to_be_none_and_a_subject_to_keep_nothing(
        arguments: tuple[str, ...], cli: CommandLine, nats_address: str) -> None:
    missing = cli("dlq", arguments[0], f"{nats_address}/no-such-letters", *arguments[1:])
    assert (missing.code, missing.stderr.splitlines()[0]) == (1, "brokercli: There is no stream no-such-letters.")
    subject = cli("dlq", arguments[0], f"{nats_address}/subject:letters", *arguments[1:])
    assert (subject.code, "dead letters lie in streams" in subject.stderr) == (7, True)


def test_deaths_are_recorded_inspected_and_put_back(cli: CommandLine, streams: Streams, nats_address: str, tmp_path: Path) -> None:
    name = streams.make()

    def dlq(*arguments: str) -> Ended:
        return cli("dlq", *arguments, timeout=60)

    address, letters = f"{nats_address}/stream:{name}", f"{nats_address}/stream:{name}_DLQ"
    streams.worker(name, max_deliver=2)
    planned = dlq("capture", address)
    assert (planned.code, streams.consumers(name)) == (8, ["worker"])
    assert dlq("capture", address, "--yes").code == 0
    streams._made.append(f"{name}_DLQ")
    assert "already" in dlq("capture", address, "--yes").stderr

    streams.fill(f"{name.lower()}.a", numbers(6))
    refused = dlq("redrive", address, "--yes")
    assert refused.code == 1
    assert "dlq capture" in refused.stderr
    fail(nats_address, name, alive=lambda body: body == b"5")
    wait_for(lambda: streams.state(f"{name}_DLQ")["messages"] == 5)
    listed = dlq("ls", nats_address, "-o", "json")
    assert listed.code == 0, listed.stderr
    assert any(b'"pending":5' in line.replace(b" ", b"") and f"{name}_DLQ".encode() in line for line in listed.lines), listed.stdout

    inspected = dlq("inspect", letters, "-o", "json")
    assert inspected.code == 0, inspected.stderr
    group = orjson.loads(inspected.lines[0])
    assert (group["count"], group["reason"], group["consumer"]) == (5, "max deliveries", "worker")
    shown = dlq("show", "#2", letters)
    assert shown.code == 0, shown.stderr
    assert f"{name.lower()}.a".encode() in shown.stdout

    plan = dlq("redrive", letters)
    assert plan.code == 8, plan.stderr
    assert streams.state(f"{name}_DLQ")["messages"] == 5
    done = dlq("redrive", letters, "--yes", "--journal", str(tmp_path / "kept.ndjson"))
    assert done.code == 0, done.stderr
    assert "exactly once inside the duplicate window" in done.stderr
    assert streams.state(f"{name}_DLQ")["messages"] == 0
    assert in_stream(streams, name) == [*numbers(6), *numbers(5)]
    assert len((tmp_path / "kept.ndjson").read_bytes().splitlines()) == 5
    assert work(nats_address, name, "worker", lambda body: ACK) == numbers(5)
    assert dlq("redrive", letters, "--yes").code == 0


@pytest.mark.parametrize(("setting", "plan"), [("readonly", "this context is read-only"), ("protected", "--yes declares it")])
def test_deaths_are_recorded_only_where_the_context_allows_changes(cli: CommandLine, streams: Streams, nats_address: str, setting: str, plan: str) -> None:
    name = streams.make()
    assert cli("context", "add", "careful", "--url", nats_address, "--use", f"--{setting}").code == 0
    planned = cli("dlq", "capture", name)
    assert (planned.code, f"nothing was changed; {plan}\n" in planned.stderr) == (8, True), planned.stderr
    refused = cli("dlq", "capture", name, "--yes")
    assert (refused.code, "The context careful is" in refused.stderr) == (2, True), refused.stderr
    listed = cli("ls", f"stream:{name}*", "-o", "json")
    assert [orjson.loads(line)["name"] for line in listed.lines] == [name]


def test_the_journal_has_the_message_that_a_recorded_death_points_at_and_it_comes_back_from_there(
        cli: CommandLine, streams: Streams, nats_address: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept.ndjson")
    name = record_deaths(cli, streams, nats_address, numbers(3), "workqueue")
    assert cli("dlq", "redrive", f"{nats_address}/stream:{name}_DLQ", "--yes", "--through", "sed s/^/mended-/", "--journal", kept).code == 0
    assert cli("context", "add", "here", "--url", nats_address, "--use").code == 0
    assert [orjson.loads(line)["original"]["body"] for line in Path(kept).read_bytes().splitlines()] == ["0", "1", "2"]
    assert work(nats_address, name, "worker", lambda body: ACK) == [b"mended-0", b"mended-1", b"mended-2"]
    again = cli("dlq", "redrive", "--from-file", kept, "--yes")
    assert again.code == 0, again.stderr
    assert in_stream(streams, name) == numbers(3)


def test_a_filter_asks_the_message_that_a_recorded_death_points_at(cli: CommandLine, streams: Streams, nats_address: str) -> None:
    name = record_deaths(cli, streams, nats_address, [b"red", b"green", b"blue"])
    letters = f"{nats_address}/stream:{name}_DLQ"
    for options, count in ((("--grep", "re"), 2), (("--where", "body == 'blue'"), 1), (("--grep", "stream_seq"), 0)):
        inspected = cli("dlq", "inspect", letters, "-o", "json", *options)
        assert [orjson.loads(line)["count"] for line in inspected.lines] == ([count] if count else []), inspected.stderr
    assert cli("dlq", "redrive", letters, "--grep", "green", "--yes").code == 0
    assert in_stream(streams, name)[3:] == [b"green"]
    assert streams.state(f"{name}_DLQ")["messages"] == 2


def test_a_plan_says_what_becomes_of_letters_in_a_home_that_keeps_one_message_of_each_subject(
        cli: CommandLine, streams: Streams, nats_address: str) -> None:
    home = streams.make(max_msgs_per_subject=1)
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 2)
    plan = cli("dlq", "redrive", f"{nats_address}/stream:{name}")
    assert (plan.code, plan.stderr.count(f"stream {home} keeps 1 message of each subject")) == (8, 1), plan.stderr
    assert "keeps 1 message" not in cli("dlq", "redrive", f"{nats_address}/stream:{name}", "--quiet").stderr


def test_nobody_is_told_to_name_a_destination_for_messages_that_are_gone(cli: CommandLine, streams: Streams, nats_address: str) -> None:
    name = record_deaths(cli, streams, nats_address, numbers(2))
    streams.wire.ask(f"$JS.API.STREAM.PURGE.{name}")
    ended = cli("dlq", "inspect", f"{nats_address}/stream:{name}_DLQ")
    assert "2 of them only point at an original that is no longer stored\n" in ended.stderr
    assert "--to" not in ended.stderr


@pytest.mark.kafka
def test_a_plan_says_that_a_recorded_death_is_only_a_record_and_what_becomes_of_the_message(
        cli: CommandLine, streams: Streams, nats_address: str, make_place: Callable[..., Place]) -> None:
    name = record_deaths(cli, streams, nats_address, numbers(2), "workqueue")
    plans = [("drop", f"{nats_address}/stream:{name}_DLQ"), ("redrive", f"{nats_address}/stream:{name}_DLQ")]
    plans.append((*plans[1], "--to", make_place("kafka").url))
    for arguments in plans:
        plan = cli("dlq", *arguments)
        assert plan.code == 8, plan.stderr
        assert f"dropping a letter, or redriving it to another broker, takes out the record only: the message stays in {name}" in plan.stderr
    assert cli("dlq", *plans[0], "--yes").code == 0
    for arguments in plans:
        # nothing is said of letters where there are none
        assert "takes out the record only" not in cli("dlq", *arguments).stderr
    assert in_stream(streams, name) == numbers(2)


def test_letters_without_a_record_are_put_back_from_the_work_queue_itself(cli: CommandLine, streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue")
    streams.worker(name, max_deliver=1)
    streams.fill(f"{name.lower()}.a", numbers(4))
    fail(nats_address, name)
    address = f"{nats_address}/stream:{name}"
    inspected = cli("dlq", "inspect", address, "-o", "json")
    assert orjson.loads(inspected.lines[0])["count"] == 4
    assert "nobody recorded these deaths" in inspected.stderr
    done = cli("dlq", "redrive", address, "-n", "3", "--yes")
    assert done.code == 0, done.stderr
    assert in_stream(streams, name) == [b"3", b"0", b"1", b"2"]
    dropped = cli("dlq", "drop", address, "--yes")
    assert dropped.code == 0, dropped.stderr
    assert in_stream(streams, name) == [b"0", b"1", b"2"]
    assert work(nats_address, name, "worker", lambda body: ACK) == [b"0", b"1", b"2"]


@pytest.mark.parametrize(("verb", "options"), [(("drop",), ("--yes", "--journal", "kept")), (("export", "kept"), ()), (("export", "kept"), ("--grep", "0"))])
def test_letters_without_a_record_are_put_back_from_a_file_as_well(
        verb: tuple[str, ...], options: tuple[str, ...], cli: CommandLine, streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue")
    streams.worker(name, max_deliver=1)
    streams.fill(f"{name.lower()}.a", [b"0"])
    fail(nats_address, name)
    assert cli("context", "add", "here", "--url", nats_address, "--use").code == 0
    assert cli("dlq", *verb, f"stream:{name}", *options).code == 0
    before = in_stream(streams, name)
    back = cli("dlq", "redrive", "--from-file", "kept", "--yes")
    assert back.code == 0, back.stderr
    assert in_stream(streams, name) == [*before, b"0"], back.stderr
    assert cli("publish", f"stream:{name}", "--input", "json", "-f", "kept").code == 0


@pytest.mark.parametrize("way", ["another server", "a file"])
def test_a_letter_is_not_given_to_a_stream_that_drops_what_nobody_wants(cli: CommandLine, streams: Streams, nats_address: str, way: str) -> None:
    parked = streams.make("interest")
    name = streams.make(subjects=[f"dlq.{parked.lower()}"])
    streams.fill(f"dlq.{parked.lower()}", numbers(2), b"NATS/1.0\r\nX-Original-Subject: %b.a\r\n\r\n" % parked.lower().encode())
    letters = f"{nats_address}/stream:{name}"
    assert cli("context", "add", "here", "--url", nats_address, "--use").code == 0
    if way == "a file":
        assert cli("dlq", "export", "letters", letters).code == 0
        given = ["--from-file", "letters"]
    else:
        given = [letters, "--to", f"{nats_address.replace('127.0.0.1', 'localhost')}/subject:{parked.lower()}.a"]
    refused = cli("dlq", "redrive", *given, "--yes")
    assert refused.code == 1, refused.stderr
    assert "confirmed 0, refused 2" in refused.stderr
    assert f"none wants {parked.lower()}.a: it would confirm it and drop it" in refused.stderr
    assert in_stream(streams, name) == numbers(2)
    streams.worker(parked)
    done = cli("dlq", "redrive", *given, "--yes")
    assert done.code == 0, done.stderr
    assert in_stream(streams, parked) == numbers(2)


@pytest.mark.parametrize("options", [("--grep", "2"), ("--origin", "*.a", "--grep", "2"), ("--where", "body == '2'")])
def test_an_export_asks_what_letters_point_at_as_a_redrive_does(options: tuple[str, ...], cli: CommandLine, streams: Streams, nats_address: str) -> None:
    name = record_deaths(cli, streams, nats_address, numbers(3))
    letters = f"{nats_address}/stream:{name}_DLQ"
    inspected = cli("dlq", "inspect", letters, *options, "-o", "json")
    assert [orjson.loads(line)["count"] for line in inspected.lines] == [1]
    exported = cli("dlq", "export", "kept", letters, *options)
    assert "exported: 1 letter of " in exported.stderr, exported.stderr
    assert cli("context", "add", "here", "--url", nats_address, "--use").code == 0
    back = cli("dlq", "redrive", "--from-file", "kept", "--yes")
    assert back.code == 0, back.stderr
    assert in_stream(streams, name) == [*numbers(3), b"2"]
