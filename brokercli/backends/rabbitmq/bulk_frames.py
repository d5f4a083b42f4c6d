"""Frames in bulk: a pika connection that parses whole socket reads and hands content over undecoded, and frames to publish.

pika cuts its buffer once for every frame, builds an object for each, and decodes every property. Here content that comes on
a channel with a sink never becomes an object of pika's; everything else (handshake, channels, heartbeats) is pika's as ever.
Deliveries that come the same way as the one before are recognised by the bytes that do not change, and read all frames at once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pika import frame
from pika.adapters.base_connection import _StreamingProtocolShim
from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport, _AsyncSSLTransport
from pika.exceptions import AMQPConnectionError

_FRAME = struct.Struct(">BHI")
_CONTENT = struct.Struct(">HHQ")
_LONG_LONG = struct.Struct(">Q")
_LONG = struct.Struct(">I")
_METHOD, _HEADER, _BODY = 1, 2, 3
_FRAME_END = 0xCE
_DELIVER, _RETURN, _ACK, _NACK = b"\0\x3c\0\x3c", b"\0\x3c\0\x32", b"\0\x3c\0\x50", b"\0\x3c\0\x78"
_PUBLISH = b"\0\x3c\0\x28\0\0"
_MANDATORY = b"\1"
_CONTENT_CLASS = b"\0\x3c\0\0"
_END = b"\xce"
FRAME_OVERHEAD = 8
LARGEST_FRAME = 131_072
GATHER_SECONDS = 0.001
"""How long whoever takes many messages lets reads gather: the broker writes a few at a time, and each read costs as much as parsing many."""


class Delivery(NamedTuple):
    """One message as it came: nothing decoded."""

    tag: int
    redelivered: bool
    exchange: bytes
    routing_key: bytes
    properties: bytes
    body: bytes


class Returned(NamedTuple):
    """One message that the broker could not route."""

    code: int
    text: bytes
    exchange: bytes
    routing_key: bytes
    properties: bytes
    body: bytes


class Sink(Protocol):
    """Who wants the content of one channel; called on the connection's thread."""

    def delivered(self, deliveries: list[Delivery]) -> None:
        """Messages for the channel's consumer, as many as came at once."""

    def returned(self, message: Returned) -> None:
        """A message that was published mandatory and is routed nowhere. Its confirm follows."""

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        """Whether the broker took the publish number `tag` (or all up to it)."""


class _Nobody:
    """Takes what still comes for a channel that is on its way out."""

    def delivered(self, deliveries: list[Delivery]) -> None:
        """Pass over."""

    def returned(self, message: Returned) -> None:
        """Pass over."""

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        """Pass over."""


class NotAMQP(Exception):
    """What came first is no AMQP frame."""


class PlainTransport(_AsyncPlaintextTransport):
    """pika's, reading more at once."""

    _MAX_RECV_BYTES = 262_144
    _MAX_CONSUME_BYTES = 1_048_576


class TLSTransport(_AsyncSSLTransport):
    """pika's, reading more at once."""

    _MAX_RECV_BYTES = 262_144
    _MAX_CONSUME_BYTES = 1_048_576


class BulkConnection(SelectConnection):
    """One connection over a socket that is connected, and encrypted where it is to be."""

    def __init__(self, parameters: Any, services: Any, on_open: Callable[..., None], on_open_error: Callable[..., None],
                 on_close: Callable[..., None], on_bug: Callable[[Exception], None]) -> None:
        self.sinks: dict[int, Sink] = {}
        self.greeting = b""
        """The first bytes that came."""
        self.closed_by_broker: tuple[int, str] | None = None
        self._on_bug = on_bug
        self._rest = b""
        self._contents: dict[int, _Content] = {}
        self._runs: dict[int, _Run] = {}
        """By channel: the way that its last deliveries came."""
        super().__init__(parameters, on_open, on_open_error, on_close, services, internal_connection_workflow=False)

    def start(self, connected: Any, *, encrypted: bool) -> None:
        """Begin to talk over a connected socket."""
        kind = TLSTransport if encrypted else PlainTransport
        shim: Any = _StreamingProtocolShim(self)
        shim.connection_made(kind(connected, shim, self._nbio))

    def silence(self, channel: int) -> None:
        """Pass over whatever still comes for a channel, until it is closed."""
        if channel in self.sinks:
            self.sinks[channel] = _Nobody()

    def forget(self, channel: int) -> None:
        """Let go of a channel that is closed; its number may be given to another."""
        self.sinks.pop(channel, None)
        self._contents.pop(channel, None)
        self._runs.pop(channel, None)

    def emit(self, frames: bytes | memoryview) -> None:
        """Write frames to the socket, or behind what waits for it."""
        self.bytes_sent += len(frames)
        # pika copies what the operating system has not taken yet, each time it takes some
        self._adapter_emit_data(memoryview(frames))  # type: ignore[arg-type]

    @property
    def unwritten(self) -> int:
        """How many bytes wait for the operating system to take them."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def abort(self) -> None:
        """Drop the connection now, without a word to the broker."""
        if self._transport is not None:
            self._terminate_stream(AMQPConnectionError("given up"))

    def _on_connection_close_from_broker(self, method_frame: Any) -> None:
        self.closed_by_broker = (method_frame.method.reply_code, method_frame.method.reply_text)
        super()._on_connection_close_from_broker(method_frame)

    def _on_data_available(self, data_in: bytes) -> None:
        try:
            self._parse(data_in)
        except Exception as problem:
            # pika takes it for a broken connection, and a new one would break the same way
            self._on_bug(problem)
            raise

    def _parse(self, data_in: bytes) -> None:
        self.bytes_received += len(data_in)
        if not self.greeting:
            if data_in[:1] != b"\1":
                self.greeting = data_in[:64]
                self._terminate_stream(NotAMQP())
                return
            self.greeting = data_in[:8]
        data = self._rest + data_in if self._rest else data_in
        at, end = 0, len(data)
        batches: dict[int, list[Delivery]] = {}
        sinks, contents, runs, unpack_frame = self.sinks, self._contents, self._runs, _FRAME.unpack_from
        while end - at > 7:
            kind, channel, size = unpack_frame(data, at)
            stop = at + size + 8
            if stop > end:
                if size > max(LARGEST_FRAME, self.params.frame_max or 0):
                    self._terminate_stream(NotAMQP())
                    return
                break
            if data[stop - 1] != _FRAME_END:
                self._terminate_stream(NotAMQP())
                return
            if channel in sinks:
                if kind == _METHOD:
                    method = data[at + 7:at + 11]
                    if method == _DELIVER and channel in runs and (behind := runs[channel].read(data, at, end, batches.setdefault(channel, []))) > at:
                        at = behind
                        continue
                    if method in (_DELIVER, _RETURN):
                        contents[channel] = _Content(data, at + 11, method)
                        at = stop
                        continue
                    if method in (_ACK, _NACK):
                        sinks[channel].settled(_LONG_LONG.unpack_from(data, at + 11)[0], bool(data[at + 19] & 1), method == _ACK)
                        at = stop
                        continue
                elif kind == _HEADER and channel in contents:
                    content = contents[channel]
                    content.size = _CONTENT.unpack_from(data, at + 7)[2]
                    content.properties = data[at + 19:stop - 1]
                    if not content.size:
                        self._complete(channel, contents.pop(channel), b"", batches)
                    at = stop
                    continue
                elif kind == _BODY and channel in contents:
                    content = contents[channel]
                    piece = data[at + 7:stop - 1]
                    if size == content.size:
                        self._complete(channel, contents.pop(channel), piece, batches)
                    elif content.add(piece):
                        self._complete(channel, contents.pop(channel), b"".join(content.pieces), batches)
                    at = stop
                    continue
            # what came before it is told before it: a consumer that is cancelled, a channel that is closed
            if batches:
                self._hand_over(batches)
            _, decoded = frame.decode_frame(data[at:stop])
            at = stop
            if decoded is not None:
                self._process_frame(decoded)
        self._rest = data[at:]
        if batches:
            self._hand_over(batches)

    def _complete(self, channel: int, content: _Content, body: bytes, batches: dict[int, list[Delivery]]) -> None:
        if content.method == _DELIVER:
            tag, redelivered, exchange, routing_key = content.place()
            together = batches.setdefault(channel, [])
            together.append(delivery := Delivery(tag, redelivered, exchange, routing_key, content.properties, body))
            # only where two came the same way will the next one probably
            if len(together) > 1 and together[-2][1:4] == delivery[1:4]:
                self._runs[channel] = _Run(channel, content.consumer_tag, delivery)
        else:
            code, text, exchange, routing_key = content.refusal()
            self.sinks[channel].returned(Returned(code, text, exchange, routing_key, content.properties, body))

    def _hand_over(self, batches: dict[int, list[Delivery]]) -> None:
        for channel, deliveries in batches.items():
            if deliveries and channel in self.sinks:
                self.sinks[channel].delivered(deliveries)
        batches.clear()


class _Run:
    """Deliveries of one consumer that come from one exchange with one routing key, one behind the other.

    Of such a delivery only the tag, the properties, the body and their sizes are to be read: everything else is compared with what it was.
    """

    __slots__ = ("_between", "_head", "_layout", "_place", "_properties", "_to_body")

    def __init__(self, channel: int, consumer_tag: bytes, delivery: Delivery) -> None:
        self._place = delivery[1:4]
        redelivered, exchange, routing_key = self._place
        arguments = bytes((redelivered, len(exchange))) + exchange + bytes((len(routing_key),)) + routing_key
        self._head = _FRAME.pack(_METHOD, channel, 4 + 1 + len(consumer_tag) + 8 + len(arguments)) + _DELIVER + bytes((len(consumer_tag),)) + consumer_tag
        self._between = arguments + _END + _FRAME.pack(_HEADER, channel, 0)[:3]
        self._layout = struct.Struct(f">{len(self._head)}sQ{len(self._between)}sI4sQ")
        self._to_body = _END + _FRAME.pack(_BODY, channel, 0)[:3]
        self._properties = delivery.properties

    def read(self, data: bytes, at: int, end: int, deliveries: list[Delivery]) -> int:
        """Read as many as are there whole from `at` on; return the position behind them."""
        head, between, to_body, properties = self._head, self._between, self._to_body, self._properties
        redelivered, exchange, routing_key = self._place
        unpack, length, unpack_size, append, new = self._layout.unpack_from, self._layout.size, _LONG.unpack_from, deliveries.append, tuple.__new__
        while at + length < end:
            is_head, tag, is_between, header_size, content_class, size = unpack(data, at)
            start = at + length
            stop = start + header_size - 12
            body = stop + 8
            behind = body + size + 1
            if is_head != head or is_between != between or content_class != _CONTENT_CLASS or behind > end:
                break
            # a body in one frame, which begins and ends where it should
            if data[stop:stop + 4] != to_body or unpack_size(data, stop + 4)[0] != size or data[behind - 1] != _FRAME_END:
                break
            if data[start:stop] != properties:
                properties = data[start:stop]
            append(new(Delivery, (tag, redelivered, exchange, routing_key, properties, data[body:behind - 1])))
            at = behind
        self._properties = properties
        return at


class _Content:
    """A message between its first frame and its last."""

    __slots__ = ("_arguments", "_received", "method", "pieces", "properties", "size")

    def __init__(self, data: bytes, at: int, method: bytes) -> None:
        # at most three short strings and eleven octets
        self._arguments = data[at:at + 800]
        self.method = method
        self.size = 0
        self.properties = b""
        self.pieces: list[bytes] = []
        self._received = 0

    def add(self, piece: bytes) -> bool:
        """Take a piece of the body in; return whether it is whole."""
        self.pieces.append(piece)
        self._received += len(piece)
        return self._received >= self.size

    def place(self) -> tuple[int, bool, bytes, bytes]:
        """Read the arguments of basic.deliver."""
        arguments = self._arguments
        at = 1 + arguments[0]
        exchange = at + 10
        key = exchange + arguments[at + 9]
        return _LONG_LONG.unpack_from(arguments, at)[0], arguments[at + 8] == 1, arguments[exchange:key], arguments[key + 1:key + 1 + arguments[key]]

    @property
    def consumer_tag(self) -> bytes:
        """Whom it was delivered to."""
        return self._arguments[1:1 + self._arguments[0]]

    def refusal(self) -> tuple[int, bytes, bytes, bytes]:
        """Read the arguments of basic.return."""
        arguments = self._arguments
        text = 3 + arguments[2]
        exchange = text + 1 + arguments[text]
        return (struct.unpack_from(">H", arguments)[0], arguments[3:text], arguments[text + 1:exchange],
                arguments[exchange + 1:exchange + 1 + arguments[exchange]])


class Wrapping:
    """The frames around the bodies of messages that go the same way: mandatory, each with its content."""

    __slots__ = ("_before", "_behind", "_channel", "_frame_max", "_properties", "_publish", "_routing_key")

    def __init__(self, channel: int, frame_max: int, exchange: bytes, routing_key: bytes) -> None:
        """Both names are at most 255 bytes long."""
        method = _PUBLISH + bytes((len(exchange),)) + exchange + bytes((len(routing_key),)) + routing_key + _MANDATORY
        self._channel = channel
        self._frame_max = frame_max
        self._routing_key = routing_key
        self._publish = _FRAME.pack(_METHOD, channel, len(method)) + method + _END
        self._properties: bytes | None = None
        self._before = self._behind = b""
        """Between the two, and behind the second, is the size of the body."""

    def fits(self, routing_key: bytes) -> bool:
        """Whether another message to the same exchange goes this way."""
        return self._routing_key == routing_key

    def add(self, properties: bytes, body: bytes, frames: list[bytes | memoryview]) -> None:
        """Append the frames of a message, in pieces; those of a large body are views of it. Its properties fit into a frame."""
        if properties != self._properties:
            self._properties = properties
            self._before = b"%b%b%b" % (self._publish, _FRAME.pack(_HEADER, self._channel, 12 + len(properties)), _CONTENT_CLASS)
            self._behind = b"%b%b%b" % (properties, _END, _FRAME.pack(_BODY, self._channel, 0)[:3])
        size, largest = len(body), self._frame_max - FRAME_OVERHEAD
        if 0 < size <= largest:
            frames += (self._before, _LONG_LONG.pack(size), self._behind, _LONG.pack(size), body, _END)
            return
        frames += (self._before, _LONG_LONG.pack(size), self._behind[:-3])
        whole = memoryview(body)
        for piece in [whole[at:at + largest] for at in range(0, size, largest)]:
            frames += (_FRAME.pack(_BODY, self._channel, len(piece)), piece, _END)
