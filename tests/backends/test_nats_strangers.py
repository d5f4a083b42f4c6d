"""What is no NATS server behind an address, or a slow one: it is named by what it says, and is told nothing that is secret."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.server_info import read_info
from brokercli.model.address import Address
from brokercli.model.connection import TLS, Connection, Secret
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable, UsageProblem
from tests.backends.nats_streams import subject
from tests.brokers.server import HOST
from tests.faults.proxy import listening

PASSWORD = "nats-s3cret"


def refusal(connection: Connection) -> BrokercliError:
    with pytest.raises(BrokercliError) as refused:
        NatsBackend(connection)
    return refused.value


@contextmanager
def impostor(greeting: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says `greeting` and keeps everything it hears."""
    heard: list[bytes] = []

    def talk(client: socket.socket) -> None:
        client.sendall(greeting)
        while data := client.recv(4096):
            heard.append(data)
            if b"PING" in data:
                client.sendall(b"PONG\r\n")

    with listening(talk) as port:
        yield port, heard


@pytest.mark.parametrize("info", [{}, {"tls_required": False}, {"tls_available": False}, {"tls_required": True}, {"tls_available": True},
                                  {"auth_required": True, "nonce": "x"}])
def test_no_credential_ever_leaves_in_clear_where_tls_was_asked_for(info: dict[str, object]) -> None:
    greeting = b"INFO " + json.dumps({"server_id": "x", "version": "2.15.1", "headers": True, "max_payload": 1000, **info}).encode() + b"\r\n"
    for secret in ({"user": "all", "password": Secret(PASSWORD)}, {"token": Secret(PASSWORD)}):
        with impostor(greeting) as (port, heard):
            error = refusal(Connection("tls", ((HOST, port),), tls=TLS(insecure=True), connect_timeout=1.0, **secret))  # type: ignore[arg-type]
            assert isinstance(error, (Unreachable, NotAuthorised))
            said = b"".join(heard)
            assert b"CONNECT" not in said
            assert PASSWORD.encode() not in said


@pytest.mark.parametrize(("answer", "words"), [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers HTTP"), (b"AMQP\x00\x00\x09\x01", "RabbitMQ"), (b"\x15\x03\x01\x00\x02\x02\x46", "wants TLS"),
    (b"", "hangs up"), (b"SSH-2.0-x\r\n", "SSH"), (b"\x00\x01", "does not speak NATS"),
])
def test_a_silent_stranger_is_named_by_what_it_answers(answer: bytes, words: str) -> None:
    def talk(client: socket.socket) -> None:
        client.recv(100)
        client.sendall(answer)

    # it is given a part of that to answer in
    with listening(talk) as port:
        error = refusal(Connection("nats", ((HOST, port),), connect_timeout=20.0))
    assert isinstance(error, Unreachable)
    assert words in str(error)


def test_a_server_that_greets_late_is_no_stranger(nats_address: str) -> None:
    """Both connections are greeted at once: by then somebody else was looked for behind the silence."""
    host, _, port = nats_address.removeprefix("nats://").partition(":")
    came: list[socket.socket] = []
    second = threading.Event()

    def talk(client: socket.socket) -> None:
        came.append(client)
        if len(came) > 1:
            second.set()
        assert second.wait(60)
        with socket.create_connection((host, int(port))) as server:
            threading.Thread(target=pass_on, args=(client, server), daemon=True).start()
            pass_on(server, client)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    with listening(talk) as at, NatsBackend(Connection("nats", ((HOST, at),), connect_timeout=20.0)) as backend:
        assert backend.resolve(Address("orders.>"), "look") == subject("orders.>")
    assert len(came) == 2


def test_a_stranger_that_speaks_first_is_not_taken_for_nats() -> None:
    for greeting, words in ((b"SSH-2.0-OpenSSH\r\n", "SSH"), (b"220 mail ESMTP\r\n", "does not speak NATS"), (b"INFO nonsense\r\n", "says INFO"),
                            (b"INFO []\r\n", "says INFO"), (b"INFO null\r\n", "says INFO"), (b"INFO " + b"[" * 100_000 + b"\r\n", "says INFO"),
                            (b"\x00" * 300_000, "does not speak NATS")):
        with impostor(greeting) as (port, _):
            error = refusal(Connection("nats", ((HOST, port),), connect_timeout=20.0))
            assert isinstance(error, Unreachable)
            assert words in str(error)


INFO = {"server_id": "x", "version": "2.15.1", "headers": True, "max_payload": 1000}


@pytest.mark.parametrize(("answer", "words"), [
    (b"-ERR 'Authorization Violation \xff\x1b[2J'\r\n", "Authorization Violation"),
    (b"-ERR '" + b"z" * 1_000_000, "does not end"),
])
def test_an_answer_to_the_login_that_no_server_gives_is_no_bug_of_ours(answer: bytes, words: str) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        client.recv(4096)
        client.sendall(answer)
        client.recv(4096)

    with listening(talk) as port:
        error = refusal(Connection("nats", ((HOST, port),), user="all", password=Secret(PASSWORD), connect_timeout=20.0))
    assert isinstance(error, (Unreachable, NotAuthorised))
    assert words in str(error)


@pytest.mark.parametrize("urls", [7, [None, "[::bad", "none:1", "no-port", "h:x", "good:4222"]])
def test_other_servers_that_are_named_and_are_no_addresses_are_left_out(urls: object) -> None:
    with impostor(b"INFO " + json.dumps(INFO | {"connect_urls": urls}).encode() + b"\r\n") as (port, _), \
            NatsBackend(Connection("nats", ((HOST, port),), connect_timeout=20.0)) as backend:
        assert backend.resolve(Address("orders.>"), "look") == subject("orders.>")
    assert read_info(json.dumps({"connect_urls": urls}).encode())["connect_urls"] == (["good:4222"] if isinstance(urls, list) else [])


def test_a_script_that_has_no_host_is_told_so() -> None:
    error = refusal(Connection("nats", (("None", 4222),)))
    assert isinstance(error, UsageProblem)
    assert "nats://None:4222: invalid hostname" in str(error)


def test_a_server_that_hangs_up_says_why_before_it_is_told_anything() -> None:
    """One that has as many connections as it may does so (nats-server 2.15.1)."""
    def talk(client: socket.socket) -> None:
        client.sendall(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n-ERR \'maximum connections exceeded\'\r\n')

    with listening(talk) as port:
        for _ in range(5):
            error = refusal(Connection("nats", ((HOST, port),)))
            assert isinstance(error, Unreachable)
            assert "as many connections as it allows" in str(error)
