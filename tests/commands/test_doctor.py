"""`doctor`: the step that fails is the one that is named, and it ends with that step's exit code."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers.server import HOST, free_port
from tests.commandline import CommandLine, Ended, Terminal, environment
from tests.commands.conftest import STORED
from tests.commands.test_completion import live_words

SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in STORED]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """A broker's URL, on each broker."""
    address = str(request.getfixturevalue(f"{request.param}_address"))
    return address if "://" in address else f"kafka://{address}"


def checks_of(ended: Ended) -> dict[str, str]:
    """Return what was checked and how it is."""
    return {check["check"]: check["health"] for check in map(json.loads, ended.lines)}


def test_a_broker_that_works_is_looked_over_and_nothing_fails(cli: CommandLine, server: str) -> None:
    ended = cli("doctor", server)
    assert ended.code == 0, ended
    assert b"FAILED" not in ended.stdout
    assert ended.lines[0].startswith(b"ok       broker: ")
    assert b"\nok       connection and login: " in ended.stdout
    assert not ended.stderr
    described = cli("doctor", server, "-o", "json")
    assert described.code == 0
    assert {"broker", "connection and login"} < set(checks_of(described))


@pytest.mark.parametrize("scheme", ["kafka", "nats", "amqp"])
def test_a_closed_port_is_named_and_nothing_after_it_is_tried(cli: CommandLine, scheme: str) -> None:
    port = free_port()
    ended = cli("doctor", f"{scheme}://{HOST}:{port}", "-o", "json")
    assert ended.code == 5
    assert checks_of(ended) == {"broker": "ok", f"port {HOST}:{port}": "failed"}
    assert json.loads(ended.lines[-1])["found"] == "connection refused"
    assert json.loads(ended.lines[-1])["hint"]


def test_a_name_that_nobody_knows_is_named(cli: CommandLine) -> None:
    ended = cli("doctor", "nats://no-such-host.invalid")
    assert ended.code == 5
    assert b"FAILED   name no-such-host.invalid: cannot be resolved" in ended.stdout


@pytest.mark.kafka
def test_one_of_several_hosts_that_is_away_is_a_warning(cli: CommandLine, kafka_address: str) -> None:
    port = free_port()
    ended = cli("doctor", f"kafka://{HOST}:{port},{kafka_address}", "-o", "json")
    assert ended.code == 0, ended
    assert checks_of(ended)[f"port {HOST}:{port}"] == "warning"
    assert checks_of(ended)["connection and login"] == "ok"


@pytest.mark.parametrize("scheme", ["kafka", "nats", "amqp"])
def test_of_several_hosts_that_are_all_away_each_is_named_and_that_it_was_all(cli: CommandLine, scheme: str) -> None:
    first, second = free_port(), free_port()
    ended = cli("doctor", f"{scheme}://{HOST}:{first},{HOST}:{second}", "-o", "json")
    assert ended.code == 5
    assert checks_of(ended) == {"broker": "ok", f"port {HOST}:{first}": "warning", f"port {HOST}:{second}": "warning", "hosts": "failed"}
    assert json.loads(ended.lines[-1])["found"] == "none of the 2 can be reached"


def test_what_is_found_is_said_before_the_next_host_is_tried(cli: CommandLine, silent_port: int) -> None:
    closed = free_port()
    process = cli.start("doctor", f"kafka://{HOST}:{closed},{HOST}:{silent_port}", "--connect-timeout", "600")
    said = b""
    while b"refused" not in said and select.select([process.stdout], [], [], 60)[0]:
        said += (read := os.read(process.stdout.fileno(), 65536))
        if not read:
            break
    assert f"warning  port {HOST}:{closed}: connection refused".encode() in said
    assert process.poll() is None, "the second host is still being tried"
    process.kill()


def test_every_file_is_read_once_and_every_name_resolved_once(tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "config_home" / "brokercli" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'current = "here"\n[contexts.here]\nurl = "nats://localhost:{port},{HOST}:{port}"\n')
    watched = ("import runpy, sys\n"
               "note = lambda event, seen: print('SEEN', event, seen[0], file=sys.stderr) if event in ('open', 'socket.getaddrinfo') else None\n"
               "sys.addaudithook(note)\n"
               "sys.argv[0] = 'brokercli'\n"
               "runpy.run_module('brokercli', run_name='__main__')\n")
    ended = subprocess.run([sys.executable, "-c", watched, "doctor"], env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 5, ended.stderr
    assert ended.stderr.count(f"SEEN open {settings}\n") == 1
    assert ended.stderr.count("SEEN socket.getaddrinfo localhost\n") == 1
    assert ended.stderr.count(f"SEEN socket.getaddrinfo {HOST}\n") == 1


@pytest.mark.kafka
def test_a_login_that_is_missing_ends_with_its_own_exit_code(cli: CommandLine, kafka_login_address: str) -> None:
    ended = cli("doctor", f"kafka://{kafka_login_address}")
    assert ended.code == 6
    assert b"FAILED   connection and login: " in ended.stdout
    assert b"it wants a login" in ended.stdout


def test_dead_letters_that_the_context_names_and_that_are_not_there_are_a_warning(cli: CommandLine, server: str) -> None:
    assert cli("context", "add", "here", "--url", server, "--dlq", "stream:NOT-THERE" if server.startswith("nats") else "not-there").code == 0
    ended = cli("doctor", "@here", "-o", "json")
    assert ended.code == 0, ended
    assert checks_of(ended)["dead letters of the context"] == "warning"
    assert "the context here (chosen by the address)" in json.loads(ended.lines[0])["found"]


@pytest.mark.nats
@pytest.mark.parametrize("named", ["amqp://somebody:sekret@elsewhere/queue:dead", "@elsewhere/queue:dead", "amqp://somebody:sekret@elsewhere"])
def test_dead_letters_of_a_context_that_are_not_on_its_broker_are_a_warning_without_a_password(cli: CommandLine, nats_address: str, named: str) -> None:
    assert cli("context", "add", "here", "--url", nats_address).code == 0
    with (cli.home / "config_home" / "brokercli" / "config.toml").open("a") as file:
        file.write(f'dlq = "{named}"\n')
    ended = cli("doctor", "@here", "-o", "json")
    assert checks_of(ended)["dead letters of the context"] == "warning"
    assert b"sekret" not in ended.stdout
    assert b"NATS has no queues" not in ended.stdout


def test_something_on_a_broker_is_no_broker(cli: CommandLine) -> None:
    ended = cli("doctor", "orders.created")
    assert ended.code == 2
    assert "names no broker" in ended.stderr
    assert not ended.stdout
    assert "the context of this name is @local" in cli("doctor", "local").stderr


def test_an_empty_name_is_not_the_broker_that_is_chosen(cli: CommandLine) -> None:
    ended = cli("doctor", "", extra={"BROKERCLI_URL": f"nats://{HOST}:1"})
    assert (ended.code, ended.stdout) == (2, b"")
    assert "'' names no broker" in ended.stderr


def test_a_password_in_what_names_no_broker_is_not_repeated(cli: CommandLine) -> None:
    ended = cli("doctor", f"amqp://somebody:sekret@{HOST}:1/shop")
    assert ended.code == 2
    assert "The URL names something on a broker" in ended.stderr
    assert cli("doctor", f"amqp://somebody:sekret@{HOST}:1/shop/").code == 5, "that is its virtual host"
    assert "sekret" not in f"{ended.stderr}{ended.stdout!r}"


def test_an_address_of_ipv6_can_be_told_from_its_port(cli: CommandLine) -> None:
    port = free_port()
    ended = cli("doctor", f"kafka://[::1]:{port}")
    assert ended.code == 5
    assert f"at kafka://[::1]:{port} ".encode() in ended.stdout
    assert f"port [::1]:{port}: ".encode() in ended.stdout


@pytest.mark.rabbitmq
def test_the_login_that_a_broker_has_by_itself_is_named(cli: CommandLine, rabbitmq_address: str) -> None:
    ended = cli("doctor", rabbitmq_address.replace("guest:guest@", ""))
    assert ended.code == 0
    assert b"without a login" not in ended.stdout
    assert b"the login as guest travels without TLS" in ended.stdout


def test_contexts_complete_as_what_can_be_looked_over(cli: CommandLine) -> None:
    assert cli("context", "add", "staging", "--url", "nats://127.0.0.1:1").code == 0
    assert live_words(cli, "brokercli doctor @st", ["@staging"]) == ["@staging"]


@pytest.mark.nats
def test_on_a_terminal_it_says_how_each_thing_is_in_colour(tmp_path: Path, nats_address: str) -> None:
    with Terminal(tmp_path, ["doctor", nats_address]) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b[32mok     \x1b[0m  broker: NATS at " in terminal.screen
