"""The proxy does what it is asked: a fault that does not happen would prove nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.brokers.server import HOST, wait_until
from tests.faults.proxy import Proxy, stop_listening


class Echo:
    """A broker that says everything back, and remembers it."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.heard = b""
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                self.heard += data
                client.sendall(data)
        except OSError:
            pass
        client.close()

    def close(self) -> None:
        stop_listening(self._listener)
        self._thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    broker = Echo()
    yield broker
    broker.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.address) as made:
        yield made


def connect(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(proxy.address, 60)
    client.settimeout(60)
    return client


def drain(client: socket.socket) -> None:
    while client.recv(65536):
        pass


def say(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    answer = b""
    while len(answer) < len(text):
        chunk = client.recv(65536)
        if not chunk:
            break
        answer += chunk
    return answer


def test_without_a_fault_everything_passes_and_is_counted(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert say(client, b"hello" * 10_000) == b"hello" * 10_000
    wait_until(lambda: proxy.passed("to broker") == proxy.passed("to client") == 50_000, 60, "the last bytes in both counts")


def test_a_refusing_proxy_refuses_new_connections_until_it_is_healed_and_keeps_the_open_ones(proxy: Proxy) -> None:
    with connect(proxy) as client:
        say(client, b"one")
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert say(client, b"still here") == b"still here"
    proxy.heal()
    with connect(proxy) as client:
        assert say(client, b"again") == b"again"


def test_lost_answers_reach_the_broker_and_never_come_back(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as client:
        say(client, b"one")
        proxy.lose_answers()
        client.sendall(b"two")
        wait_until(lambda: echo.heard == b"onetwo", 60, "the second word")
        wait_until(lambda: next(iter(proxy._pairs)).damaged, 60, "the answer")
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            client.recv(10)


def test_what_is_held_arrives_whole_once_it_is_let_go(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as client:
        say(client, b"one")
        proxy.hold()
        client.sendall(b"two")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(10)
        assert echo.heard == b"one"
        proxy.heal()
        client.settimeout(60)
        assert client.recv(10) == b"two"


def test_what_is_swallowed_reaches_nobody(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as client:
        say(client, b"one")
        proxy.swallow()
        client.sendall(b"two")
        wait_until(lambda: next(iter(proxy._pairs)).damaged, 60, "the second word")
        assert echo.heard == b"one"


def test_a_cut_lets_exactly_so_many_bytes_through_and_then_resets(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as client:
        proxy.cut_after(4, "to broker")
        client.sendall(b"123456789")
        wait_until(lambda: echo.heard == b"1234", 60, "the first four bytes")
        with pytest.raises(ConnectionResetError):
            drain(client)
    with connect(proxy) as client:
        assert say(client, b"a new connection passes") == b"a new connection passes"


def test_reset_and_hang_up_are_told_apart(proxy: Proxy) -> None:
    with connect(proxy) as client:
        say(client, b"one")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    with connect(proxy) as client:
        say(client, b"one")
        proxy.hang_up()
        assert client.recv(10) == b""


def test_a_mute_proxy_accepts_and_says_nothing(proxy: Proxy, echo: Echo) -> None:
    proxy.mute()
    with connect(proxy) as client:
        client.sendall(b"anybody?")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(10)
    assert echo.heard == b""


def test_delay_and_throttle_slow_down_without_changing_anything(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.delay(0.05)
        began = time.monotonic()
        assert say(client, b"later") == b"later"
        assert time.monotonic() - began >= 0.1
        proxy.heal()
        proxy.throttle(40_000)
        began = time.monotonic()
        assert say(client, b"x" * 8000) == b"x" * 8000
        assert time.monotonic() - began >= 0.1


def test_a_swapped_target_gets_the_new_connections_only(proxy: Proxy, echo: Echo) -> None:
    other = Echo()
    with connect(proxy) as before:
        say(before, b"old")
        proxy.swap(other.address)
        with connect(proxy) as after:
            say(after, b"new")
        say(before, b"old")
    assert (echo.heard, other.heard) == (b"oldold", b"new")
    other.close()
