"""How one dead letter reads, whole."""

from __future__ import annotations

import json
from base64 import b64encode

from brokercli.backends.envelope_values import encode_value
from brokercli.model.amount import amount
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.description import Description, Section, Value
from brokercli.model.message import HeaderValue, Message
from brokercli.model.position import format_time
from brokercli.terminal.escape import visible, visible_bytes
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import check_output, print_description


def print_letter(streams: Streams, letter: DeadLetter, state: str, output: str = "auto") -> None:
    """Print why it died, where from, its way, its headers, its body, its stack trace; `json` is one object."""
    check_output(output)
    message, whole = letter.unwrapped or letter.record.message, output == "json"
    facts: dict[str, Value] = {
        "state": state, "dialect": letter.dialect, "reason": letter.reason, "exception": letter.exception, "message": letter.exception_message,
        "origin": str(letter.home.address) if letter.home else "unknown", "origin read from": letter.home.derived if letter.home else None,
        "consumer": letter.consumer, "group": letter.group, "connector": letter.connector, "attempts": letter.attempts,
        "first death": _time(letter.first_death), "last death": _time(letter.last_death), "original time": _time(letter.original_time),
        "put back so far": letter.redrives, "key": None if message.key is None else visible_bytes(message.key)}
    sections = [Section("way", [{"where": hop.where, "reason": hop.reason, "time": _time(hop.time), "times": hop.count} for hop in letter.journey]),
                *_carried(letter.record.message, "", whole)]
    if message is not letter.record.message:
        # its letter only points at it, or wraps it
        sections += [section for section, outer in zip(_carried(message, " of the message", whole), sections[1:], strict=True) if section.rows != outer.rows]
    if letter.lost or letter.remarks:
        sections.append(Section("remarks", [{"remark": remark} for remark in (*letter.remarks, *(f"cannot be put back: {lost}" for lost in letter.lost))]))
    description = Description("dead letter", letter.record.position or "(no position)", letter.dialect,
                              {name: value for name, value in facts.items() if value not in (None, "")}, [section for section in sections if section.rows])
    if output == "json":
        body = message.body
        description.facts |= {"body": None if body is None else _text(body), "stack trace": letter.stack_trace or None}
        print_description(streams, description, output)
        return
    print_description(streams, description, output)
    streams.write(f"\n{_pretty(message.body)}\n".encode())
    if letter.stack_trace:
        streams.write(f"\n{visible(letter.stack_trace, newlines=True)}\n".encode())


def _carried(message: Message, whose: str, whole: bool) -> list[Section]:
    return [Section(f"properties{whose}", [{"name": name, "value": _shown(value, whole)} for name, value in message.properties.items()]),
            Section(f"headers{whose}", [{"name": name, "value": _shown(value, whole)} for name, value in message.headers])]


def _pretty(body: bytes | None) -> str:
    if body is None:
        return "(null body)"
    try:
        return visible(json.dumps(json.loads(body), indent=2, ensure_ascii=False), newlines=True)
    except (ValueError, RecursionError):
        return visible_bytes(body)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return f"base64:{b64encode(body).decode()}"


def _shown(value: HeaderValue, whole: bool) -> str:
    text = visible_bytes(value) if isinstance(value, bytes) else visible(json.dumps(encode_value(value), ensure_ascii=False))
    return text if whole or len(text) <= 300 else f"{text[:300]}… ({amount(len(text), 'character')})"


def _time(nanoseconds: int | None) -> str | None:
    return None if nanoseconds is None else format_time(nanoseconds)
