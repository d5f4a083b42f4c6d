"""What a place that Kafka is looked for at says, read byte by byte."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from brokercli.backends.kafka import diagnose
from tests.brokers.server import HOST


@pytest.mark.parametrize("names", [b"", b"\0", b"\0\x05PLAIN\0\x0dSCRAM", b"\x80\0\0\0"])
def test_an_answer_that_breaks_off_within_the_mechanisms_is_read_as_far_as_it_goes(names: bytes) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            for content in (b"", b"\0\x21\0\0\0\x03" + names):
                connection.recv(4096)
                connection.sendall(struct.pack(">ii", len(content) + 4, 1) + content)

    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=answer, args=[server], daemon=True).start()
        found = diagnose.probe(HOST, server.getsockname()[1], None, 10)
    assert found is not None
    assert "it wants a login" in str(found)
    assert ("PLAIN, SCRAM" in str(found)) is (b"SCRAM" in names)
