"""NATS over a bare socket: the protocol is text, and this way no header passes through anybody's parser."""

from __future__ import annotations

import json
import socket
import time
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from brokercli.model.address import Address
from brokercli.model.connection import Connection, Secret
from brokercli.model.position import parse_time
from tests.brokers.nats import Nats
from tests.brokers.server import HOST, wait_until
from tests.native.harness import Broker, Resource, Stored

SECONDS = 30.0
IDLE_SECONDS = 20.0
# of questions to JetStream that wait for their turn a server drops all at once when they are 10,000 (js api queue limit)
TOGETHER = 1000
NO_MESSAGE = 10037
_RETENTION = {"limits stream": "limits", "work-queue stream": "workqueue", "interest stream": "interest"}


class Wire:
    """One connection."""

    def __init__(self, host: str, port: int, login: dict[str, str] | None = None) -> None:
        self._socket = socket.create_connection((host, port), SECONDS)
        # two small lines in a row would wait for an acknowledgement that nobody hurries to send
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self.info: dict[str, Any] = json.loads(self._file.readline().removeprefix(b"INFO "))
        self._inbox = f"_INBOX.{uuid.uuid4().hex}"
        self._asked = 0
        self.send(b"CONNECT " + json.dumps({"verbose": False, "pedantic": False, "headers": True, "no_responders": True, **(login or {})}).encode() + b"\r\n")
        self.send(f"SUB {self._inbox}.* 1\r\n".encode())

    def send(self, data: bytes) -> None:
        """Send protocol lines."""
        self._socket.sendall(data)

    def publish(self, subject: str, body: bytes, headers: bytes = b"", reply: str = "") -> None:
        """Publish; `headers` is the whole block."""
        self.send(_published(subject, body, headers, reply))

    def ask(self, subject: str, body: bytes = b"", headers: bytes = b"") -> bytes:
        """Publish and return the body of the answer."""
        answer: bytes = self.ask_all([(subject, body, headers)])[0]
        return answer

    def ask_all(self, questions: Sequence[tuple[str, bytes, bytes]]) -> list[bytes]:
        """Publish all, some of them together, and return the answers' bodies in the same order."""
        return [answer for begin in range(0, len(questions), TOGETHER) for answer in self._ask_together(questions[begin:begin + TOGETHER])]

    def _ask_together(self, questions: Sequence[tuple[str, bytes, bytes]]) -> list[bytes]:
        first = self._asked
        self._asked += len(questions)
        self.send(b"".join([_published(subject, body, headers, f"{self._inbox}.{number}") for number, (subject, body, headers) in enumerate(questions, first)]))
        answers: dict[int, bytes] = {}
        while len(answers) < len(questions):
            subject, _, body = self.next()
            # a second answer to a question before, by a server of a cluster that has been away, is none to these
            if subject.startswith(self._inbox) and (number := int(subject.rpartition(".")[2])) >= first:
                answers[number] = body
        return [answers[number] for number in range(first, self._asked)]

    def stored(self, stream: str) -> list[dict[str, Any]]:
        """Return the messages of a stream, in order, as JetStream's API tells them. Whoever of a cluster has been away answers, too, and
        not with what is there: what is neither a message nor the word that there is none is asked for again."""
        state = json.loads(self.ask(f"$JS.API.STREAM.INFO.{stream}"))["state"]
        # nothing was ever stored in one that ends at 0
        wanted, found = range(max(1, state["first_seq"]), state["last_seq"] + 1), {}
        left, deadline = list(wanted), time.monotonic() + SECONDS
        while left:
            answers = self.ask_all([(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq":%d}' % number, b"") for number in left])
            told = dict(zip(left, map(json.loads, answers), strict=True))
            found |= {number: answer["message"] for number, answer in told.items() if "message" in answer}
            left = [number for number, answer in told.items() if "message" not in answer and answer["error"]["err_code"] != NO_MESSAGE]
            assert not left or time.monotonic() < deadline, f"message {left[0]} of {stream}: {told[left[0]]}"
            if left:
                time.sleep(0.05)
        return [found[number] for number in wanted if number in found]

    def take(self, stream: str, consumer: str, count: int, **asked: str) -> list[str]:
        """Pull messages of a consumer; return the subjects that take their acknowledgements."""
        self.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", json.dumps({"batch": count} | asked).encode(), reply=f"{self._inbox}.pulled")
        return [self._next()[1] for _ in range(count)]

    def wait_for_more(self, stream: str, consumer: str) -> None:
        """Begin to wait for the next message of a consumer."""
        self.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", json.dumps({"batch": 1, "expires": 60 * 10**9}).encode(), reply=f"{self._inbox}.waits")

    def next(self) -> tuple[str, bytes, bytes]:
        """Return the next message: subject, header block, body."""
        subject, _, head, body = self._next()
        return subject, head, body

    def _next(self) -> tuple[str, str, bytes, bytes]:
        while True:
            line = self._file.readline()
            words = line.split()
            assert words, "the server hung up"
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                size = int(words[-1])
                head = int(words[-2]) if words[0] == b"HMSG" else 0
                data: bytes = self._file.read(size + 2)[:-2]
                reply = words[3].decode() if len(words) > (5 if head else 4) else ""
                return words[1].decode(), reply, data[:head], data[head:]
            else:
                assert words[0] != b"-ERR", line

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


def _published(subject: str, body: bytes, headers: bytes, reply: str) -> bytes:
    verb, sizes = ("HPUB", f"{len(headers)} {len(headers) + len(body)}") if headers else ("PUB", str(len(body)))
    return f"{verb} {subject} {reply} {sizes}\r\n".encode() + headers + body + b"\r\n"


# "error creating store for stream": seen twice on 2.15.1, with nothing in the server's log
CANNOT_STORE = 10049


class NatsBroker(Broker):
    """One NATS with JetStream."""

    name = "nats"
    scheme = "nats"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._wire = Wire(host, port)
        self._used = time.monotonic()

    @property
    def wire(self) -> Wire:
        """The connection. Between uses nobody answers the server's pings on it, so one that was idle is made anew."""
        if time.monotonic() - self._used > IDLE_SECONDS:
            self.reconnect()
        self._used = time.monotonic()
        return self._wire

    def api(self, verb: str, **question: Any) -> dict[str, Any]:
        """Ask JetStream; fails when it answers with an error, at the second time for one that it gives for no reason."""
        asked = json.dumps(question).encode() if question else b""
        answer: dict[str, Any] = json.loads(self.wire.ask(f"$JS.API.{verb}", asked))
        if answer.get("error", {}).get("err_code") == CANNOT_STORE:
            answer = json.loads(self.wire.ask(f"$JS.API.{verb}", asked))
        assert "error" not in answer, answer["error"]
        return answer

    def make_resource(self, row: str, partitions: int) -> Resource:
        if row == "subject":
            return Subject(self)
        return Stream(self, row, _RETENTION[row])

    def missing(self, row: str) -> Address:
        name = f"missing-{uuid.uuid4().hex}"
        return Address(name, "subject" if row == "subject" else "stream")

    def impossible_names(self, row: str) -> list[str]:
        return ["orders.*", "orders.>", "two words", *(["orders..created", ".orders", "orders."] if row == "subject" else ["a/b"])]

    def oversized(self) -> bytes:
        return b"x" * (int(self.wire.info["max_payload"]) + 1)

    def messages(self, row: str) -> SearchStrategy[Stored]:
        # a name is printable and has no colon; a value ends at the line's end, and clients drop the spaces around it
        names = st.binary(min_size=1, max_size=20).map(lambda raw: b"x" + bytes(33 + byte % 94 for byte in raw).replace(b":", b"_"))
        values = st.binary(max_size=40).map(lambda raw: raw.translate(None, b"\r\n").strip())
        headers = st.lists(st.tuples(names, values), max_size=5).map(tuple)
        return st.builds(Stored, st.binary(max_size=200), st.none(), headers)

    def wrong_login(self, fixture: Callable[[str], Any]) -> Connection:
        server = fixture("servers")(Nats, settings={"authorization": '{user: "operator", password: "nats-secret"}'})
        return Connection("nats", ((HOST, server.port),), user="operator", password=Secret("not-the-password"))

    def reconnect(self) -> None:
        self._wire.close()
        self._wire = Wire(self.host, self.port)

    def close(self) -> None:
        self._wire.close()


class Stream(Resource):
    """A JetStream stream of one subject. An interest stream has a consumer, without which it would store nothing."""

    def __init__(self, broker: NatsBroker, row: str, retention: str) -> None:
        self._broker = broker
        self.row = row
        self._goes_when_finished = retention != "limits"
        self.name = f"TEST-{uuid.uuid4().hex}"
        self.subject = f"test.{uuid.uuid4().hex}"
        self.address = Address(self.name, "stream")
        self.destination = self.address
        broker.api(f"STREAM.CREATE.{self.name}", name=self.name, subjects=[self.subject], retention=retention, storage="file", allow_direct=True)
        if retention == "interest":
            broker.api(f"CONSUMER.DURABLE.CREATE.{self.name}.worker", stream_name=self.name,
                       config={"durable_name": "worker", "ack_policy": "explicit", "deliver_policy": "all"})

    def put_messages(self, messages: Sequence[Stored]) -> None:
        before = self._reached()
        answers = self._broker.wire.ask_all([(self.subject, message.body or b"", _block(message.headers)) for message in messages])
        assert all("seq" in json.loads(answer) for answer in answers), answers[:3]
        # a stream answers before its consumers have counted
        if before is not None:
            wait_until(lambda: (self._reached() or 0) >= before + len(messages), SECONDS, "the consumer's count of what was stored")

    def stored(self, at_least: int = 0) -> list[Stored]:
        return [_stored(message) for message in self._broker.wire.stored(self.name)]

    def state(self) -> Any:
        info = self._broker.api(f"STREAM.INFO.{self.name}", deleted_details=True)
        consumers = self._broker.api(f"CONSUMER.LIST.{self.name}")["consumers"] or []
        return {"state": info["state"], "config": info["config"],
                "consumers": [{part: consumer[part] for part in ("name", "config", "delivered", "ack_floor", "num_ack_pending", "num_pending",
                                                                  "num_redelivered")} for consumer in consumers]}

    def finish(self, count: int) -> None:
        if self.consumer is None:
            self.consumer = f"{self.name}/worker"
            if self.consumer_state() is None:
                self._broker.api(f"CONSUMER.DURABLE.CREATE.{self.name}.worker", stream_name=self.name,
                                 config={"durable_name": "worker", "ack_policy": "explicit", "deliver_policy": "all"})
        wire, held = self._broker.wire, self._messages()
        # an acknowledgement with a reply is itself acknowledged: what is finished is known to be
        wire.ask_all([(reply, b"+ACK", b"") for reply in wire.take(self.name, "worker", count)])
        if self._goes_when_finished:
            # the consumer answers, and the stream removes
            wait_until(lambda: self._messages() == held - count, SECONDS, "the removal of what is finished")

    @contextmanager
    def attend(self) -> Iterator[None]:
        wire = Wire(self._broker.host, self._broker.port)
        try:
            wire.wait_for_more(self.name, "worker")
            wait_until(lambda: self._info()["num_waiting"] == 1, SECONDS, "one who waits for messages")
            yield
        finally:
            wire.close()
        wait_until(lambda: self._info().get("num_waiting", 0) == 0, SECONDS, "the end of the wait")

    def consumer_state(self) -> Any:
        info = self._info()
        return {part: info[part] for part in ("config", "delivered", "ack_floor", "num_ack_pending", "num_pending", "paused") if part in info} or None

    def _messages(self) -> int:
        return int(self._broker.api(f"STREAM.INFO.{self.name}")["state"]["messages"])

    def _reached(self) -> int | None:
        """Return how many messages the worker was given or is to be given; None where there is no worker."""
        info = self._info()
        return info["num_pending"] + info["delivered"]["consumer_seq"] if info else None

    def _info(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._broker.wire.ask(f"$JS.API.CONSUMER.INFO.{self.name}.worker"))
        return {} if "error" in answer else answer

    def forget_before(self, number: int) -> None:
        self._broker.api(f"STREAM.PURGE.{self.name}", seq=number)

    def delete(self) -> None:
        self._broker.api(f"STREAM.DELETE.{self.name}")


class Subject(Stream):
    """A subject that a limits stream captures, addressed as a subject."""

    def __init__(self, broker: NatsBroker) -> None:
        super().__init__(broker, "subject", "limits")
        self.address = self.destination = Address(self.subject, "subject")


def _block(headers: tuple[Any, ...]) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" if headers else b""


def _stored(message: dict[str, Any]) -> Stored:
    lines = b64decode(message.get("hdrs", "")).split(b"\r\n")
    headers = tuple((name, value.strip(b" ")) for name, _, value in (line.partition(b":") for line in lines[1:] if line))
    return Stored(b64decode(message.get("data", "")), None, headers, position=str(message["seq"]), time=parse_time(message["time"]))
