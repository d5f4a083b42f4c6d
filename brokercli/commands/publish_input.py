"""What `publish` was told to send: bodies from an argument, files or standard input, and what they have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass

from brokercli.model.capability import Capability
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message
from brokercli.operations.input import Envelopes, Given, Lines, Whole, check_readable, open_files
from brokercli.operations.publishing import Source
from brokercli.terminal.streams import Streams

_ESCAPE = re.compile(rb"\\(n|r|t|0|\\|x[0-9A-Fa-f]{2})")
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options that say where bodies come from."""

    body: str | None
    tombstone: bool
    files: tuple[str, ...]
    form: str
    delimiter: str | None
    maximum: int

    @property
    def bodies_only(self) -> bool:
        """Whether what is opened reads bare bodies, and no messages."""
        return self.body is None and not self.tombstone and self.form != "json"

    def typed(self, streams: Streams) -> bool:
        """Whether somebody types what is read."""
        read = self.body is None and not self.tombstone and (not self.files or "-" in self.files)
        return read and streams.stdin_is_terminal

    def capabilities(self, template: Message) -> list[Capability]:
        """Return what these options ask of the broker beyond publishing."""
        asked = {Capability.TOMBSTONE: self.tombstone, Capability.PARTITION: template.partition is not None,
                 Capability.MESSAGE_TIME: template.time is not None, Capability.KEY: template.key is not None}
        return [capability for capability, is_asked in asked.items() if is_asked]


def open_source(wanted: Wanted, template: Message, streams: Streams) -> Source:
    """Open everything that is to be read, or raise UsageProblem before anything is sent."""
    given = [name for name, is_given in (("BODY", wanted.body is not None), ("--file", bool(wanted.files)), ("--tombstone", wanted.tombstone)) if is_given]
    if len(given) > 1:
        raise UsageProblem(f"{' and '.join(given)} exclude each other.", hint="bodies come from one place")
    if wanted.delimiter is not None and wanted.form not in ("lines", "json"):
        raise UsageProblem(f"--delimiter goes with --input lines, not {wanted.form}.")
    if wanted.tombstone:
        return Given([_with_body(template, None)])
    if wanted.body is not None:
        body = wanted.body.encode(errors="surrogateescape")
        if wanted.form == "json":
            from brokercli.backends.envelope import decode_envelope

            return Given([_filled(decode_envelope(body, 1), template)])
        return Given([_with_body(template, body)])
    if wanted.files.count("-") > 1:
        raise UsageProblem("Standard input can be read once; -f - is there more often.")
    if streams.stdin is None and (not wanted.files or "-" in wanted.files):
        raise UsageProblem("Standard input is closed.", hint="give the body as an argument, or a file with -f")
    if not wanted.files:
        check_readable(0)
    if wanted.typed(streams):
        streams.say("reading messages from the terminal, one a line; Ctrl-D ends")
    descriptors = open_files(wanted.files) if wanted.files else [0]
    if wanted.form == "whole":
        return Whole(descriptors, maximum=wanted.maximum)
    lines = Lines(descriptors, b"\0" if wanted.form == "nul" else _delimiter(wanted.delimiter), maximum=wanted.maximum)
    return Filled(Envelopes(lines), template) if wanted.form == "json" else lines


@dataclass(slots=True)
class Filled:
    """Envelopes that take from the command line what they do not say themselves: key, headers, id, time, partition."""

    source: Envelopes
    template: Message

    @property
    def first(self) -> int:
        """As the envelopes'."""
        return self.source.first

    def read(self, timeout: float) -> list[Message] | None:
        """Return the next messages; otherwise as `Envelopes.read`."""
        messages = self.source.read(timeout)
        return messages and [_filled(message, self.template) for message in messages]


def _delimiter(text: str | None) -> bytes:
    if text is None:
        return b"\n"
    delimiter = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1]) or bytes([int(match[1][1:], 16)]), text.encode(errors="surrogateescape"))
    if not delimiter:
        raise UsageProblem("--delimiter cannot be empty.", hint="--input whole takes each file as one body")
    return delimiter


def _with_body(template: Message, body: bytes | None) -> Message:
    return Message(body, template.key, template.headers, template.id, template.time, template.partition, template.route, template.properties)


def _filled(message: Message, template: Message) -> Message:
    message.key = message.key if message.key is not None else template.key
    message.headers += template.headers
    message.id = message.id or template.id
    message.time = message.time if message.time is not None else template.time
    message.partition = message.partition if message.partition is not None else template.partition
    message.route = message.route if template.route is None else template.route
    message.properties = {**message.properties, **template.properties}
    return message
