"""A connection that cannot be made fails within the connect timeout, in one sentence, and each way to fail reads differently.

Closed port, mute port, wrong protocol, TLS against plain, plain against TLS, unknown host name, wrong login: the sentence
says which of them it was and where, the hint what to try next, and neither shows a password or a client's insides.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from brokercli.backends.registry import open_backend
from brokercli.model.connection import TLS, Connection
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable
from tests.brokers.certificates import self_signed
from tests.brokers.server import HOST, free_port
from tests.conformance.left_behind import check_nothing_is_left
from tests.faults.proxy import listening, mute_port, talking_port
from tests.native.harness import Broker

MUTE = ("mute port", "plain on TLS")
"""Ways that may end by no answer; every other ends by one, however long that takes on a busy machine."""
TIMEOUT = 1.5
PATIENCE = 20.0
# a client may need a moment more to give up than to try
GRACE = 10.0
SECRET = "not-the-password"
Ways = dict[str, Callable[[], Connection | None]]


@pytest.fixture(scope="session")
def tls_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A port that speaks TLS and nothing else."""
    folder = tmp_path_factory.mktemp("tls")
    self_signed(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "localhost.pem", folder / "localhost.key")

    def talk(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as talking:
            talking.recv(1000)

    with listening(talk) as port:
        yield port


@pytest.fixture
def ways(broker: Broker, tls_port: int, request: pytest.FixtureRequest) -> Iterator[Ways]:
    """Each way to fail, as the connection that fails so."""
    plain = replace(broker.connection, connect_timeout=PATIENCE)
    secure = next((scheme for scheme in broker.descriptor.schemes if scheme not in (broker.scheme,)), broker.scheme)
    with ExitStack() as open_ports:
        mute, mute_at = mute_port()
        open_ports.callback(mute.close)
        stop_talking, talking_at = talking_port(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        open_ports.callback(stop_talking)
        closed_at = free_port()

        def at(port: int, timeout: float = PATIENCE) -> Connection:
            return replace(plain, hosts=((HOST, port),), connect_timeout=timeout)

        def login() -> Connection | None:
            wrong = broker.wrong_login(request.getfixturevalue)
            return None if wrong is None else replace(wrong, connect_timeout=PATIENCE)

        yield {
            "closed port": lambda: at(closed_at),
            "mute port": lambda: at(mute_at, TIMEOUT),
            "wrong protocol": lambda: at(talking_at),
            "TLS on plain": lambda: replace(plain, scheme=secure, tls=TLS(insecure=True)),
            "plain on TLS": lambda: at(tls_port, TIMEOUT),
            "unknown host": lambda: replace(plain, hosts=(("no-such-host.invalid", broker.port),)),
            "wrong login": login,
        }


def failure(connection: Connection) -> tuple[BrokercliError, float]:
    """Return how opening a connection fails, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(BrokercliError) as refusal:
        open_backend(connection)
    return refusal.value, time.monotonic() - began


def test_each_way_to_fail_is_told_apart_within_the_timeout_in_one_readable_sentence(broker: Broker, ways: Ways) -> None:
    found: dict[str, BrokercliError] = {}
    for way, connection in ways.items():
        asked = connection()
        if asked is None:
            continue
        error, seconds = failure(asked)
        assert seconds < TIMEOUT + GRACE or way not in MUTE, f"{way} took {seconds:.1f} s"
        assert isinstance(error, NotAuthorised if way == "wrong login" else (Unreachable, NotAuthorised)), f"{way}: {error!r}"
        text = str(error)
        host, _ = asked.hosts[0]
        assert host in text, f"{way} does not say where: {text}"
        assert re.fullmatch(r"[^\n]{20,400}", text), f"{way}: {text!r}"
        assert not re.search(r"Traceback|Errno|<\w|_TRANSPORT|0x[0-9a-f]+|Exception|Error\(", text), f"{way} shows insides: {text}"
        assert SECRET not in text + str(error.hint)
        assert error.hint, f"{way} says nothing to try next"
        found[way] = error
    # a NATS client waits for the server to speak, and so does a port that wants TLS first: to both it is mute
    sentences = {way: re.sub(r"[\d.]+", "#", str(error)) for way, error in found.items() if way != "plain on TLS"}
    assert len(set(sentences.values())) == len(sentences), "\n".join(f"{way}: {sentence}" for way, sentence in sentences.items())


def test_the_second_host_is_tried_when_the_first_is_closed(broker: Broker) -> None:
    connection = replace(broker.connection, hosts=((HOST, free_port()), *broker.connection.hosts))
    with open_backend(connection) as backend:
        list(backend.list())


def test_a_failed_connection_leaves_no_thread_and_no_socket(broker: Broker, ways: Ways) -> None:
    asked = ways["closed port"]()
    assert asked is not None
    check_nothing_is_left(asked, None)
