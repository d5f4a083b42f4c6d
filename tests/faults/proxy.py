"""A TCP proxy between a client and a broker that refuses, swallows, holds, cuts, resets, delays and slows down on request.

    with Proxy((host, port)) as proxy:
        … connect to proxy.port …
        proxy.lose_answers()      # the broker hears everything, we hear nothing: what was sent is in doubt
        proxy.heal()

Kafka's clients are told by the broker where to go next: start it with `Kafka(…, advertised=proxy.port)`, the proxy first.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from tests.brokers.server import HOST, free_port

Direction = Literal["to broker", "to client"]
Anything = TypeVar("Anything")
_CHUNK = 65536


@dataclass
class Way:
    """What happens to the bytes of one direction."""

    swallowed: bool = False
    held: bool = False
    delay: float = 0.0
    bytes_per_second: float | None = None
    left: int | None = None
    """Bytes that may still pass before every connection is cut; None: any number."""
    passed: int = 0
    """Bytes forwarded since the proxy was made."""


@dataclass(eq=False)
class Pair:
    """One connection of a client and ours to the broker."""

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    damaged: bool = False
    """Something was swallowed: it cannot go on in good order."""


class Proxy:
    """One listening port in front of one broker, served by a thread of its own. Every method may be called from any thread
    and has taken effect when it returns. `history` says which fault began when (monotonic seconds)."""

    def __init__(self, target: tuple[str, int], *, port: int = 0) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._pairs: set[Pair] = set()
        self._ways: dict[Direction, Way] = {"to broker": Way(), "to client": Way()}
        self._changed = self._call(self._make_event())
        self._listener: asyncio.Server | None = None
        self._mute = False
        self.accepted = 0
        """Connections taken since the proxy was made."""
        self.history: list[tuple[float, str]] = []
        # not one of the kernel's own, which may be somebody's connection when it is opened again
        self.port = port or free_port()
        self._call(self._listen())

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        return HOST, self.port

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._pairs)

    def passed(self, direction: Direction) -> int:
        """Return how many bytes went through."""
        return self._ways[direction].passed

    def refuse(self) -> None:
        """Close the port: who connects now is refused. Open connections stay."""
        self._note("refuse")
        self._call(self._close_listener())

    def mute(self) -> None:
        """Accept connections from now on and never say anything on them. Open ones stay."""
        self._note("mute")
        self._mute = True

    def swallow(self) -> None:
        """Take everything from both sides and forward nothing: the network is gone and nobody knows."""
        self._change("swallow", swallowed=True)

    def lose_answers(self) -> None:
        """Forward to the broker, forward nothing back: what is published now is stored, and its confirmation is lost."""
        self._change("lose answers", "to client", swallowed=True)

    def hold(self) -> None:
        """Forward nothing and read nothing, so that both sides' buffers fill up; `heal` lets everything go on in order."""
        self._change("hold", held=True)

    def hold_answers(self) -> None:
        """The same for what the broker says only."""
        self._change("hold answers", "to client", held=True)

    def delay(self, seconds: float) -> None:
        """Forward everything later, in both directions."""
        self._change(f"delay {seconds}", delay=seconds)

    def throttle(self, bytes_per_second: float) -> None:
        """Forward slowly, in both directions."""
        self._change(f"throttle {bytes_per_second}", bytes_per_second=bytes_per_second)

    def cut_after(self, count: int, direction: Direction) -> None:
        """Let `count` more bytes through, then reset every connection. New connections pass."""
        self._change(f"cut after {count} {direction}", direction, left=count)

    def reset(self) -> None:
        """Reset every open connection (RST)."""
        self._note("reset")
        self._call(self._end_all(abruptly=True))

    def hang_up(self) -> None:
        """Close every open connection in good order (FIN)."""
        self._note("hang up")
        self._call(self._end_all(abruptly=False))

    def swap(self, target: tuple[str, int]) -> None:
        """Connect to another broker from now on. Open connections stay."""
        self._note(f"swap to {target}")
        self._target = target

    def heal(self) -> None:
        """End every fault. A connection that lost bytes is reset: it could never be in order again."""
        self._note("heal")
        self._mute = False
        self._call(self._heal())

    def close(self) -> None:
        """End the proxy and every connection through it."""
        with suppress(RuntimeError):
            self._call(self._close_listener())
            self._call(self._end_all(abruptly=True))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, Anything]) -> Anything:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
        except RuntimeError:
            work.close()
            raise

    def _note(self, fault: str) -> None:
        self.history.append((time.monotonic(), fault))

    def _change(self, fault: str, direction: Direction | None = None, **changes: Any) -> None:
        self._note(fault)

        async def change() -> None:
            for one, way in self._ways.items():
                if direction in (None, one):
                    for name, value in changes.items():
                        setattr(way, name, value)
            self._wake()

        self._call(change())

    @staticmethod
    async def _make_event() -> asyncio.Event:
        return asyncio.Event()

    def _wake(self) -> None:
        # whoever waits looks again; the next to wait does not run through
        self._changed.set()
        self._changed.clear()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _heal(self) -> None:
        for way in self._ways.values():
            way.swallowed = way.held = False
            way.delay, way.bytes_per_second, way.left = 0.0, None, None
        for pair in [pair for pair in self._pairs if pair.damaged]:
            self._end(pair, abruptly=True)
        self._wake()
        if self._listener is None:
            await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._mute:
            pair = Pair(client, client)
            self._pairs.add(pair)
            return
        try:
            from_broker, broker = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(client)
            return
        pair = Pair(client, broker)
        self._pairs.add(pair)
        pair.tasks = [asyncio.create_task(self._forward(pair, reader, broker, "to broker")),
                      asyncio.create_task(self._forward(pair, from_broker, client, "to client"))]

    async def _forward(self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        way = self._ways[direction]
        try:
            while data := await self._next(reader, way):
                if way.delay or way.bytes_per_second:
                    await asyncio.sleep(way.delay + (len(data) / way.bytes_per_second if way.bytes_per_second else 0))
                while way.held:
                    await self._changed.wait()
                if way.swallowed:
                    pair.damaged = True
                    continue
                if way.left is not None and way.left <= len(data):
                    writer.write(data[:way.left])
                    await writer.drain()
                    way.left = None
                    await self._end_all(abruptly=True)
                    return
                writer.write(data)
                await writer.drain()
                way.passed += len(data)
                if way.left is not None:
                    way.left -= len(data)
            with suppress(OSError, RuntimeError):
                writer.write_eof()
        except OSError:
            self._end(pair, abruptly=True)
            return
        if all(task.done() or task is asyncio.current_task() for task in pair.tasks):
            self._end(pair, abruptly=False)

    async def _next(self, reader: asyncio.StreamReader, way: Way) -> bytes:
        while way.held:
            await self._changed.wait()
        return await reader.read(1024 if way.bytes_per_second else _CHUNK)

    async def _end_all(self, *, abruptly: bool) -> None:
        for pair in list(self._pairs):
            self._end(pair, abruptly=abruptly)

    def _end(self, pair: Pair, *, abruptly: bool) -> None:
        self._pairs.discard(pair)
        for writer in (pair.client, pair.broker):
            if abruptly:
                _reset(writer)
            else:
                writer.close()
        for task in pair.tasks:
            if task is not asyncio.current_task(self._loop):
                task.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def mute_port() -> tuple[socket.socket, int]:
    """Return a socket that listens and never answers, and its port. Close it when done."""
    listener = socket.create_server((HOST, 0))
    return listener, listener.getsockname()[1]


def talking_port(greeting: bytes) -> tuple[Callable[[], None], int]:
    """Listen on a port that says `greeting` to everybody and answers nothing else: a wrong protocol. Returns how to close it."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                # whoever is gone before it is talked to does not keep the next one from being
                with suppress(OSError), client:
                    client.sendall(greeting)
                    client.settimeout(0.2)
                    client.recv(65536)

    server = threading.Thread(target=serve, name="talking port", daemon=True)
    server.start()

    def close() -> None:
        stop_listening(listener)
        server.join()

    return close, listener.getsockname()[1]


@contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where everybody who comes is talked to, each on a thread; nobody listens there any more afterwards."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=served, args=(client,), daemon=True).start()

    def served(client: socket.socket) -> None:
        with suppress(OSError), client:
            client.settimeout(60)
            talk(client)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop_listening(listener)
        server.join()


def stop_listening(listener: socket.socket) -> None:
    """Close a socket that a thread waits at. Closing alone does not wake it, and once the number of its descriptor is given anew it might go on
    waiting at somebody else's."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
