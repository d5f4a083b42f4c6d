"""The broker goes away under a command: what the command says afterwards is what happened."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import HOST, Server, wait_until
from tests.commandline import CommandLine, Ended
from tests.commands.conftest import Place, make_kafka, make_nats, make_rabbitmq

COUNT = 30_000
BROKERS = [pytest.param(name, marks=[getattr(pytest.mark, name), pytest.mark.xdist_group(f"private_{name}")]) for name in ("kafka", "nats", "rabbitmq")]


@pytest.fixture(params=BROKERS)
def killable(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> tuple[Server, Place]:
    """A broker of this test's own, and a place on it."""
    makers: dict[str, Callable[..., Place]] = {"kafka": make_kafka, "nats": make_nats, "rabbitmq": make_rabbitmq}
    server: Server = request.getfixturevalue(f"private_{request.param}")
    # a broker that was killed by the test before may answer before it takes orders
    deadline = time.monotonic() + 60
    while True:
        try:
            return server, makers[request.param](server.address, unique("fault"))
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def publish_some(cli: CommandLine, place: Place, *arguments: str, to: str | None = None) -> Any:
    (cli.home / "lines").write_bytes(b"".join(b"message %d\n" % number for number in range(COUNT)))
    with (cli.home / "receipts").open("wb") as receipts:
        return cli.start("publish", to or place.url, "-f", "lines", "--receipts", "--report", "report.json", *arguments, stdout=receipts.fileno())


def told_of(cli: CommandLine, ended: Ended) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the report of a run and its receipts."""
    assert (cli.home / "report.json").exists(), f"no report, exit code {ended.code}: {ended.stderr}"
    return json.loads((cli.home / "report.json").read_bytes()), [json.loads(line) for line in (cli.home / "receipts").read_bytes().splitlines()]


def wait_until_stored(cli: CommandLine, place: Place, count: int) -> None:
    """Return in the midst of publishing."""
    wait_until(lambda: len(cli("replay", place.url, "-n", str(count)).lines) == count, 60, f"the message number {count}")


def stored_bodies(cli: CommandLine, place: Place) -> list[bytes]:
    deadline = time.monotonic() + 60
    while True:
        ended = cli("replay", place.url)
        if ended.code == 0 or time.monotonic() > deadline:
            assert ended.code == 0, ended.stderr
            return ended.lines
        time.sleep(0.5)


def check_account(report: dict[str, Any], receipts: list[dict[str, Any]], ended: Ended, stored: list[bytes]) -> None:
    """The contract of every publish, whatever happened: nothing confirmed is missing, nothing is said twice, each verdict has its receipt."""
    assert report["read"] == report["confirmed"] + report["refused"] + report["unknown"] + report["skipped"]
    assert report["exit_code"] == ended.code
    assert Counter(receipt["verdict"] for receipt in receipts) == Counter({name: report[name] for name in ("confirmed", "refused", "unknown")})
    assert max(Counter(receipt["message"] for receipt in receipts if receipt["message"] is not None).values()) == 1
    assert report["confirmed"] <= len(set(stored)) <= report["confirmed"] + report["unknown"]
    if ended.code == 0:
        assert report["confirmed"] == report["read"] == COUNT
    if report["unknown"]:
        assert ended.code == 4
        assert f"unknown {report['unknown']:,}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broker_that_is_killed_and_comes_back_costs_nothing_or_the_doubt_is_counted(cli: CommandLine, killable: tuple[Server, Place]) -> None:
    server, place = killable
    process = publish_some(cli, place, "--rate", "5000/s", "--delivery-timeout", "60s")
    wait_until_stored(cli, place, 7500)  # a RabbitMQ stream that dies within its first second never works again (INTERNAL_ERROR, seen on 4.3.6)
    server.kill()
    server.start()
    ended = cli.finish(process, timeout=120)
    report, receipts = told_of(cli, ended)
    assert ended.code in (0, 4), ended.stderr
    check_account(report, receipts, ended, stored_bodies(cli, place))


def test_a_broker_that_stays_away_leaves_an_account_that_is_true_when_it_is_back(cli: CommandLine, killable: tuple[Server, Place]) -> None:
    server, place = killable
    process = publish_some(cli, place, "--rate", "1000/s", "--delivery-timeout", "8s")
    wait_until_stored(cli, place, 1500)
    server.kill()
    ended = cli.finish(process, timeout=120)
    report, receipts = told_of(cli, ended)
    assert ended.code in (3, 4, 5), ended.stderr
    assert "has confirmed nothing for" in ended.stderr
    server.start()
    check_account(report, receipts, ended, stored_bodies(cli, place))


def test_a_broker_that_hangs_is_given_up_after_the_delivery_timeout_and_what_never_left_is_refused(cli: CommandLine, killable: tuple[Server, Place]) -> None:
    server, place = killable
    process = publish_some(cli, place, "--rate", "1000/s", "--delivery-timeout", "8s")
    wait_until_stored(cli, place, 1500)
    server.pause()
    ended = cli.finish(process, timeout=120)
    server.resume()
    report, receipts = told_of(cli, ended)
    assert ended.code == 4, ended.stderr
    assert "has confirmed nothing for" in ended.stderr
    assert (report["unknown"] > 0, report["refused"] > 0) == (True, True), report
    wait_until(server.answers, 60, "the broker's answer")
    check_account(report, receipts, ended, stored_bodies(cli, place))


def freeze_with_something_in_flight(server: Server) -> None:
    """Freeze a broker, and return once a message has been sent to it that it has not taken."""
    server.pause()
    # heartbeats and pings are shorter
    wait_until(lambda: server.unread > 40, 60, "a message for the frozen broker")


def interrupt_twice(cli: CommandLine, process: Any) -> Ended:
    """Interrupt a command that waits for a broker, and once more when it says that it waits."""
    process.send_signal(signal.SIGINT)
    said = b""
    while b"stopping once what is in flight is settled" not in said:
        said += (read := os.read(process.stderr.fileno(), 65536))
        assert read, said.decode()
    assert process.poll() is None, "the first interrupt waits for what is in flight"
    process.send_signal(signal.SIGINT)
    return cli.finish(process, timeout=20)


def test_the_second_interrupt_stops_at_once_and_says_what_is_unknown(cli: CommandLine, killable: tuple[Server, Place]) -> None:
    server, place = killable
    process = publish_some(cli, place, "--rate", "1000/s", "--delivery-timeout", "120s")
    wait_until_stored(cli, place, 1)
    freeze_with_something_in_flight(server)
    ended = interrupt_twice(cli, process)
    server.resume()
    report, receipts = told_of(cli, ended)
    assert ended.code == 4, ended.stderr
    assert report["unknown"] > 0
    wait_until(server.answers, 60, "the broker's answer")
    check_account(report, receipts, ended, stored_bodies(cli, place))


@pytest.mark.parametrize("killable", BROKERS[2:], indirect=True)
def test_why_nothing_moves_is_said_while_nothing_moves(cli: CommandLine, killable: tuple[Server, Place]) -> None:
    server, place = killable
    assert isinstance(server, RabbitMQ)
    # so that all of them take longer than setting the alarm and taking it back
    process = publish_some(cli, place, "--rate", "200/s", "--delivery-timeout", "120s")
    wait_until_stored(cli, place, 1)
    server.alarm(on=True)
    try:
        assert select.select([process.stderr], [], [], 60)[0]
        assert os.read(process.stderr.fileno(), 65536).startswith(b"blocked by the broker")
        assert process.poll() is None
    finally:
        server.alarm(on=False)
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process)
    assert ended.code == 130, ended.stderr
    assert "blocked by" not in ended.stderr


@pytest.mark.parametrize("killable", BROKERS[1:2], indirect=True)
def test_after_the_second_interrupt_a_copy_goes_on_and_repeats_nothing_but_what_is_unknown(
        cli: CommandLine, killable: tuple[Server, Place], make_place: Callable[..., Place]) -> None:
    (server, target), source = killable, make_place("nats")
    every = [b"%d" % number for number in range(2000)]
    assert cli("publish", source.url, stdin=b"\n".join(every)).code == 0
    copy = ("replay", source.url, "--to", target.url, "--resume", "journal", "--report", "report.json")
    process = cli.start(*copy, "--rate", "100/s", "--delivery-timeout", "120s")
    journal = cli.home / "journal"
    wait_until(lambda: journal.exists() and b'"done"' in journal.read_bytes(), 60, "something that is done")
    freeze_with_something_in_flight(server)
    ended = interrupt_twice(cli, process)
    server.resume()
    first = json.loads((cli.home / "report.json").read_bytes())
    assert (ended.code, first["unknown"] > 0) == (4, True), ended.stderr
    assert cli(*copy).code == 0
    second = json.loads((cli.home / "report.json").read_bytes())
    assert first["confirmed"] + second["confirmed"] == len(every)
    stored = stored_bodies(cli, target)
    assert set(stored) == set(every)
    assert len(stored) <= len(every) + first["unknown"]


def test_an_interrupt_while_standard_input_stalls_ends_with_an_account(cli: CommandLine, place: Place) -> None:
    process = cli.start("publish", place.url)
    assert process.stdin is not None
    process.stdin.write(b"one\ntwo\n")
    process.stdin.flush()
    assert cli("tail", place.url, "--from", "start", "-n", "2", "--timeout", "30s").lines == [b"one", b"two"]
    process.send_signal(signal.SIGINT)
    process.wait(30)  # before its standard input ends, which would end it as well
    ended = cli.finish(process)
    assert ended.code == 130
    assert "read 2, confirmed 2, refused 0, unknown 0, skipped 0" in ended.stderr


def test_the_check_of_this_file_sees_a_lie() -> None:
    honest = {"read": 3, "confirmed": 2, "refused": 0, "unknown": 1, "skipped": 0, "exit_code": 4}
    ended = Ended(4, b"", "unknown 1")
    receipts = [{"message": 1, "verdict": "confirmed"}, {"message": 2, "verdict": "confirmed"}, {"message": 3, "verdict": "unknown"}]
    check_account(honest, receipts, ended, [b"a", b"b"])
    check_account(honest, receipts, ended, [b"a", b"b", b"c"])
    for lie, told, stored in ((honest, receipts, [b"a"]), ({**honest, "confirmed": 3, "unknown": 0, "exit_code": 0}, receipts, [b"a", b"b"]),
                              ({**honest, "skipped": 1}, receipts, [b"a", b"b"]), (honest, receipts[1:], [b"a", b"b"]),
                              (honest, [receipts[1], *receipts[1:]], [b"a", b"b"])):
        with pytest.raises(AssertionError):
            check_account(lie, told, ended, stored)


@pytest.mark.parametrize("scheme", ["nats", "kafka", "amqp"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", [("tail",), ("replay",), ("dlq", "inspect"), ("dlq", "redrive")], ids=" ".join)
def test_while_nothing_is_connected_the_first_signal_stops_at_once(
        cli: CommandLine, silent_port: int, command: tuple[str, ...], number: signal.Signals, code: int, scheme: str) -> None:
    process = cli.start(*command, f"{scheme}://{HOST}:{silent_port}/{'queue:' if scheme == 'amqp' else ''}orders", "--connect-timeout", "600")
    wait_until(lambda: connecting_to(process.pid, silent_port), 60, "the attempt to connect")
    process.send_signal(number)
    ended = cli.finish(process, timeout=60)
    assert (ended.code, ended.stdout) == (code, b"")
    assert "Traceback" not in ended.stderr


def connecting_to(pid: int, port: int) -> bool:
    """Whether a process waits for a port to take its connection, or be answered on it."""
    there = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[2].endswith(f":{port:04X}")}
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    return any(f"socket:[{inode}]" in sockets for inode in there)


@pytest.mark.parametrize(("said", "why"), [("soon", "'soon' is no duration"), ("0", "too short a duration to connect in")])
def test_what_is_wrong_with_the_environment_is_said_with_the_name_of_the_variable(cli: CommandLine, said: str, why: str) -> None:
    ended = cli("ls", "nats://127.0.0.1:1", extra={"BROKERCLI_CONNECT_TIMEOUT": said})
    assert ended.code == 2
    assert "BROKERCLI_CONNECT_TIMEOUT: " in ended.stderr
    assert why in ended.stderr
