"""A management API that answers, and never comes to an end."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.model.connection import Connection, Secret
from tests.brokers.certificates import self_signed
from tests.brokers.server import HOST

SECONDS = 0.6
"""For each piece of an answer; the deadline of the whole is ten times that."""
PATIENCE = 20.0
_BEGUN = b"HTTP/1.1 200 OK\r\n"
_DRIPPING = {"a body": (_BEGUN + b"Content-Length: 1000\r\n\r\n", b" "), "chunks": (_BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
             "a header": (_BEGUN + b"Server: ", b"x"), "headers": (_BEGUN, b"A: b\r\n"), "a first line": (b"HTTP/1.1 200 ", b"x"),
             "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n")}


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Have a thread serve a port, and yield its address; returns once the thread has ended, which it does when nobody can connect any more."""
    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


def serve_once(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(65536)
            client.sendall(answer)
    return serve


@contextmanager
def managed(address: str, seconds: float = PATIENCE) -> Iterator[Management]:
    connection = Connection("amqp", ((HOST, 9),), user="guest", password=Secret("guest"), management=address)
    with closing(Management(connection, None, seconds)) as management:
        yield management


@pytest.fixture(params=_DRIPPING)
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that sends a byte of its answer, or a bit more, every now and then and never falls silent for long."""
    begun, piece = _DRIPPING[request.param]
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(65536)
            client.sendall(begun)
            while not over.wait(SECONDS / 5):
                try:
                    client.sendall(piece)
                except OSError:
                    return

    with serving(serve) as address:
        yield address
        over.set()


def test_an_answer_that_drips_is_waited_for_until_its_deadline_and_no_longer(dripping: str) -> None:
    with managed(dripping, SECONDS) as management:
        began = monotonic()
        with pytest.raises(Away, match="too slowly"):
            management.queue("orders")
        assert 10 * SECONDS <= monotonic() - began < PATIENCE


@pytest.mark.parametrize("dripping", ["a body"], indirect=True)
def test_whoever_is_in_a_hurry_waits_for_a_whole_answer_no_longer_than_for_a_piece(dripping: str) -> None:
    with managed(dripping) as management, closing(management.hurried(2 * SECONDS, SECONDS)) as hurried:
        began = monotonic()
        with pytest.raises(Away, match="too slowly"):
            hurried.queue("orders")
        assert monotonic() - began < 10 * SECONDS


@pytest.mark.parametrize("chunked", [False, True])
def test_each_question_is_asked_once_and_all_over_the_same_connection(*, chunked: bool) -> None:
    body = b"[]" if not chunked else b"1\r\n[\r\n1\r\n]\r\n0\r\n\r\n"
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 2"
    questions: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                while question := client.recv(65536):
                    questions.append(question.split()[1])
                    client.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
                questions.append(b"the end of a connection")

    with serving(serve) as address, managed(address) as management:
        assert [management.policies(), management.bindings(), management.policies()] == [[], [], []]
    assert questions == [b"/api/policies/%2F", b"/api/bindings/%2F", b"/api/policies/%2F", b"the end of a connection"]


def test_an_answer_whose_end_is_that_of_its_connection_is_read_whole() -> None:
    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n[{")
            client.sendall(b'"name": "orders"}]')

    with serving(serve) as address, managed(address) as management:
        assert management.policies() == [{"name": "orders"}]


@pytest.mark.parametrize(("answer", "ask"), [
    (b"7", Management.bindings), (b"[1, 2]", Management.policies), (b'{"items": []}', Management.nodes), (b'"x"', Management.default_queue_type),
    (b"[]", lambda management: list(management.queues())), (b'{"items": [1]}', lambda management: list(management.queues())),
    (b'{"items": [{"name": null}]}', lambda management: list(management.queues())),
    (b'{"items": [], "page_count": "many"}', lambda management: list(management.queues())),
])
def test_json_that_the_management_api_never_answers_is_said_to_be_that(answer: bytes, ask: Callable[[Management], object]) -> None:
    whole = _BEGUN + b"Content-Length: %d\r\n\r\n" % len(answer) + answer
    with serving(serve_once(whole)) as address, managed(address) as management, pytest.raises(Away, match="in a form that is not known"):
        ask(management)


def test_a_management_api_without_tls_is_told_from_one_that_is_away() -> None:
    with serving(serve_once(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address, managed(address.replace("http:", "https:")) as management, \
            pytest.raises(Away, match="speaks no TLS"):
        management.nodes()


def test_a_management_api_whose_certificate_is_not_accepted_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    self_signed(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "localhost.pem", tmp_path / "localhost.key")

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, suppress(OSError):
            context.wrap_socket(client, server_side=True)

    with serving(serve) as address, managed(address.replace("http:", "https:")) as management, \
            pytest.raises(Away, match=r"certificate of https://.* was not accepted: self-signed certificate") as away:
        management.nodes()
    assert "amqps:// with tls.ca" in away.value.hint


def serve_paths(answers: dict[str, bytes], asked: list[str] | None = None) -> Callable[[socket.socket], None]:
    """Answer questions one after the other over a connection of each; 401 where there is no answer."""
    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client:
                    path = client.recv(65536).split(b" ")[1].decode().removeprefix("/api/").partition("?")[0]
                    answer = answers.get(path)
                    if asked is not None:
                        asked.append(path)
                    begin = b"HTTP/1.1 401 No\r\n" if answer is None else _BEGUN
                    client.sendall(begin + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(answer or b""), answer or b""))
    return serve


@pytest.mark.parametrize(("nodes", "believed"), [(None, False), (b'[{"name":"theirs"}]', False), (b'[{"name":"theirs"},{"name":"ours"}]', True)],
                         ids=["nodes that are not shown", "nodes of another broker", "another node of the same broker"])
def test_an_api_that_the_context_names_and_that_is_another_brokers_is_not_believed(nodes: bytes | None, *, believed: bool) -> None:
    """A queue of the same name there may have no limit where ours has one: a look that could cost a letter was taken for a harmless one, and did."""
    answers = {"cluster-name": b'{"name":"theirs"}', "queues/%2F/q": b'{"name":"q"}'} | ({} if nodes is None else {"nodes": nodes})
    with serving(serve_paths(answers)) as address:
        connection = Connection("amqp", ((HOST, 9),), user="guest", password=Secret("guest"), management=address)
        with closing(Management(connection, "theirs", PATIENCE)) as theirs:
            assert theirs.queue("q") == {"name": "q"}
        with closing(Management(connection, "ours", PATIENCE)) as ours:
            if believed:
                assert ours.queue("q") == {"name": "q"}
            else:
                with pytest.raises(Away, match="belongs to the cluster theirs, and the connection leads to ours") as away:
                    ours.queue("q")
                assert "rabbitmqctl set_cluster_name" in away.value.hint


def test_whose_an_api_is_is_asked_once_also_by_those_in_a_hurry() -> None:
    asked: list[str] = []
    answers = {"cluster-name": b'{"name":"ours"}', "queues/%2F/q": b'{"name":"q"}'}
    with serving(serve_paths(answers, asked)) as address:
        connection = Connection("amqp", ((HOST, 9),), user="guest", password=Secret("guest"), management=address)
        with closing(Management(connection, "ours", PATIENCE)) as management:
            for _ in range(3):
                with closing(management.hurried(PATIENCE, PATIENCE)) as hurried:
                    assert hurried.queue("q") == {"name": "q"}
            assert management.queue("q") == {"name": "q"}
    assert asked == ["cluster-name", *["queues/%2F/q"] * 4]
