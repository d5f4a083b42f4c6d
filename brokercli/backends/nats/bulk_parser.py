"""What the server says, parsed by whole socket reads and handed on in lists, header bytes untouched.

Takes the place of `nats.protocol.parser.Parser`: that one builds a message object and a task switch per message (46–69k/s
against 640k/s here, measured on two cores) and its client keeps only the last of repeated headers. Pinned to nats-py 2.16
for that reason (`pyproject.toml`). Protocol: docs.nats.io, "Client Protocol".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from brokercli.backends.nats.runs import Run
from brokercli.backends.nats.server_info import read_info

if TYPE_CHECKING:
    from nats.aio.client import Client

Delivery = tuple[list[bytes], bytes]
"""A MSG or HMSG control line split at its spaces, and the payload with its header block in front."""

# INFO of a large cluster is the longest line; nats-server itself stops at 4 KiB for what clients send
LONGEST_LINE = 1 << 20
# what the documentation says max_payload can be set to is 64 MB, and nobody keeps a message that only a broken or hostile server announces
LARGEST_MESSAGE = 1 << 28
_M, _H = b"MH"


class Sink:
    """Takes what arrives for one subscription. All of it happens on the connection's thread."""

    def __init__(self, on_read: Callable[[list[Delivery]], None], run: re.Pattern[bytes] | None = None,
                 on_run: Callable[[bytes], None] | None = None, on_stored: Callable[[Run], None] | None = None) -> None:
        """`on_read` gets the messages of one socket read, in order. Where `run` matches at the start of a MSG, all it
        matches goes to `on_run` as it came, unparsed, and must be whole messages of this subscription. A socket read that
        begins with messages of a consumer, and holds nothing else, goes to `on_stored` where that is given."""
        self.on_read = on_read
        self.run = run
        self.on_run = on_run
        self.on_stored = on_stored
        self.messages: list[Delivery] = []

    def flush(self) -> None:
        """Hand over what was collected."""
        if self.messages:
            messages, self.messages = self.messages, []
            self.on_read(messages)


class BulkParser(Parser):
    """Set as `client._ps` before the client connects."""

    def __init__(self, client: Client, on_error: Callable[[str], None]) -> None:
        self.sinks: dict[bytes, Sink] = {}
        self._on_error = on_error
        super().__init__(client)

    def reset(self) -> None:
        """Forget half a message: the connection that sent it is gone."""
        super().reset()
        self.rest = b""
        self._pieces: list[bytes] = []
        """What follows the rest, of a message of which more is missing than the next read may bring."""
        self._missing = 0

    async def parse(self, data: bytes = b"") -> None:
        """Take one socket read apart. Raises ProtocolError, on which the client connects anew, for what NATS never says."""
        if self._missing > len(data):
            # put together once it is whole: with every piece, a message of 64 MiB took minutes
            self._pieces.append(data)
            self._missing -= len(data)
            return
        buffer = b"".join([self.rest, *self._pieces, data]) if self.rest else data
        self._pieces, self._missing = [], 0
        try:
            position, controls = self._collect(buffer)
        except ValueError:
            raise ProtocolError from None
        self.rest = buffer[position:]
        if len(self.rest) > LONGEST_LINE and self.rest.find(b"\r\n", 0, LONGEST_LINE) < 0:
            raise ProtocolError
        for sink in list(self.sinks.values()):
            sink.flush()
        for line in controls:
            await self._control(line)

    def _collect(self, buffer: bytes) -> tuple[int, list[bytes]]:
        length, find, sinks = len(buffer), buffer.find, self.sinks
        position = self._take_run(buffer)
        runs = [sink for sink in sinks.values() if sink.run is not None]
        controls: list[bytes] = []
        while (end := find(b"\r\n", position)) >= 0:
            first = buffer[position]
            if first in (_M, _H):
                # most letters have headers, and are none
                for sink in runs if first == _M else ():
                    if sink.run and sink.on_run and (match := sink.run.match(buffer, position)):
                        sink.on_run(match[0])
                        position = match.end()
                        break
                else:
                    parts = buffer[position:end].split(b" ")
                    if not 4 <= len(parts) <= 6:
                        raise ValueError(parts)
                    start, size = end + 2, int(parts[-1])
                    if not 0 <= size <= LARGEST_MESSAGE:
                        raise ValueError(size)
                    stop = start + size
                    if stop + 2 > length:
                        self._missing = stop + 2 - length
                        break
                    sink_of = sinks.get(parts[2])
                    if sink_of is not None:
                        sink_of.messages.append((parts, buffer[start:stop]))
                    position = stop + 2
                    continue
                continue
            controls.append(buffer[position:end])
            position = end + 2
        return position, controls

    def _take_run(self, buffer: bytes) -> int:
        for sid, sink in self.sinks.items():
            if sink.on_stored is not None:
                run, position = Run.of(buffer, b" %b $JS.ACK." % sid)
                if run is not None:
                    sink.on_stored(run)
                    return position
        return 0

    async def _control(self, line: bytes) -> None:
        client: Any = self.nc
        word = line[:4].upper()
        if word == b"PING":
            await client._process_ping()
        elif word == b"PONG":
            await client._process_pong()
        elif word == b"INFO":
            try:
                await client._process_info(read_info(line[4:]))
            except ValueError:
                raise ProtocolError from None
        elif word == b"-ERR":
            self._on_error(line[4:].strip(b" '").decode(errors="replace"))
        elif word not in (b"+OK", b""):
            raise ProtocolError


def split_headers(delivery: Delivery) -> tuple[bytes, bytes]:
    """Return the header block of a delivery (empty without one) and its body."""
    parts, payload = delivery
    if parts[0] != b"HMSG":
        return b"", payload
    size = int(parts[-2])
    return payload[:size], payload[size:]


def reply_of(parts: list[bytes]) -> bytes:
    """Return the reply subject of a control line, empty without one."""
    return parts[3] if len(parts) == (6 if parts[0] == b"HMSG" else 5) else b""


def status_of(block: bytes) -> tuple[int, str]:
    """Return the status (and its description) of a header block that is one, else (0, "")."""
    if not block.startswith(b"NATS/1.0 "):
        return 0, ""
    code, _, description = block[9:block.find(b"\r\n")].strip().partition(b" ")
    return (int(code) if code.isdigit() else 0), description.decode(errors="replace").strip()
