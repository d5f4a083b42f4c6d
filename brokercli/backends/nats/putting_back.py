"""What a message is when it goes back: its own, under an id of ours, without instructions to the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from brokercli.backends.nats.convert import STATUS_LINE, is_control, line_of_nats
from brokercli.backends.nats.streams import Json
from brokercli.model.message import Header, Message
from brokercli.model.position import parse_time


def as_copy(message: Message, identity: str, subject: str | None, left_off: Counter[str]) -> Message:
    """Return the message to publish. Its own `Nats-Msg-Id` would be taken for a duplicate of the first one and swallowed,
    `Nats-Rollup` would purge, `Nats-Expected-…` refuse, `Nats-Batch-…` store nothing (seen on 2.15.1): only ours goes along. Those left off are counted in
    `left_off`, each name once."""
    headers = message.headers
    if message.origin in (None, "nats"):
        for name, _ in headers:
            if is_control(name):
                left_off.update(held_back(message))
                headers = tuple([header for header in headers if not is_control(header[0])])
                break
    return Message(message.body, message.key, headers, identity, message.time, message.partition, message.route if subject is None else subject,
                   message.properties, message.origin)


def held_back(message: Message) -> list[str]:
    """Return the names of headers that do not go along when a message is put back, each once."""
    return list(dict.fromkeys(name for name, _ in message.headers if is_control(name))) if message.origin in (None, "nats") else []


class CopyBlocks:
    """Writes the header blocks of copies of messages from NATS. Letters of a kind have most of their headers in common, the very
    objects: a line that the block before had at the same place is not written anew. Where but one differs, what is before and behind it is not
    even put together anew."""

    def __init__(self, left_off: Counter[str]) -> None:
        """What does not go along is counted in `left_off`, each name of a message once."""
        self._left_off = left_off
        self._headers: Sequence[Header] = ()
        self._lines: list[bytes] = []
        self._place = -1
        """Where the last two blocks differed, in nothing else; -1 for none such."""
        self._around: tuple[Sequence[Header], Sequence[Header]] = (), ()
        """The headers before that place and behind it."""
        self._written: tuple[bytes, bytes] = b"", b""
        """What they come to."""

    def write(self, headers: Sequence[Header], identity: str) -> bytes:
        """Return the header block of a copy, which is that of `as_copy`. Raises Refusal."""
        place = self._place
        if 0 <= place < len(headers) and self._around == (headers[:place], headers[place + 1:]):
            line = _line(headers[place])
            if line:
                before, behind = self._written
                return b"%b%b%bNats-Msg-Id: %b\r\n\r\n" % (before, line, behind, identity.encode(errors="surrogateescape"))
        lines = self._lines_of(headers)
        if b"" in lines:
            self._left_off.update({name for (name, _), line in zip(headers, lines, strict=True) if not line})
        return b"%b%bNats-Msg-Id: %b\r\n\r\n" % (STATUS_LINE, b"".join(lines), identity.encode(errors="surrogateescape"))

    def _lines_of(self, headers: Sequence[Header]) -> list[bytes]:
        before, lines = self._headers, self._lines
        # where a line cannot be written, those before it do not fit the headers any more
        self._headers, self._lines, self._place = (), [], -1
        changed: list[int] = []
        if len(before) != len(headers):
            lines = [_line(header) for header in headers]
        else:
            for place, header in enumerate(headers):
                if header is not before[place]:
                    lines[place] = _line(header)
                    changed.append(place)
        self._headers, self._lines = headers, lines
        if len(changed) == 1 and b"" not in lines:
            (place,) = changed
            self._place, self._around = place, (headers[:place], headers[place + 1:])
            self._written = STATUS_LINE + b"".join(lines[:place]), b"".join(lines[place + 1:])
        return lines


def _line(header: Header) -> bytes:
    """Return a header's line; empty for one that does not go along. Raises Refusal as `line_of_nats`."""
    name, value = header
    start = _start_of(name)
    if not start:
        return b""
    return b"%b%b\r\n" % (start, value) if type(value) is bytes and b"\r\n" not in value else line_of_nats(name, value)


@lru_cache(maxsize=1024)
def _start_of(name: str) -> bytes:
    """Return how a header's line begins; empty for one that does not go along. Raises Refusal as `line_of_nats`."""
    return b"" if is_control(name) else line_of_nats(name, b"").removesuffix(b"\r\n")


def identity_prefix(info: Json) -> str:
    """Return what the ids of copies of one stream's messages begin with. When it was created is in it: a stream of the same
    name that was deleted and made anew numbers other messages the same, and their copies must not pass for repeats."""
    return f"brokercli:{info['config']['name']}:{parse_time(str(info['created'])):x}:"
