"""`brokercli publish`: what is sent is what was read, and what is said of it is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pika
import pytest

from tests.commandline import CommandLine, command, environment
from tests.commands.conftest import Place
from tests.environment import ROOT


def envelopes(cli: CommandLine, place: Place) -> list[dict]:
    ended = cli("replay", place.url, "-o", "json")
    assert ended.code == 0, ended.stderr
    return [orjson.loads(line) for line in ended.lines]


def test_each_line_of_standard_input_is_a_message_and_the_summary_says_all_were_confirmed(cli: CommandLine, place: Place) -> None:
    ended = cli("publish", place.url, stdin=b"one\n\nthree\r\nlast")
    assert (ended.code, ended.stdout) == (0, b"")
    assert re.fullmatch(r"published: read 4, confirmed 4, refused 0, unknown 0, skipped 0 in [\d.]+ m?s\n", ended.stderr)
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["one", "", "three\r", "last"]


def test_a_body_given_as_argument_leaves_standard_input_alone(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, '{"id":1}', stdin=b"not this\n").code == 0
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ['{"id":1}']


def test_headers_are_kept_in_order_with_repeats_and_empty_values(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "x", "-H", "b=1", "-H", "a: two", "-H", "e=").code == 0
    headers = envelopes(cli, place)[0]["headers"]
    expected = [{"name": "b", "value": "1"}, {"name": "a", "value": "two"}, {"name": "e", "value": ""}]
    # RabbitMQ hands headers back sorted by name
    assert headers == (sorted(expected, key=lambda header: header["name"]) if place.broker == "rabbitmq" else expected)


def test_a_routing_key_goes_where_the_address_leaves_it_open_and_is_refused_elsewhere(cli: CommandLine, place: Place) -> None:
    refused = cli("publish", place.url, "x", "--routing-key", place.name)
    assert (refused.code, refused.stderr.partition(",")[0]) == (2, "brokercli: --routing-key goes with an address that leaves it open")
    assert envelopes(cli, place) == []
    leaving_it_open = {"nats": f"stream:{place.name.partition('.')[0]}", "rabbitmq": "exchange:amq.direct"}
    if place.broker in leaving_it_open:
        if place.broker == "rabbitmq":
            with pika.BlockingConnection(pika.URLParameters(place.server + "/")) as connection:
                connection.channel().queue_bind(place.name, "amq.direct", place.name)
        assert cli("publish", f"{place.server}/{leaving_it_open[place.broker]}", "y", "--routing-key", place.name).code == 0
        assert [envelope["body"] for envelope in envelopes(cli, place)] == ["y"]


def test_a_protected_context_is_published_to_only_by_who_names_it(cli: CommandLine, place: Place) -> None:
    assert cli("context", "add", "production", "--url", place.server, "--protected", "--use").code == 0
    address = place.url.rpartition("/")[2]
    refused = cli("publish", address, "x")
    assert (refused.code, refused.stderr.splitlines()[0]) == (2, "brokercli: The context production is protected: name it to change anything there.")
    assert cli("replay", address).stdout == b""
    assert cli("publish", address, "x", "--context", "production").code == 0
    assert cli("publish", f"@production/{address}", "y").code == 0
    assert cli("replay", address).lines == [b"x", b"y"]


def test_receipts_say_where_each_message_was_stored(cli: CommandLine, place: Place) -> None:
    ended = cli("publish", place.url, "--receipts", "-q", stdin=b"a\nb\nc\n")
    assert (ended.code, ended.stderr) == (0, "")
    receipts = [json.loads(line) for line in ended.lines]
    assert [(receipt["message"], receipt["verdict"]) for receipt in receipts] == [(1, "confirmed"), (2, "confirmed"), (3, "confirmed")]
    if place.broker != "rabbitmq":  # a RabbitMQ confirm says no position
        assert len({receipt["position"] for receipt in receipts}) == 3


def test_several_files_are_sent_in_order_and_one_that_is_missing_stops_before_anything_is_sent(cli: CommandLine, place: Place) -> None:
    (cli.home / "a").write_bytes(b"1\n2\n")
    (cli.home / "b").write_bytes(b"3\n")
    ended = cli("publish", place.url, "-f", "a", "-f", "missing", "-f", "b")
    assert ended.code == 2
    assert "missing cannot be read: No such file or directory. Nothing was sent." in ended.stderr
    assert cli("publish", place.url, "-f", "a", "-f", "b").code == 0
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["1", "2", "3"]


def test_whole_and_nul_take_what_lines_would_split(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "--input", "whole", stdin=b"a\nb\n").code == 0
    assert cli("publish", place.url, "--input", "nul", stdin=b"c\nd\0e").code == 0
    assert cli("publish", place.url, "--delimiter", r"\x1e", stdin=b"f\ng\x1eh").code == 0
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["a\nb\n", "c\nd", "e", "f\ng", "h"]


def test_a_line_that_is_no_envelope_stops_there_or_is_passed_over_as_asked(cli: CommandLine, place: Place) -> None:
    lines = b'{"body":"1"}\nnonsense\n{"body":"3"}\n'
    ended = cli("publish", place.url, "--input", "json", stdin=lines)
    assert ended.code == 3
    assert ended.stderr.count("line 2 is not JSON: invalid literal, expected 'null', at character 1") == 1
    assert "--on-bad-input skip goes on behind it" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "read 2, confirmed 1, refused 1" in ended.stderr
    ended = cli("publish", place.url, "--input", "json", "--on-bad-input", "skip", stdin=lines)
    assert ended.code == 3
    assert ended.stderr.count("line 2 is not JSON") == 1
    assert "read 3, confirmed 2, refused 1" in ended.stderr
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["1", "1", "3"]


def test_nothing_on_standard_input_is_success_unless_a_message_was_expected(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url).code == 0
    assert cli("publish", place.url, "--fail-if-empty").code == 9


def test_what_was_read_is_published_while_the_writer_stalls(cli: CommandLine, place: Place) -> None:
    process = cli.start("publish", place.url)
    assert process.stdin is not None
    process.stdin.write(b"early\n")
    process.stdin.flush()
    follower = cli("tail", place.url, "--from", "start", "-n", "1", "--timeout", "30s")
    assert (follower.code, follower.stdout) == (0, b"early\n")
    process.stdin.write(b"late")
    assert cli.finish(process).code == 0
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["early", "late"]


def test_the_correlation_envelope_is_added_where_it_was_asked_for(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "x", "--correlate", "--origin-service", "shop").code == 0
    headers = {header["name"]: header["value"] for header in envelopes(cli, place)[0]["headers"]}
    assert set(headers) == {"x-correlation-id", "x-trace-id", "traceparent", "x-origin-service", "x-attempts"}
    assert headers["x-origin-service"] == "shop"
    assert re.fullmatch(rf"00-{headers['x-trace-id']}-[0-9a-f]{{16}}-01", headers["traceparent"])


@pytest.mark.nats
def test_what_is_correlated_by_may_be_any_bytes(cli: CommandLine, make_place: Callable[[str], Place]) -> None:
    place = make_place("nats")
    assert cli("publish", place.url, "x", "--correlate", "--correlation-id", "a\udcff", "--origin-service", "b\udcff").code == 0
    headers = {header["name"]: header["value"] for header in envelopes(cli, place)[0]["headers"]}
    assert (headers["x-correlation-id"], headers["x-origin-service"]) == ({"base64": "Yf8="}, {"base64": "Yv8="})


@pytest.mark.parametrize(("options", "said"), [
    (("--correlation-id", "c-1"), "--correlation-id goes with --correlate"), (("--origin-service", "brokercli"), "--origin-service goes with --correlate"),
    (("--partition", "2147483648"), "2147483648 is not in the range"),
])
def test_an_option_that_would_do_nothing_or_that_no_broker_can_take_is_refused(cli: CommandLine, options: tuple[str, ...], said: str) -> None:
    ended = cli("publish", "kafka://127.0.0.1:1/orders", "x", *options)
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr


def test_the_report_counts_what_the_summary_says(cli: CommandLine, place: Place) -> None:
    assert cli("publish", place.url, "--report", "report.json", stdin=b"a\nb\n").code == 0
    report = json.loads((cli.home / "report.json").read_bytes())
    assert {name: report[name] for name in ("read", "confirmed", "refused", "unknown", "skipped", "exit_code")} == {
        "read": 2, "confirmed": 2, "refused": 0, "unknown": 0, "skipped": 0, "exit_code": 0}


def test_a_report_goes_to_standard_output_where_nothing_else_does(cli: CommandLine, place: Place) -> None:
    ended = cli("publish", place.url, "a", "--report", "-")
    assert (ended.code, json.loads(ended.stdout)["confirmed"]) == (0, 1), ended.stderr
    copied = cli("replay", place.url, "--to", place.url, "--report", "-")
    assert (copied.code, json.loads(copied.stdout)["summary"]) == (0, "replayed"), copied.stderr
    for words in (("publish", place.url, "b"), ("replay", place.url, "--to", place.url)):
        refused = cli(*words, "--receipts", "--report", "-")
        assert (refused.code, refused.stdout, "--report FILE" in refused.stderr) == (2, b"", True), refused.stderr
    assert cli("replay", place.url, "--to", place.url, "--resume", "-").code == 2
    assert not (cli.home / "-").exists()
    assert cli("replay", place.url).lines == [b"a", b"a"]


def test_an_envelope_goes_through_publish_and_comes_back_as_it_was(cli: CommandLine, place: Place) -> None:
    first = cli("publish", place.url, "--input", "json",
                stdin=b'{"headers":[{"name":"a","value":{"base64":"AP8="}},{"name":"b","value":"x"}],"body":{"base64":"/wD+"}}\n{"body":""}\n')
    assert first.code == 0, first.stderr
    before = envelopes(cli, place)
    lines = cli("replay", place.url, "-o", "json").stdout
    assert cli("publish", place.url, "--input", "json", stdin=lines).code == 0
    after = envelopes(cli, place)[2:]
    for name in ("key", "headers", "body", "properties"):
        assert [envelope.get(name) for envelope in after] == [envelope.get(name) for envelope in before]
    assert before[0]["headers"] == [{"name": "a", "value": {"base64": "AP8="}}, {"name": "b", "value": "x"}]
    assert before[0]["body"] == {"base64": "/wD+"}


@pytest.mark.parametrize(("arguments", "words"), [
    (("publish", "foo:bar", "x"), "foo: is no kind of address"),
    (("publish", "", "x"), "An address cannot be empty"),
    (("publish", "a\x1b[31mb", "x"), r"holds control characters"),
    (("publish", "zmq://host/x", "x"), "No broker speaks zmq://"),
    (("publish", "orders", "x"), "No broker is chosen"),
    (("publish", "orders", "x", "--rate", "fast"), "'fast' is no rate"),
    (("publish", "orders", "x", "--rate", "1e-320"), "'1e-320' is no rate"),
    (("publish", "orders", "x", "--rate", "1e308"), "'1e308' is no rate"),
    (("publish", "orders", "x", "--delivery-timeout", "9" * 400), "A duration is 100 years at most"),
    (("publish", "orders", "x", "--property", f"priority={'9' * 5000}"), "--property priority is a number"),
    (("publish", "orders", "x", "-H", "=v"), "A header needs a name"),
    (("publish", "orders", "x", "--header-json", "n=5x"), "--header-json n"),
    (("publish", "orders", "x", "--tombstone"), "BODY and --tombstone exclude each other"),
])
def test_what_is_asked_wrongly_is_said_in_a_sentence_before_anything_is_sent(cli: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.stdout) == (2, b"")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "\x1b" not in ended.stderr


def test_a_closed_standard_input_is_said(cli: CommandLine, place: Place) -> None:
    import subprocess
    import sys

    from tests.commandline import environment

    ended = subprocess.run(["sh", "-c", f"exec '{sys.executable}' -m brokercli publish '{place.url}' <&-"], env=environment(cli.home), capture_output=True,
                           timeout=60, check=False)
    assert ended.returncode == 2
    assert b"Standard input is closed." in ended.stderr


@pytest.mark.kafka
def test_tombstones_null_headers_keys_and_partitions_are_what_was_asked_for(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    place = make_place("kafka", partitions=3)
    assert cli("publish", place.url, "--tombstone", "-k", "gone", "-p", "2", "-H", "n").code == 0
    assert cli("publish", place.url, "x", "-k", "").code == 0
    found = envelopes(cli, place)
    tombstone = next(envelope for envelope in found if envelope["body"] is None)
    assert (tombstone["key"], tombstone["partition"], tombstone["headers"]) == ("gone", 2, [{"name": "n", "value": None}])
    assert next(envelope for envelope in found if envelope["body"] == "x")["key"] == ""
    ended = cli("publish", place.url, "x", "-p", "9")
    assert ended.code in (1, 2)
    assert "partition" in ended.stderr


@pytest.mark.kafka
def test_keys_go_to_the_partitions_that_javas_clients_choose(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    place = make_place("kafka", partitions=4)
    # what the Java producer computes: murmur2 of the key over four partitions
    expected = {"order-42": 0, "user:7": 0, "a": 0, "k1": 1}
    for key in expected:
        assert cli("publish", place.url, "x", "-k", key).code == 0
    assert {envelope["key"]: envelope["partition"] for envelope in envelopes(cli, place)} == expected


@pytest.mark.nats
def test_a_subject_without_a_stream_is_refused_at_once_and_core_sends_it_anyway(cli: CommandLine, nats_address: str, unique: Callable[[str], str]) -> None:
    subject = unique("nobody")
    ended = cli("publish", f"{nats_address}/{subject}", "x")
    assert ended.code == 1
    assert "--core" in ended.stderr
    assert cli("publish", f"{nats_address}/{subject}", "x", "--core").code == 0


@pytest.mark.nats
def test_a_duplicate_is_confirmed_and_said(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    place = make_place("nats")
    assert cli("publish", place.url, "x", "--id", "order-1").code == 0
    ended = cli("publish", place.url, "x", "--id", "order-1")
    assert ended.code == 0
    assert "duplicate" in ended.stderr
    assert len(envelopes(cli, place)) == 1


@pytest.mark.nats
def test_several_messages_with_one_id_of_which_one_would_be_stored_are_refused(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    place = make_place("nats")
    ended = cli("publish", place.url, "--id", "order-1", "-q", stdin=b"1\n2\n3\n")
    assert ended.code == 3
    assert "message 2 would have the id order-1 of message 1: of those the broker stores one" in ended.stderr
    ended = cli("publish", place.url, "--id", "order-4", "--input", "json", "--on-bad-input", "skip",
                stdin=b'{"body":"4"}\n{"body":"5","id":"order-5"}\n{"body":"6"}\n{"body":"7"}\n')
    assert ended.code == 3
    assert ended.stderr.count("of message 1: of those the broker stores one") == 2
    assert "read 4, confirmed 2, refused 2" in ended.stderr
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["1", "4", "5"]


@pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def test_where_an_id_is_a_name_only_any_number_of_messages_may_have_it(cli: CommandLine, make_place: Callable[..., Place], broker: str) -> None:
    place = make_place(broker)
    assert cli("publish", place.url, "--id", "order-1", stdin=b"1\n2\n3\n").code == 0
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["1", "2", "3"]


def test_no_time_for_a_verdict_is_refused_and_a_very_short_one_is_a_short_one(cli: CommandLine, place: Place) -> None:
    for none in ("0", "0s", "0ms"):
        ended = cli("publish", place.url, "x", "--delivery-timeout", none)
        assert (ended.code, f"--delivery-timeout {none} leaves the broker no time to answer" in ended.stderr) == (2, True)
    assert envelopes(cli, place) == []
    ended = cli("publish", place.url, "x", "--delivery-timeout", "1ms")
    # a verdict may come in time or not; the client takes the setting
    assert ended.code != 2, ended.stderr
    assert "published: read 1, " in ended.stderr


@pytest.mark.parametrize("broker", [pytest.param("nats", marks=pytest.mark.nats), pytest.param("kafka", marks=pytest.mark.kafka)])
def test_a_wildcard_is_no_destination(cli: CommandLine, make_place: Callable[..., Place], broker: str) -> None:
    place = make_place(broker)
    ended = cli("publish", f"{place.server}/{place.name.partition('.')[0]}.*", "x")
    assert (ended.code, ended.stdout) == (2, b"")


def test_full_output_and_a_reader_that_leaves_are_told_apart(cli: CommandLine, place: Place) -> None:
    # more than a pipe holds: who writes it cannot be done before its reader leaves
    assert cli("publish", place.url, stdin=(b"line" * 25 + b"\n") * 2000).code == 0
    with Path("/dev/full").open("wb") as full:
        ended = cli.finish(cli.start("replay", place.url, stdout=full.fileno()))
    assert ended.code == 10
    assert "No space left on device" in ended.stderr
    reader, writer = os.pipe()
    process = cli.start("replay", place.url, stdout=writer)
    os.close(writer)
    os.close(reader)
    ended = cli.finish(process)
    assert (ended.code, ended.stderr) == (141, "")


def test_receipts_that_cannot_be_written_are_no_refusal_of_what_is_stored(cli: CommandLine, place: Place) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = cli.finish(cli.start("publish", place.url, "one", "--receipts", stdout=full.fileno()))
    assert (ended.code, "No space left on device" in ended.stderr) == (10, True)
    assert "read 1, confirmed 1, refused 0, unknown 0, skipped 0" in ended.stderr


def test_a_stream_that_is_closed_from_the_start_changes_nothing_where_nothing_is_to_be_written_to_it(cli: CommandLine, place: Place) -> None:
    def closed(stream: str, *arguments: str) -> tuple[int, str]:
        ended = subprocess.run(["sh", "-c", f'exec "$0" "$@" {stream}>&-', *command(arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                               env=environment(cli.home), cwd=cli.home, check=False)
        return ended.returncode, ended.stderr.decode()

    code, said = closed("1", "publish", place.url, "one")
    assert (code, "confirmed 1" in said) == (0, True), said
    assert closed("2", "publish", place.url, "two") == (0, "")
    for arguments in ((), ("-f", "-")):
        ended = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&-', *command(("publish", place.url, *arguments))], capture_output=True, timeout=60,
                               env=environment(cli.home), cwd=cli.home, check=False)
        assert (ended.returncode, b"Standard input is closed" in ended.stderr) == (2, True)
    assert [envelope["body"] for envelope in envelopes(cli, place)] == ["one", "two"]
    for printing in (("replay", place.url), ("replay", "--help")):
        code, said = closed("1", *printing)
        assert (code, "standard output is closed" in said) == (10, True)


_INTERRUPTED_WHILE_CLOSING = """
import os, signal, sys
from brokercli.__main__ import main
from brokercli.backends.nats.backend import NatsBackend

close = NatsBackend.close
NatsBackend.close = lambda self: (os.kill(os.getpid(), signal.SIGINT), close(self))
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["brokercli", *sys.argv[1:]]
main()
"""


@pytest.mark.nats
@pytest.mark.parametrize("words", [("publish", "{url}", "hello"), ("replay", "{url}", "--from", "start", "--to", "{other}")], ids=["publish", "replay"])
def test_ctrl_c_after_all_was_said_changes_nothing_about_the_exit_code(
        cli: CommandLine, make_place: Callable[..., Place], words: tuple[str, ...]) -> None:
    one, other = make_place("nats"), make_place("nats")
    assert cli("publish", one.url, "hello").code == 0
    arguments = [word.format(url=one.url, other=other.url) for word in words]
    ended = subprocess.run([sys.executable, "-c", _INTERRUPTED_WHILE_CLOSING, *arguments, "--report", str(cli.home / "report")], cwd=ROOT,
                           env=environment(cli.home), capture_output=True, timeout=60, check=False)
    assert (ended.returncode, json.loads((cli.home / "report").read_text())["exit_code"]) == (0, 0), ended.stderr.decode()


def test_a_reader_of_receipts_that_leaves_is_no_refusal_of_what_is_stored(cli: CommandLine, place: Place) -> None:
    reader, writer = os.pipe()
    process = cli.start("publish", place.url, "one", "--receipts", stdout=writer)
    os.close(writer)
    os.close(reader)
    ended = cli.finish(process)
    assert (ended.code, "read 1, confirmed 1, refused 0, unknown 0, skipped 0" in ended.stderr) == (141, True), ended.stderr


def test_an_empty_context_is_no_broker(cli: CommandLine, place: Place) -> None:
    assert cli("context", "add", "here", "--url", place.server, "--use").code == 0
    for arguments in (("publish", place.name, "--context", "", "one"), ("publish", place.name, "-c", " ", "one")):
        ended = cli(*arguments)
        assert (ended.code, "--context is empty" in ended.stderr) == (2, True)
    assert envelopes(cli, place) == []


def test_what_is_typed_line_by_line_shares_its_line_with_no_account(place: Place, terminal: Callable[..., Any]) -> None:
    typing = terminal("publish", place.url)
    typing.wait_for(b"reading messages from the terminal, one a line; Ctrl-D ends\r\n")
    time.sleep(1)  # a passing account would be shown by now
    typing.press(b"one\n")
    time.sleep(2)
    typing.press(b"two\n\x04")
    assert typing.wait() == 0
    assert b"one\r\ntwo\r\n" in typing.screen
    assert b"confirmed 2" in typing.screen
