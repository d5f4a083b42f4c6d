"""The socket under nats-py: it dials, recognises strangers, and lets nothing out in clear where TLS was asked for.

nats-py 2.16 decides about TLS by what the server's first, unauthenticated line says, and would send a password in clear to
whoever leaves `tls_required` out of it. Here the line is read first, TLS is established or the connection refused, and
`write` is the one place that anything leaves through.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nats.aio.transport import Transport

from brokercli.backends.handshake import asked_in_silence, not_trusted, ours_refused, speaks_tls
from brokercli.backends.nats.server_info import read_info
from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS, spell_place
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable

READ_BYTES = 1 << 18
_REQUEST_OF_A_STRANGER = b"GET / HTTP/1.0\r\n\r\n"


class CheckedTransport(Transport):
    """Connects to one server at a time; `connect` raises model.errors in one sentence."""

    def __init__(self, tls: TLS | None, time_left: Callable[[], float]) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._below: asyncio.StreamWriter | None = None
        self._tls = tls
        self._context = None if tls is None else tls_context(tls)
        self._time_left = time_left
        self._place: tuple[str, int] = ("", 0)
        self._greeted = False
        self._encrypted = False
        self._info = b""
        self._logging_in = False

    async def connect(self, uri: Any, buffer_size: int, connect_timeout: float) -> None:
        """Dial, read the server's INFO line, and finish the TLS handshake; all before nats-py says its first word."""
        host, port = uri.hostname, uri.port
        deadline = asyncio.get_running_loop().time() + self._time_left()
        self._encrypted, self._info, self._place, self._greeted, self._logging_in = False, b"", (host, port), False, True
        await self._dial(host, port, deadline)
        try:
            await self._greet(host, port, deadline)
        except BaseException:
            self.abort()
            raise

    async def _dial(self, host: str, port: int, deadline: float) -> None:
        place = spell_place(host, port)
        try:
            self._reader, self._writer = await asyncio.wait_for(asyncio.open_connection(host, port, limit=READ_BYTES), _left(deadline))
        except socket.gaierror:
            raise Unreachable(f"There is no host named {host}.", hint="check the spelling of the host, and that this machine can resolve it") from None
        except ConnectionRefusedError:
            raise Unreachable(f"Nothing listens on {place}: the connection was refused.",
                              hint="is nats-server running there, and is 4222 its client port?") from None
        except TimeoutError:
            raise Unreachable(f"{place} does not answer at all: the attempt to connect ran out of time.",
                              hint="a firewall that drops packets looks like this; check host, port and network") from None
        except OSError as problem:
            raise Unreachable(f"{place} cannot be reached: {problem.strerror or problem}.") from None

    async def _greet(self, host: str, port: int, deadline: float) -> None:
        place = spell_place(host, port)
        # a NATS server speaks first, at once; silence means TLS first, another protocol, or a mute port
        line = await self._first_line(min(1.0, _left(deadline) * 0.4))
        if line is None and self._context is not None:
            await self._handshake(host, place, (deadline + asyncio.get_running_loop().time()) / 2)
            line = await self._first_line(_left(deadline))
            if not line and (refusal := await self.refused_ours()):
                raise refusal
        if line is None:
            stranger = await _recognise(host, port, min(1.0, _left(deadline) * 0.5))
            # a port that stays mute, or greets the second time, may be a NATS server that is slow
            line = await self._first_line(_left(deadline)) if stranger is None else None
            if line is None:
                raise stranger or Unreachable(f"{place} accepts connections but says nothing; a NATS server speaks first.",
                                              hint="is this the client port (usually 4222) of a NATS server?")
        if not line.startswith(b"INFO "):
            raise _stranger_said(line, place) if line else Unreachable(
                f"{place} closes the connection before it says anything.", hint="a NATS server that is starting or full does so, and so do other services")
        try:
            info = read_info(line[5:])
        except ValueError:
            raise Unreachable(f"{place} says INFO, but not what a NATS server says after it.") from None
        if self._context is None and info.get("tls_required"):
            raise _wants_tls(place)
        if self._context is not None and not self._encrypted:
            self._greeted = True
            if not info.get("tls_required") and not info.get("tls_available"):
                raise Unreachable(f"TLS was asked for, but the server at {place} speaks plain NATS; nothing was sent to it.", hint=f"nats://{place}")
            await self._handshake(host, place, deadline)
        self._info = b"INFO " + json.dumps(info).encode() + b"\r\n"

    async def _first_line(self, seconds: float) -> bytes | None:
        """Return the line, an empty one where the other side closed, None where it stays silent."""
        assert self._reader is not None
        try:
            return await asyncio.wait_for(self._reader.readuntil(b"\n"), seconds)
        except TimeoutError:
            return None
        except asyncio.IncompleteReadError as cut:
            return cut.partial
        except (asyncio.LimitOverrunError, ValueError):
            return await self._reader.read(64)
        except OSError:
            return b""

    async def _handshake(self, host: str, place: str, deadline: float) -> None:
        assert self._context is not None
        assert self._tls is not None
        try:
            await asyncio.wait_for(self._encrypt(self._context, self._tls.server_name or host), _left(deadline))
        except ssl.SSLCertVerificationError as problem:
            reason, hint = not_trusted(problem)
            raise NotAuthorised(f"The certificate of {place} is not trusted: {reason}.", hint=hint) from None
        except ssl.SSLError as problem:
            if refusal := ours_refused(problem, self._tls):
                raise NotAuthorised(f"{place}: {refusal.text}.", hint=refusal.hint) from None
            reason = (problem.reason or str(problem)).replace("_", " ").lower()
            if "wrong version" in reason or "http request" in reason or "packet length" in reason or "record layer" in reason:
                raise Unreachable(f"TLS was asked for, but {place} does not speak it; nothing was sent in clear.",
                                  hint=f"nats://{place} if this is a NATS server without TLS") from None
            raise NotAuthorised(f"The TLS handshake with {place} failed: {reason}.", hint="check CA, client certificate and key") from None
        except TimeoutError:
            raise Unreachable(f"{place} accepts connections but answers neither as NATS nor to a TLS handshake.") from None
        except (OSError, EOFError) as problem:
            raise Unreachable(f"{place} closed the connection during the TLS handshake: {problem or 'no reason given'}.",
                              hint="a server without TLS does so, and one that does not accept the client certificate") from None
        self._encrypted = True

    async def _encrypt(self, context: ssl.SSLContext, server_name: str) -> None:
        assert self._writer is not None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=READ_BYTES, loop=loop)
        protocol = _Encrypted(reader, loop=loop)
        transport = await loop.start_tls(self._writer.transport, protocol, context, server_hostname=server_name)
        assert transport is not None
        # a collected StreamWriter closes its socket, also one that TLS has been put on top of
        self._below = self._writer
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def refused_ours(self) -> NotAuthorised | None:
        """Return what the server has against our certificate, where a connection that was encrypted ended before a word: it is asked again."""
        if self._tls is None or not self._encrypted:
            return None
        host, port = self._place
        refusal = await asyncio.to_thread(asked_in_silence, host, port, self._tls, min(1.0, self._time_left()), greets=self._greeted)
        return NotAuthorised(f"{spell_place(host, port)}: {refusal.text}.", hint=refusal.hint) if refusal else None

    async def connect_tls(self, uri: Any, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: float) -> None:
        """Nothing left to do: `connect` has finished the handshake."""

    async def readline(self) -> bytes:
        """Return the INFO line first, which `connect` has read, then what comes."""
        line, self._info = self._info, b""
        if line:
            return line
        assert self._reader is not None
        # the answer to PING is awaited here; INFO may come before it (`connect_info`), and nothing else can
        while not line or line.startswith((b"INFO", b"PING", b"+OK")):
            try:
                line = await self._next_line(self._reader)
            except ValueError:
                raise ConnectionResetError("what the server says does not end") from None
            if not line:
                raise ConnectionResetError("the server closed it")
        self._logging_in = False
        # nats-py takes it for UTF-8
        return line.decode(errors="replace").encode()

    @staticmethod
    async def _next_line(reader: asyncio.StreamReader) -> bytes:
        """Return the next line; where the connection broke, an error that came before: a server that hangs up says why, and asyncio
        would raise that it did and keep what was said."""
        try:
            return await reader.readline()
        except ConnectionError:
            unread, _, _ = bytes(getattr(reader, "_buffer", b"")).partition(b"\n")
            if not unread.startswith(b"-ERR"):
                raise
            return unread

    async def read(self, buffer_size: int) -> bytes:
        """Return what has come; more at once than nats-py asks for, which costs less a message."""
        assert self._reader is not None
        return await self._reader.read(READ_BYTES)

    def at_eof(self) -> bool:
        """Whether the other side has closed and everything is read."""
        return self._reader is None or self._reader.at_eof()

    def write(self, payload: bytes) -> None:
        """Hand bytes to the socket. Raises ConnectionError rather than let them out in clear."""
        self._guarded().write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """The same for several."""
        self._guarded().writelines(payload)

    def _guarded(self) -> asyncio.StreamWriter:
        if self._writer is None or (self._context is not None and not self._encrypted):
            raise ConnectionError("there is no connection, or none that is encrypted")
        return self._writer

    async def drain(self) -> None:
        """Return once the operating system has taken most of what was written."""
        if self._writer is not None:
            # why a server hangs up on a login is still to be read
            with suppress(*([ConnectionError] if self._logging_in else [])):
                await self._writer.drain()

    @property
    def encrypted(self) -> bool:
        """Whether the handshake is done."""
        return self._encrypted

    def is_closing(self) -> bool:
        """Whether bytes written now would be lost for certain."""
        return self._writer is None or self._writer.is_closing()

    def close(self) -> None:
        """Close once everything written has left."""
        if self._writer is not None:
            self._writer.close()

    async def wait_closed(self) -> None:
        """Wait for the last bytes to leave, but not for a peer that takes no more: reconnecting must not hang on it."""
        if self._writer is None:
            return
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except TimeoutError:
            self.abort()
        except OSError:
            return

    def abort(self) -> None:
        """Drop the connection as it is."""
        if self._writer is not None:
            self._writer.transport.abort()

    def __bool__(self) -> bool:
        """True from the start: nats-py replaces a transport that is not."""
        return True


class _Encrypted(asyncio.StreamReaderProtocol):
    """A protocol made for a connection in the clear leaves it half open at its end, which TLS cannot, and asyncio says so on standard error."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


def _left(deadline: float) -> float:
    return max(0.05, deadline - asyncio.get_running_loop().time())


async def _recognise(host: str, port: int, seconds: float) -> BrokercliError | None:
    """Ask a silent port, on a connection of its own, something that others answer; None where it stays silent, and where it turns
    out to be a NATS server that is slow."""
    place = spell_place(host, port)
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_REQUEST_OF_A_STRANGER)
                answer = await reader.read(64)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return None
    except OSError:
        answer = b""
    if not answer and await asyncio.to_thread(speaks_tls, host, port, seconds):
        return _wants_tls(place)
    return None if answer.startswith(b"INFO") else _stranger_said(answer, place)


def _stranger_said(answer: bytes, place: str) -> Unreachable:
    if answer.startswith(b"HTTP/"):
        return Unreachable(f"{place} answers HTTP, not NATS.", hint="a NATS server's client port is usually 4222; 8222 is its monitoring")
    if answer.startswith(b"AMQP"):
        return Unreachable(f"{place} speaks AMQP (RabbitMQ), not NATS.", hint=f"amqp://{place}/")
    if answer[:2] == b"\x15\x03":
        return _wants_tls(place)
    if answer.startswith(b"SSH-"):
        return Unreachable(f"{place} speaks SSH, not NATS.")
    if not answer:
        return Unreachable(f"{place} hangs up on whoever does not speak its protocol, and it is not NATS; Kafka does so.",
                           hint=f"kafka://{place} if that is a Kafka broker")
    return Unreachable(f"{place} does not speak NATS.", hint="a NATS server's client port is usually 4222")


def _wants_tls(place: str) -> Unreachable:
    return Unreachable(f"The server at {place} wants TLS, and the connection is without it.",
                       hint=f"tls://{place}, with tls.ca in the context where its CA is not a public one")
