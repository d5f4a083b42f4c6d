"""What client and server say to each other: one JSON object a line, one answer for each question, in order."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from typing import Any

import orjson

from brokercli.backends.envelope import encode_record
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable
from brokercli.model.message import Message, Record

GREETING = b"memory 1\n"
LARGEST_BODY = 1_000_000
DEFAULT_PORT = 7411


class Line:
    """One connection; connects in the constructor or raises Unreachable or NotAuthorised, in one sentence."""

    def __init__(self, connection: Connection) -> None:
        problem: BrokercliError | None = None
        for host, port in connection.hosts:
            try:
                self._socket = _connect(connection, host, port or DEFAULT_PORT)
            except (Unreachable, NotAuthorised) as error:
                problem = problem or error
            else:
                self._received = b""
                return
        raise problem or Unreachable("No memory broker was named.", hint="memory://HOST:PORT")

    def ask(self, question: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Say one thing and wait for its answer; raise what the answer says went wrong."""
        self.say(question)
        answer = self.hear(timeout)
        assert answer is not None
        return answer

    def say(self, question: dict[str, Any]) -> None:
        """Say one thing."""
        try:
            self._socket.settimeout(None)
            self._socket.sendall(orjson.dumps(question) + b"\n")
        except OSError as error:
            raise Unreachable(f"The connection to the memory broker was lost: {error}.") from None

    def hear(self, timeout: float | None) -> dict[str, Any] | None:
        """Return the next answer, None when it did not come within `timeout` seconds."""
        while b"\n" not in self._received:
            try:
                # a zero timeout would make the socket report an error of its own
                self._socket.settimeout(timeout if timeout is None else max(timeout, 0.0001))
                chunk = self._socket.recv(1 << 20)
            except TimeoutError:
                return None
            except OSError as error:
                raise Unreachable(f"The connection to the memory broker was lost: {error}.") from None
            if not chunk:
                raise Unreachable("The memory broker closed the connection.")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = orjson.loads(line)
        match answer.get("problem"):
            case None:
                return answer
            case "missing":
                raise NotFound(answer["why"])
        raise Failed(answer["why"])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def pack(message: Message) -> dict[str, Any]:
    """Write a message for the wire: its envelope, and beside it the time and the id that its publisher gave it. Readers
    see the id as the header x-message-id."""
    stored = message if message.id is None else replace(message, headers=(*message.headers, ("x-message-id", message.id.encode())))
    return {"envelope": encode_record(Record("memory", {}, "", None, stored)).decode(), "time": message.time, "id": message.id}


def _connect(connection: Connection, host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    timeout = connection.connect_timeout
    try:
        client = socket.create_connection((host, port), timeout)
    except socket.gaierror:
        raise Unreachable(f"The host name {host} is not known.", hint="check the spelling, or the name server") from None
    except TimeoutError:
        raise Unreachable(f"Nothing answered at {where} within {timeout:g} s.", hint="is a firewall in between?") from None
    except OSError:
        raise Unreachable(f"Nothing listens at {where}: the connection was refused.", hint="start one: python -m brokercli_memory") from None
    try:
        if connection.tls is not None:
            context = ssl.create_default_context(cafile=connection.tls.ca)
            if connection.tls.insecure:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client = context.wrap_socket(client, server_hostname=connection.tls.server_name or host)
        client.sendall(GREETING)
        answer = client.recv(len(GREETING))
    except TimeoutError:
        raise Unreachable(f"{where} accepted the connection and said nothing within {timeout:g} s; is it a memory broker?", hint="check the port") from None
    except ssl.SSLError as error:
        raise NotAuthorised(f"{where} does not speak TLS, or not one we trust: {error.reason}.", hint="without TLS: memory://") from None
    except OSError:
        raise Unreachable(f"{where} hung up while we greeted it.", hint="does it want TLS?") from None
    if not answer:
        raise Unreachable(f"{where} hung up when we greeted it.", hint="does it want TLS?")
    if answer != GREETING:
        raise Unreachable(f"{where} speaks something else than a memory broker does.", hint="check the port")
    return client
