"""Writes records to standard output: readable on a terminal, bodies in a pipe, envelopes, exact bytes, or a format."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from brokercli.model.errors import UsageProblem
from brokercli.model.message import Record
from brokercli.model.position import NANOSECONDS, format_time
from brokercli.terminal.escape import visible, visible_bytes, visible_json
from brokercli.terminal.format import Format
from brokercli.terminal.streams import Streams

if TYPE_CHECKING:
    from brokercli.backends.contract import Batch

OUTPUTS = ("auto", "bodies", "json", "raw")
_DAY = 86_400 * NANOSECONDS


class RecordWriter:
    """Writes each batch with one call to `Streams.write`, at once: nothing is held back.

    `auto`: on a terminal one readable entry a record, elsewhere `bodies`, one a line (a null body is an empty line). `json`:
    one envelope a line; on a terminal the characters that steer it are written `\\uXXXX`, which is the same JSON. `raw`: the
    bodies' exact bytes and nothing between them, never on a terminal.
    """

    def __init__(self, streams: Streams, output: str = "auto", format: str | None = None) -> None:
        """Raises UsageProblem, before anything is read, for what cannot be printed so."""
        if output not in OUTPUTS:
            raise UsageProblem(f"{output!r} is no form of output for records.", hint=f"forms: {', '.join(OUTPUTS)}")
        if format is not None and output != "auto":
            raise UsageProblem(f"A format and -o {output} exclude each other.", hint="leave one of them out")
        if output == "raw" and streams.stdout_is_terminal:
            raise UsageProblem("Exact bytes can steer a terminal, so -o raw does not print to one.", hint="redirect it (> FILE, | xxd), or leave -o raw out")
        self._streams = streams
        self._encode = self._choose(output, format)
        self.bodies_only = format is None and output != "json" and not (output == "auto" and streams.stdout_is_terminal)
        """Whether bodies are all that is asked of a batch."""

    def write(self, batch: Batch) -> None:
        """Write a batch. Raises ReaderLeft and LocalIO as `Streams.write` does."""
        self._streams.write(self._encode(batch))

    def _choose(self, output: str, text: str | None) -> Callable[[Batch], bytes]:
        terminal = self._streams.stdout_is_terminal
        if text is not None:
            format = Format(text, terminal=terminal)
            return lambda batch: b"".join([format.render(record) for record in batch.records()])
        if output == "json":
            return _lines if not terminal else lambda batch: b"".join([visible_json(line) + b"\n" for line in batch.envelopes()])
        if output == "raw":
            return lambda batch: b"".join(batch.bodies())
        if output == "auto" and terminal:
            entry = Entry(colour=self._streams.colour)
            return lambda batch: "".join([entry.render(record) for record in batch.records()]).encode()
        if terminal:
            return lambda batch: "".join([f"{visible_bytes(body)}\n" for body in batch.bodies()]).encode()
        return lambda batch: batch.lines()


def _lines(batch: Batch) -> bytes:
    return b"\n".join([*batch.envelopes(), b""])


class Entry:
    """One record for a reader: dim time and place, key, body. Control characters are visible, so that nothing a message
    holds can look like another entry; the lines of a body after its first are indented."""

    def __init__(self, *, colour: bool, now: int | None = None) -> None:
        self._dim, self._bright, self._plain = ("\x1b[2m", "\x1b[36m", "\x1b[0m") if colour else ("", "", "")
        self._today = (time.time_ns() if now is None else now) // _DAY

    def render(self, record: Record) -> str:
        """Return the entry, with its line end."""
        message = record.message
        parts = [part for part in (self._when(record.time), record.position, _place(record)) if part]
        text = f"{self._dim}{visible('  '.join(parts))}{self._plain}  " if parts else ""
        if message.key is not None:
            text += f"{self._bright}{visible_bytes(message.key) or '(empty)'}{self._plain}  "
        return f"{text}{self._body(message.body)}\n"

    def _body(self, body: bytes | None) -> str:
        if not body:
            return f"{self._dim}{'(null)' if body is None else '(empty)'}{self._plain}"
        text = visible_bytes(body, newlines=True)
        if "\n" not in text:
            return text
        ends = len(text) - len(text.rstrip("\n"))
        inner = text[:-ends] if ends else text
        return inner.replace("\n", "\n    ") + (self._dim + "\\n" + self._plain) * ends

    def _when(self, moment: int | None) -> str:
        if moment is None:
            return ""
        text = format_time(moment)
        day = moment // _DAY
        if day == self._today:
            return f"{text[11:23]}Z"
        if abs(day - self._today) < 180:
            return f"{text[5:10]} {text[11:19]}Z"
        return f"{text[:10]} {text[11:16]}Z" if text.endswith("Z") else text


def _place(record: Record) -> str:
    place = record.place
    words = [str(place["subject"])] if place.get("subject") else []
    if "exchange" in place or "routing_key" in place:
        words.append("/".join(str(word) for word in (place.get("exchange"), place.get("routing_key")) if word))
    if place.get("redelivered"):
        words.append("redelivered")
    return "  ".join(word for word in words if word)
