"""`brokercli consumers`: on each broker that remembers consumers, from the list to the seek and its undo."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from brokercli.model.capability import Capability
from brokercli.model.position import parse_time
from tests.commandline import ROOT, STOPPING, CommandLine, Ended, environment
from tests.commands.test_completion import live_words
from tests.native.harness import Broker, Resource

if TYPE_CHECKING:
    from tests.backends.kafka_topics import Topics

needs = pytest.mark.needs
MOVABLE = needs(Capability.SEEK_CONSUMERS, where=lambda broker, row: row != "interest stream" and broker != "memory")
KEEPING = needs(Capability.SEEK_CONSUMERS, where=lambda broker, row: row in ("topic", "limits stream") and broker != "memory")


@pytest.fixture
def at_home(cli: CommandLine, broker: Broker) -> CommandLine:
    """A command line whose context `here` is the broker under test."""
    assert cli("context", "add", "here", "--url", broker.url).code == 0
    cli.extra["BROKERCLI_CONTEXT"] = "here"
    return cli


def three_behind(resource: Resource) -> str:
    """Store six messages, have the consumer finish the first half; return its name."""
    resource.put([b"message %d" % number for number in range(6)])
    resource.finish(3)
    assert resource.consumer is not None
    return resource.consumer


def rows(ended: Ended, code: int = 0) -> list[dict[str, Any]]:
    """Return the objects on standard output."""
    assert ended.code == code, ended.stderr
    return [json.loads(line) for line in ended.lines]


def lag_of(cli: CommandLine, name: str) -> int:
    """Return how far a consumer is behind."""
    (row,) = rows(cli("consumers", "lag", name, "-o", "json"))
    found: int = row["lag"]
    return found


@KEEPING
def test_consumers_are_listed_by_pattern_with_their_lag(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    (row,) = rows(at_home("consumers", "ls", f"{name[:-1]}?", "-o", "json"))
    assert (row["name"], row["lag"]) == (name, 3)
    table = at_home("consumers", "ls", name)
    assert (table.code, table.stderr) == (0, "")
    title, line = table.stdout.decode().splitlines()
    assert title.split()[:2] == ["NAME", "KIND"]
    assert line.split()[0] == name
    nothing = at_home("consumers", "ls", f"{name}-missing")
    assert (nothing.code, nothing.stdout) == (0, b"")
    assert "no consumer of this name" in nothing.stderr
    assert at_home("consumers", "ls", f"{name}-missing", "--fail-if-empty").code == 9


@needs(Capability.CONSUMERS, where=lambda broker, row: broker == "rabbitmq")
def test_on_rabbitmq_a_consumer_may_be_named_by_the_address_of_what_it_consumes(at_home: CommandLine, resource: Resource) -> None:
    resource.put([b"a message"])
    with resource.attend():
        address = str(resource.address)
        (row,) = rows(at_home("consumers", "lag", address, "-o", "json"))
        assert (row["name"], [source["source"] for source in row["sources"]]) == (resource.consumer, [address])
        watching = at_home("consumers", "lag", address, "--watch", "--every", "100ms", "-o", "json", "--fail-above", "0")
        assert "no consumer" not in watching.stderr
        assert json.loads(watching.lines[0])["name"] == resource.consumer
        assert resource.consumer in at_home("consumers", "describe", address).stdout.decode()
        # where it is in it is not known, or cannot be shown: either is said of what was meant
        refused = at_home("consumers", "peek", address)
        assert refused.code == 7, refused.stderr
        missing = at_home("consumers", "lag", f"{address}-missing")
        assert f"no consumer {resource.consumer}-missing" in missing.stderr


@KEEPING
def test_the_lag_is_told_by_name_and_pattern_and_decides_the_exit_code(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    (row,) = rows(at_home("consumers", "lag", f"*{name[5:]}", "-o", "json", "--fail-above", "3"))
    assert (row["name"], row["lag"], [source["lag"] for source in row["sources"]]) == (name, 3, [3])
    above = at_home("consumers", "lag", name, "--fail-above", "2")
    assert above.code == 11
    assert f"{name} is 3 behind, more than 2" in above.stderr
    assert b"LAG" in above.stdout
    missing = at_home("consumers", "lag", f"{name}-missing")
    assert (missing.code, missing.stdout) == (1, b"")
    assert "There is no consumer" in missing.stderr
    assert at_home("consumers", "lag", f"{name}-missing*", "--fail-above", "2", "--fail-if-empty").code == 9


@pytest.mark.kafka
def test_a_group_that_reads_nothing_and_has_no_position_is_not_called_up_to_date(cli: CommandLine, topics: Topics) -> None:
    """A worker that joined and went before it had committed: every message may still be to be done."""
    from tests.backends.kafka_groups import Groups

    groups = Groups(topics)
    topic, name = topics.make(), groups.name()
    groups.leave(groups.join(name, topic))
    cli.extra["BROKERCLI_URL"] = f"kafka://{topics.address}"
    looked, asked = cli("consumers", "lag", name), cli("consumers", "lag", name, "--fail-above", "1000")
    groups.close()
    assert (looked.code, looked.stderr) == (0, f"{name} has no position, and reads nothing\n")
    assert asked.code == 1
    assert f"{name} has no position and reads nothing, so --fail-above cannot be answered." in asked.stderr


@MOVABLE
def test_a_seek_is_planned_then_done_and_the_undo_it_prints_leads_back(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    before = resource.consumer_state()
    planned = at_home("consumers", "seek", name, "end")
    assert planned.code == 8, planned.stderr
    assert "nothing was changed; --yes moves it" in planned.stderr
    assert b"SKIPPED" in planned.stdout
    (plan,) = rows(at_home("consumers", "seek", name, "end", "--yes", "--dry-run", "-o", "json"), 8)
    assert [step["skipped"] for step in plan["steps"]] == [3]
    assert resource.consumer_state() == before
    done = at_home("consumers", "seek", name, "end", "--yes")
    assert done.code == 0, done.stderr
    assert lag_of(at_home, name) == 0
    undo = next(line.partition("to undo: ")[2] for line in done.stderr.splitlines() if "to undo: " in line)
    assert done.stderr.index("to undo") < done.stderr.index(f"{name} was moved")
    again = at_home("consumers", "seek", name, "end", "--yes")
    assert again.code == 0
    assert "nothing to do" in again.stderr
    back = at_home(*shlex.split(undo)[1:])
    assert back.code == 0, back.stderr
    assert lag_of(at_home, name) == 3


@KEEPING
def test_a_seek_is_refused_while_members_are_active_with_who_they_are(at_home: CommandLine, resource: Resource) -> None:
    resource.put([b"one", b"two"])
    resource.finish(2)
    before = resource.consumer_state()
    with resource.attend():
        for options in ((), ("--yes",)):
            ended = at_home("consumers", "seek", str(resource.consumer), "start", *options)
            assert ended.code == 1, ended.stderr
            assert b"READ AGAIN" in ended.stdout
            assert "is at work, so it was not moved: " in ended.stderr
    assert resource.consumer_state() == before


@MOVABLE
def test_peek_shows_what_it_is_stuck_on_between_what_it_did_and_what_comes(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    before = resource.consumer_state(), resource.state()
    ended = at_home("consumers", "peek", name, "-B", "1", "-A", "1")
    assert ended.code == 0, ended.stderr
    heading, *lines = ended.stdout.decode().splitlines()
    assert "3 behind" in heading
    marks = [(line[0], line.rpartition("message ")[2]) for line in lines]
    assert marks in ([(" ", "2"), ("→", "3"), (" ", "4")], [("→", "3"), (" ", "4")])  # finished ones are gone from a work queue
    told = rows(at_home("consumers", "peek", name, "-A", "0", "-o", "json"))
    assert [(envelope["distance"], envelope["body"]) for envelope in told][-1] == (0, "message 3")
    published = at_home("consumers", "peek", name, "-o", "json").stdout
    assert (resource.consumer_state(), resource.state()) == before
    assert at_home("publish", str(resource.destination), "--input", "json", stdin=published).code == 0


@KEEPING
def test_a_consumer_is_removed_by_its_full_name_and_yes_only(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    before = resource.consumer_state()
    told = at_home("consumers", "rm", name)
    assert told.code == 8
    assert "it has not finished 3 messages" in told.stderr
    pattern = at_home("consumers", "rm", f"{name[:-1]}*", "--yes")
    assert pattern.code == 2
    assert "is a pattern" in pattern.stderr
    assert resource.consumer_state() == before
    done = at_home("consumers", "rm", name, "--yes")
    assert done.code == 0, done.stderr
    assert resource.consumer_state() is None
    assert at_home("consumers", "rm", name, "--yes").code == 1


@KEEPING
def test_the_removal_of_who_is_at_work_is_refused_and_not_planned(at_home: CommandLine, resource: Resource) -> None:
    resource.put([b"one", b"two"])
    resource.finish(2)
    with resource.attend():
        for options in ((), ("--yes",)):
            ended = at_home("consumers", "rm", str(resource.consumer), *options)
            assert (ended.code, "is at work" in ended.stderr, "--yes deletes it" in ended.stderr) == (1, True, False), ended.stderr


@KEEPING
def test_a_broker_alone_is_no_consumer(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    for verb in (["describe"], ["lag", "--fail-above", "1"], ["lag", "--watch"], ["peek"], ["rm", "--yes"], ["seek", "--yes"]):
        ended = at_home("consumers", *verb, "@here/", *(["start"] if verb[0] == "seek" else []))
        assert (ended.code, ended.stdout) == (2, b"")
        assert "@here/ names no consumer" in ended.stderr
    assert lag_of(at_home, name) == 3


@KEEPING
def test_names_are_completed(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    for verb in ("lag", "seek", "rm"):
        assert live_words(at_home, f"brokercli consumers {verb} {name[:-1]}", [name]) == [name]
    assert at_home("__complete", "fish", f"brokercli consumers lag --context kafka://127.0.0.1:1 {name[:-1]}").stdout == b"words\n"


@needs(Capability.PAUSE_CONSUMERS)
def test_a_consumer_is_paused_for_a_while_and_resumed(at_home: CommandLine, resource: Resource) -> None:
    name = three_behind(resource)
    paused = at_home("consumers", "pause", name, "--for", "10m")
    assert paused.code == 0, paused.stderr
    assert "is paused until" in paused.stderr
    assert resource.consumer_state()["paused"] is True
    (row,) = rows(at_home("consumers", "ls", name, "-o", "json"))
    assert "paused" in row["state"].lower()
    assert at_home("consumers", "resume", name).code == 0
    assert not resource.consumer_state().get("paused")
    for options in ((), ("--for", "1m", "--until", "2030-01-01"), ("--until", "2020-01-01")):
        assert at_home("consumers", "pause", name, *options).code == 2


@needs(Capability.PAUSE_CONSUMERS)
@pytest.mark.parametrize("wrong", [3600, -3600])
def test_a_pause_is_as_long_as_it_was_to_be_whatever_our_clock_says(at_home: CommandLine, resource: Resource, wrong: int) -> None:
    name = three_behind(resource)
    ours = f"sys.path.insert(0, {str(ROOT)!r}); right = time.time_ns; time.time_ns = lambda: right() + {wrong} * 10**9"
    ended = subprocess.run([sys.executable, "-c", f"import sys, time; {ours}; from brokercli.__main__ import main; sys.exit(main())",
                            "consumers", "pause", name, "--for", "10m"], env=environment(at_home.home, at_home.extra), capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    until = str(resource.consumer_state()["config"]["pause_until"])
    assert 500 < (parse_time(until) - time.time_ns()) / 10**9 <= 600
    assert f"is paused until {until[:19]}" in ended.stderr.decode()


@needs(Capability.CONSUMERS, without=(Capability.LOOK_STORED,))
def test_peek_says_why_a_queue_cannot_be_peeked_and_what_to_do(at_home: CommandLine, broker: Broker, resource: Resource) -> None:
    resource.put([b"one"])
    assert at_home("context", "add", "managed", "--url", broker.url, "--management", str(broker.connection.management)).code == 0
    ended = at_home("consumers", "peek", str(resource.consumer), "--context", "managed")
    assert (ended.code, ended.stdout) == (7, b"")
    for words in ("cannot be shown", "brokercli dlq inspect", "brokercli tail"):
        assert words in ended.stderr


@needs(Capability.CONSUMERS, Capability.LOOK_STORED, without=(Capability.SEEK_CONSUMERS,), where=lambda broker, row: row != "subject")
def test_peek_says_that_only_a_consumer_of_a_stream_knows_where_it_is(at_home: CommandLine, resource: Resource) -> None:
    resource.put([b"one"])
    ended = at_home("consumers", "peek", str(resource.consumer))
    assert (ended.code, ended.stdout) == (7, b"")
    assert "is not known" in ended.stderr
    assert "brokercli replay" in ended.stderr


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("seek", "group", "nowhere"), 2, "is no position"),
    (("lag", "group", "--every", "5s"), 2, "--every goes with --watch"),
    (("lag", "group", "--watch", "--every", "1ms"), 2, "100 ms at least"),
    (("lag", "kafka://h/a", "kafka://other/b"), 2, "on several brokers"),
    (("pause", "group"), 2, "A pause has an end"),
    (("pause", "group", "--for", "1m"), 7, "cannot do that"),
    (("resume", "group"), 7, "cannot do that"),
    (("ls",), 5, ""),
    (("lag", "group", "--watch"), 5, ""),
])
def test_what_cannot_be_is_refused_before_a_broker_is_asked(cli: CommandLine, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = cli("consumers", *arguments, extra={"BROKERCLI_URL": "kafka://127.0.0.1:1", "BROKERCLI_CONNECT_TIMEOUT": "1"})
    assert (ended.code, ended.stdout) == (code, b"")
    assert words in ended.stderr


@pytest.mark.parametrize("setting", ["--readonly", "--protected"])
@pytest.mark.parametrize("arguments", [("seek", "group", "start", "--yes"), ("rm", "group", "--yes")])
def test_a_context_that_allows_no_changes_is_not_even_connected_to(cli: CommandLine, setting: str, arguments: tuple[str, ...]) -> None:
    assert cli("context", "add", "careful", "--url", "kafka://127.0.0.1:1", setting).code == 0
    ended = cli("consumers", *arguments, extra={"BROKERCLI_CONTEXT": "careful"})
    assert (ended.code, ended.stdout) == (2, b"")
    assert setting[2:].replace("readonly", "read-only") in ended.stderr


@pytest.fixture
def watched(cli: CommandLine, private_memory: Any) -> Callable[..., Any]:
    """Start to watch the group `watched` on a broker that may be killed; it reads the topic `orders`."""
    from tests.native.memory import MemoryBroker

    broker = MemoryBroker("127.0.0.1", private_memory.port)
    broker.ask("create", kind="topic", name="orders")
    broker.ask("commit", group="watched", positions={"orders": [-1, 0]})
    cli.extra["BROKERCLI_URL"] = broker.url
    return lambda *options: cli.start("consumers", "lag", "watched", "--watch", "--every", "100ms", *options)


@pytest.mark.memory
def test_a_watch_in_a_pipe_is_an_object_for_each_consumer_and_time_until_it_is_interrupted(cli: CommandLine, watched: Callable[..., Any]) -> None:
    process = watched()
    first = json.loads(process.stdout.readline())
    assert cli("publish", "topic:orders", "one").code == 0
    seen = first
    while seen["lag"] != first["lag"] + 1:
        seen = json.loads(process.stdout.readline())
    assert seen["time"] > first["time"]
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process)
    assert (ended.code, ended.stderr.replace(STOPPING, "")) == (130, "")


@pytest.mark.memory
def test_a_watch_ends_when_its_reader_leaves_though_nothing_is_to_be_written(cli: CommandLine, watched: Callable[..., Any]) -> None:
    process = watched("--every", "10m")
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141


@pytest.mark.memory
def test_a_watch_outlives_a_broker_that_is_away_and_says_so(cli: CommandLine, watched: Callable[..., Any], private_memory: Any) -> None:
    process = watched()
    assert process.stdout.readline()
    private_memory.kill()
    assert b"the broker is away" in process.stderr.readline()
    private_memory.start()
    assert b"the broker is back" in process.stderr.readline()
    assert b"watched is not there any more" in process.stderr.readline()  # a memory broker forgets its groups
    assert process.poll() is None


@pytest.mark.memory
def test_a_watch_ends_when_the_lag_is_above_what_is_allowed(cli: CommandLine, watched: Callable[..., Any]) -> None:
    process = watched("--fail-above", "1")
    assert process.stdout.readline()
    assert cli("publish", "topic:orders", stdin=b"one\ntwo\n").code == 0
    assert cli.finish(process).code == 11


@pytest.mark.memory
def test_a_watch_for_a_lag_ends_when_its_consumer_is_not_there_any_more(cli: CommandLine, watched: Callable[..., Any]) -> None:
    process = watched("--fail-above", "100")
    assert process.stdout.readline()
    assert cli("consumers", "rm", "watched", "--yes").code == 0
    ended = cli.finish(process)
    assert ended.code == 1
    assert "watched is not there any more, so --fail-above cannot be answered" in ended.stderr


@pytest.mark.memory
def test_a_watch_on_a_terminal_is_drawn_in_place(cli: CommandLine, watched: Callable[..., Any], terminal: Callable[..., Any]) -> None:
    shown = terminal("consumers", "lag", "watched", "--watch", "--every", "100ms", extra=cli.extra, columns=60, rows=8)
    shown.wait_for(b"PER SECOND")
    shown.wait_for(b"\x1b[3A\r")  # up again, over what was drawn
    for number in range(3):
        assert cli("publish", "topic:orders", str(number)).code == 0
    shown.wait_for(b"   %d" % lag_of(cli, "watched"))
    shown.resize(40, 8)
    shown.wait_for(b"\x1b[2J")
    shown.press(b"\x03")
    assert shown.wait() == 130


@pytest.mark.memory
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 8, 1)])
def test_on_a_terminal_a_seek_asks(cli: CommandLine, watched: Callable[..., Any], terminal: Callable[..., Any], answer: bytes, code: int, left: int) -> None:
    assert cli("publish", "topic:orders", "one").code == 0
    before = lag_of(cli, "watched")
    shown = terminal("consumers", "seek", "watched", "end", extra=cli.extra)
    shown.wait_for(b"move watched? [y/N]")
    shown.press(answer)
    assert shown.wait() == code
    assert lag_of(cli, "watched") == before * left


@needs(Capability.SEEK_CONSUMERS, where=lambda broker, row: row in ("interest stream", "work-queue stream"))
def test_what_goes_with_a_removed_consumer_is_told_before_yes(at_home: CommandLine, resource: Resource, row: str) -> None:
    name = three_behind(resource)
    told = at_home("consumers", "rm", name)
    assert told.code == 8
    stream = name.partition("/")[0]
    assert (f"deletes all 3 messages of stream {stream}" if row == "interest stream" else f"leaves 3 messages in stream {stream}") in told.stderr
    assert "nothing was changed; --yes deletes it" in told.stderr
    assert len(resource.stored(3)) == 3
