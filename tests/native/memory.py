"""The plugin's broker, asked in its own protocol over a bare socket."""

from __future__ import annotations

import json
import socket
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from brokercli.model.address import Address
from tests.native.harness import Broker, Resource, Stored


class MemoryBroker(Broker):
    """One memory broker."""

    name = "memory"
    scheme = "memory"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._socket = socket.create_connection((host, port))
        self._file = self._socket.makefile("rwb")
        self._file.write(b"memory 1\n")
        self._file.flush()
        assert self._file.readline() == b"memory 1\n"

    def ask(self, verb: str, **question: Any) -> dict[str, Any]:
        """Say one thing in the broker's protocol and return its answer."""
        self._file.write(json.dumps({"do": verb, **question}).encode() + b"\n")
        self._file.flush()
        answer: dict[str, Any] = json.loads(self._file.readline())
        assert "problem" not in answer, answer
        return answer

    def make_resource(self, row: str, partitions: int) -> Resource:
        return Log(self, {"topic": "topic", "queue": "queue"}[row])

    def missing(self, row: str) -> Address:
        return Address(f"missing-{uuid.uuid4().hex}", row)

    def impossible_names(self, row: str) -> list[str]:
        return ["orders.*", "two words", "x" * 300]

    def oversized(self) -> bytes:
        return b"x" * 1_000_001

    def messages(self, row: str) -> SearchStrategy[Stored]:
        headers = st.lists(st.tuples(st.text(min_size=1), st.none() | st.binary()), max_size=4).map(tuple)
        keys = st.none() | st.binary() if row == "topic" else st.none()
        return st.builds(Stored, st.none() | st.binary(), keys, headers)

    def close(self) -> None:
        self._socket.close()


class Log(Resource):
    """A topic or a queue."""

    def __init__(self, broker: MemoryBroker, kind: str) -> None:
        self._broker = broker
        self.row = kind
        self.address = self.destination = Address(f"test-{uuid.uuid4().hex}", kind)
        self._name = {"kind": kind, "name": self.address.name}
        broker.ask("create", **self._name)

    def put_messages(self, messages: Sequence[Stored]) -> None:
        envelopes = [{"time": None, "id": None, "envelope": json.dumps({
            "body": _text(message.body), "key": _text(message.key),
            "headers": [{"name": name, "value": _text(value)} for name, value in message.headers]})} for message in messages]
        self._broker.ask("publish", messages=envelopes, **self._name)

    def stored(self, at_least: int = 0) -> list[Stored]:
        entries = self._broker.ask("read", **{"from": 0, "most": 10**9, "wait": 0}, **self._name)["entries"]
        return [self._stored(offset, time, json.loads(text)) for offset, time, text in entries]

    def state(self) -> Any:
        return self._broker.ask("state", **self._name)

    def finish(self, count: int) -> None:
        self.consumer = self.consumer or f"test-{uuid.uuid4().hex}"
        before = self.consumer_state()
        position = (before["positions"].get(self.address.name, 0) if before else 0) + count
        self._broker.ask("commit", group=self.consumer, positions={self.address.name: [-1, position]})

    @contextmanager
    def attend(self) -> Iterator[None]:
        self._broker.ask("join", group=self.consumer, member="worker-1")
        try:
            yield
        finally:
            self._broker.ask("leave", group=self.consumer, member="worker-1")

    def consumer_state(self) -> Any:
        return self._broker.ask("groups")["groups"].get(self.consumer)

    def forget_before(self, number: int) -> None:
        self._broker.ask("trim", first=number, **self._name)

    def delete(self) -> None:
        self._broker.ask("delete", **self._name)

    @staticmethod
    def _stored(offset: int, time: int, envelope: dict[str, Any]) -> Stored:
        headers = tuple((header["name"], _bytes(header["value"])) for header in envelope.get("headers", ()))
        return Stored(_bytes(envelope["body"]), _bytes(envelope.get("key")), headers, position=str(offset), time=time)


def _text(value: bytes | None) -> Any:
    return None if value is None else {"base64": b64encode(value).decode()}


def _bytes(value: Any) -> bytes | None:
    return None if value is None else value.encode() if isinstance(value, str) else b64decode(value["base64"])
