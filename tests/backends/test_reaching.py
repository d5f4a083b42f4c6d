"""Whether a port can be reached: one answer in the time given, however many addresses a name has."""

from __future__ import annotations

import socket
from time import monotonic

import pytest

from brokercli.backends.reaching import obstacle
from tests.brokers.server import HOST, free_port


def addresses(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Have every name stand for these ports, in this order."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)


def test_a_name_with_many_addresses_takes_no_longer_than_one(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    addresses(monkeypatch, *[silent_port] * 20)
    began = monotonic()
    assert obstacle("many", silent_port, 1.0) == "no answer within 1 s"
    # each of them alone would take as long
    assert monotonic() - began < 10


def test_one_address_that_answers_is_enough(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    with socket.create_server((HOST, 0)) as answering:
        addresses(monkeypatch, silent_port, free_port(), answering.getsockname()[1])
        assert obstacle("many", 1, 5.0) is None


def test_what_refuses_and_what_is_no_port_are_said() -> None:
    assert obstacle(HOST, free_port(), 20.0) == "connection refused"
    assert obstacle(HOST, 70_000, 20.0)
    assert obstacle("no-such-host.invalid", 1, 20.0) == "no such host"
