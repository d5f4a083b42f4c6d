"""A message as NATS carries it, wherever it comes from.

| of the message | from NATS or by hand | from Kafka or RabbitMQ |
|---|---|---|
| body | as it is; a null body is refused | the same |
| headers | bytes, order, repeats as they are; null by hand is refused | the same; other types as text (`5`, `true`, JSON for tables), null as an empty value |
| header `Nats-…` | by hand: as it is. From NATS: withheld, unless control headers are kept | withheld, unless control headers are kept |
| id | by hand: `Nats-Msg-Id`; a stored one is withheld, see below | `x-message-id`; `Nats-Msg-Id` where control headers are kept |
| key | by hand: refused | `x-message-key` |
| time, partition | by hand: refused | left out |
| AMQP content_type, correlation_id | by hand: `content-type`, `x-correlation-id` | `content-type`, `x-correlation-id` |
| AMQP message_id, where there is no id | `x-message-id` | `x-message-id` |
| other AMQP properties | by hand: `x-amqp-<name>`, with - for _ | `x-amqp-<name>`, with - for _ |

What a header line cannot carry (CR or LF in a name or value, a colon in a name) refuses its message: nothing is altered
silently. Every `Nats-` header either steers the server (Rollup purges, Msg-Id swallows, Expected refuses, Batch stores
nothing: seen on 2.15.1) or was written by it, so all of them are withheld from copies, but for what workers write on their
letters by convention (`Nats-Original-…`, `Nats-Failure-…`, `Nats-Num-Delivered`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import orjson

from brokercli.backends.envelope_values import encode_value
from brokercli.backends.nats import SUBJECT, descriptor
from brokercli.backends.nats.records import MESSAGE_ID
from brokercli.model.capability import Capability
from brokercli.model.errors import Failed
from brokercli.model.message import HeaderValue, Message, Typed

STATUS_LINE = b"NATS/1.0\r\n"
# what workers write by convention on letters of their own: the server neither reads nor writes it
_OF_WORKERS = ("nats-original-", "nats-failure-", "nats-num-delivered")
_PROPERTIES = {"content_type": "content-type", "correlation_id": "x-correlation-id", "message_id": "x-message-id"}


class Refusal(Exception):
    """NATS cannot carry this message; the text is the reason for its receipt."""


@lru_cache(maxsize=1024)
def is_control(name: str) -> bool:
    """Whether a header steers the server or was written by it."""
    return name.strip()[:5].lower() == "nats-" and not name.strip().lower().startswith(_OF_WORKERS)


def check_carried(message: Message) -> None:
    """Raise Refusal for what NATS has no place for and was asked for by hand."""
    if message.body is None:
        raise _declined(Capability.TOMBSTONE)
    if message.origin in (None, "nats"):
        if message.key is not None:
            raise _declined(Capability.KEY)
        if message.partition is not None:
            raise _declined(Capability.PARTITION)
        if message.time is not None:
            raise _declined(Capability.MESSAGE_TIME)


def _declined(capability: Capability) -> Refusal:
    return Refusal(descriptor.support[SUBJECT][capability].note.rstrip("."))


def header_block(message: Message, *, keep_control: bool, withheld: dict[str, int]) -> bytes:
    """Return the header block, empty where there are no headers. Counts in `withheld`; raises Refusal."""
    foreign = message.origin not in (None, "nats")
    withhold = message.origin is not None and not keep_control
    lines: list[bytes] = []
    held: set[str] = set()
    for name, value in message.headers:
        if withhold and is_control(name):
            held.add(name)
        else:
            lines.append(_line(name, value, message.origin))
    for name, value in _from_elsewhere(message, foreign=foreign, keep_control=keep_control):
        lines.append(_line(name, value, message.origin))
    own_id = explicit_id(message)
    if own_id is not None:
        lines.append(_line("Nats-Msg-Id", own_id.encode(errors="surrogateescape"), None))
    for name in held:
        withheld[name] = withheld.get(name, 0) + 1
    return STATUS_LINE + b"".join(lines) + b"\r\n" if lines else b""


def check_size(size: int, largest: int) -> None:
    """Raise Refusal for a message of so many bytes, headers included, where the server takes fewer."""
    if size > largest:
        raise Refusal(f"it has {size} bytes with its headers, and the server takes no more than {largest} (max_payload)")


class Converter:
    """Converts messages for one publisher and counts what is withheld."""

    def __init__(self, template: Message, *, keep_control_headers: bool) -> None:
        """Raises Failed for a template that NATS cannot carry."""
        self.withheld: dict[str, int] = {}
        self._keep = keep_control_headers
        try:
            self.template_block = header_block(template, keep_control=keep_control_headers, withheld={})
            """The headers of a message that is the template but for its body."""
        except Refusal as refusal:
            raise Failed(f"Nothing was sent: {refusal}.") from None

    def convert(self, message: Message, largest: int) -> tuple[bytes, bytes]:
        """Return header block and body, `largest` bytes together at most. Raises Refusal."""
        check_carried(message)
        held: dict[str, int] = {}
        block, body = header_block(message, keep_control=self._keep, withheld=held), message.body or b""
        check_size(len(block) + len(body), largest)
        for name, count in held.items():
            self.withheld[name] = self.withheld.get(name, 0) + count
        return block, body


def withheld_from_copies(message: Message) -> list[str]:
    """Return the names of headers that `header_block` withholds from the copy of a stored message, each once."""
    return list(dict.fromkeys(name for name, _ in message.headers if is_control(name))) if message.origin is not None else []


def explicit_id(message: Message) -> str | None:
    """Return the id that was asked for, not one that a stored message came with."""
    if message.id is None or message.origin not in (None, "nats"):
        return None
    return None if any(name.lower() == MESSAGE_ID for name, _ in message.headers) else message.id


def sent_id(block: bytes) -> bytes | None:
    """Return the Nats-Msg-Id in a header block, by which the server recognises a repeat."""
    start = block.find(b"\r\nNats-Msg-Id:")
    if start < 0:
        return None
    start += len(b"\r\nNats-Msg-Id:")
    return block[start:block.find(b"\r\n", start)].strip(b" ") or None


def _from_elsewhere(message: Message, *, foreign: bool, keep_control: bool) -> Iterable[tuple[str, HeaderValue]]:
    if foreign and message.key is not None:
        yield "x-message-key", message.key
    if foreign and message.id is not None:
        yield "Nats-Msg-Id" if keep_control else "x-message-id", message.id.encode(errors="surrogateescape")
    for name, value in message.properties.items():
        if name == "message_id" and message.id is not None:
            continue
        if value is not None:
            yield _PROPERTIES.get(name, f"x-amqp-{name.replace('_', '-')}"), value


def _line(name: str, value: HeaderValue, origin: str | None) -> bytes:
    if origin == "nats":
        return line_of_nats(name, value)
    if origin is None and value is None:
        raise Refusal(f"the header {name[:80]!r} is null, and NATS has only empty ones")
    start = _start_of(name)
    text = value if type(value) is bytes else text_of(value)
    if b"\r" in text or b"\n" in text:
        raise Refusal(f"the value of {name[:80]!r} holds a line end, which a NATS header cannot carry")
    return b"%b%b\r\n" % (start, text)


@lru_cache(maxsize=1024)
def _start_of(name: str) -> bytes:
    """Return how the line of a header from elsewhere begins. Raises Refusal."""
    raw_name = name.encode(errors="surrogateescape")
    if not raw_name or any(byte in raw_name for byte in b"\r\n:"):
        raise Refusal(f"a NATS header cannot be named {name[:80]!r}")
    return raw_name + b": "


def line_of_nats(name: str, value: HeaderValue) -> bytes:
    """Return the line of a header that was stored: it can be stored again, lone CR and LF too. Raises Refusal for what would
    end the line early."""
    raw_name = name.encode(errors="surrogateescape")
    if b"\r\n" in raw_name or b":" in raw_name or (not raw_name and value is None):
        raise Refusal(f"a NATS header cannot be named {raw_name[:80]!r}")
    line = raw_name if value is None else raw_name + b": " + text_of(value)
    if b"\r\n" in line:
        raise Refusal(f"the value of {name[:80]!r} holds a line end, which a NATS header cannot carry")
    return line + b"\r\n"


def text_of(value: HeaderValue) -> bytes:
    """Return a header value as text: bytes as they are, AMQP's numbers in digits, its tables and arrays as JSON."""
    if isinstance(value, bytes):
        return value
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, Typed):
        if isinstance(value.value, bytes):
            return value.value
        if isinstance(value.value, int) and value.kind not in ("float32", "double"):
            return b"%d" % value.value
    written = encode_value(value)
    if isinstance(value, (Typed, float)) and isinstance(written, dict):
        written = next(iter(written.values()))
    return written.encode() if isinstance(written, str) else orjson.dumps(written)
