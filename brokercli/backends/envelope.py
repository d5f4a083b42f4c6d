"""The JSON envelope: one record or message as one line, bit-exact both ways.

`{"v":1,"broker":…,<place>,"time":…,"key":…,"headers":[{"name":…,"value":…}],"properties":{…},"body":…}`. Bytes are a string
where they are UTF-8 and `{"base64":…}` elsewhere; AMQP's field types that JSON lacks are tagged (`{"int32":5}`).
"""

from __future__ import annotations

from binascii import Error as NotBase64
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import orjson

from brokercli.backends.envelope_values import bytes_of, decode_headers, decode_value, encode_headers, encode_name, encode_value, text_or_base64
from brokercli.model.errors import InputRefused, UsageProblem
from brokercli.model.message import Header, Message, Place, Record
from brokercli.model.position import format_time, parse_time, read_time
from brokercli.model.remembered import Remembered

VERSION = 1
_Read = TypeVar("_Read")
PLACE_KEYS = ("topic", "partition", "offset", "subject", "stream", "sequence", "exchange", "routing_key", "queue", "redelivered")
MESSAGE_KEYS = ("time", "id", "key", "headers", "properties", "body", "value")
# what brokercli adds to an envelope for the reader, and publishing passes over
COMMENT_KEYS = ("v", "broker", "dead_letter", "distance", "original")
_KEYS = {*MESSAGE_KEYS, *PLACE_KEYS, *COMMENT_KEYS}
_DEAD_AT_HOME = "at home"
_BEGUN = (b"{", b"[")
"""What the first line is of JSON that is laid out for people, as jq does it unless it is told otherwise."""
_AS_IT_IS = "--input lines takes each line as a body as it is"
# DEL is the one control character that JSON does not escape
_SEPARATOR, _BETWEEN_STRINGS = b"\x7f", b'"\x7f"'
_LARGE = 65_536
"""Bytes of a value on average from which joining saves nothing, and the copies of all of them at once are what counts."""
# letters of one kind differ in their bodies only, and have the same headers, the same object where their backend made them so
_HEADS: Remembered[tuple[tuple[Any, ...], bytes]] = Remembered()
_BROKERS = {"topic": "kafka", "subject": "nats", "stream": "nats", "exchange": "rabbitmq", "queue": "rabbitmq", "routing_key": "rabbitmq"}


def write_strings(values: Sequence[bytes | None]) -> list[bytes]:
    """Write each value as JSON: a string, or base64, or null.

    Once where all are the same, as in headers of letters that died of one cause. All at once where all are text: joined by a character
    that is not escaped, decoded and escaped in one go, and taken apart there. A value that holds the character makes one part too many,
    and all are written one by one; so are large ones.
    """
    if len(values) > 1 and values.count(values[0]) == len(values):
        return [_write_string(values[0])] * len(values)
    try:
        joined = _SEPARATOR.join(values)  # type: ignore[arg-type]
        if len(joined) > _LARGE * len(values):
            del joined
            return [_write_string(value) for value in values]
        escaped = orjson.dumps(joined.decode())
    except (TypeError, UnicodeDecodeError):
        pass
    else:
        strings = escaped.replace(_SEPARATOR, _BETWEEN_STRINGS).split(_SEPARATOR)
        if len(strings) == len(values):
            return strings
    return [_write_string(value) for value in values]


def _write_string(value: bytes | None) -> bytes:
    if value is None:
        return b"null"
    # an error for each that is no text takes as long as all the rest
    text = value.decode(errors="ignore")
    if len(text) == len(value) or len(text.encode()) == len(value):
        return orjson.dumps(text)
    return b'{"base64":"%b"}' % b2a_base64(value, newline=False)


def write_header_lists(lists: Sequence[Sequence[Header]]) -> list[bytes]:
    """Write each message's headers as JSON; their values are bytes or None, as everywhere but in AMQP.

    Messages with headers of the same names are written together, name by name: dead letters have ten and more, and one of them
    alone takes three times as long.
    """
    written = [b"[]"] * len(lists)
    if not any(lists):
        return written
    alike: dict[tuple[str, ...], list[int]] = {}
    for index, headers in enumerate(lists):
        if headers:
            names = tuple([name for name, _ in headers])
            found = alike.get(names)
            if found is None:
                alike[names] = [index]
            else:
                found.append(index)
    for names, indices in alike.items():
        form = b"[" + b",".join([b'{"name":%b,"value":%%b}' % orjson.dumps(encode_name(name)).replace(b"%", b"%%") for name in names]) + b"]"
        these = lists if len(indices) == len(lists) else [lists[index] for index in indices]
        columns = [write_strings([headers[place][1] for headers in these]) for place in range(len(names))]  # type: ignore[misc]
        for index, row in zip(indices, zip(*columns, strict=True), strict=True):
            written[index] = form % row
    return written


def encode_record(record: Record) -> bytes:
    """Write one record as one line, without its line end."""
    head, body = encode_head(record) if record.position else _known_head(record), record.message.body
    try:
        return head + orjson.dumps(body.decode() if body is not None else None) + b"}"
    except UnicodeDecodeError:
        return head + orjson.dumps(text_or_base64(body)) + b"}"


def _known_head(record: Record) -> bytes:
    """Return what `encode_head` does for a record that its broker does not number, once for all that differ in their bodies only."""
    message = record.message
    said = record.broker, record.place, record.time, message.key, message.properties
    known = _HEADS.get(message.headers)
    if known is None or known[0] != said:
        known = _HEADS.put(message.headers, (said, encode_head(record)))
    return known[1]


def encode_with_original(record: Record, original: Record) -> bytes:
    """Write a record that only points at its message, and with it the message, as one line."""
    return encode_record(record)[:-1] + b',"original":' + encode_record(original) + b"}"


def mark_dead_at_home(line: bytes) -> bytes:
    """Write into an envelope that its record is dead where it was published, which nothing in the record itself tells."""
    return line[:-1] + b',"dead_letter":' + orjson.dumps(_DEAD_AT_HOME) + b"}"


def is_dead_at_home(line: bytes) -> bool:
    """Whether `mark_dead_at_home` marked this envelope. `decode_record` has to have taken the line before."""
    return b'"dead_letter":' in line and orjson.loads(line).get("dead_letter") == _DEAD_AT_HOME


def decode_original(line: bytes) -> Record | None:
    """Read the message that an envelope has beside a record that points at it; None where it has none. Raises as `decode_record`,
    which has to have taken the line before."""
    original = orjson.loads(line).get("original") if b'"original":' in line else None
    return None if original is None else decode_record(orjson.dumps(original), 0)


def encode_place(broker: str, place: Place) -> bytes:
    """Write what is in front of an envelope's time."""
    return orjson.dumps(_place(broker, place))[:-1]


def _place(broker: str, place: Place) -> dict[str, Any]:
    envelope: dict[str, Any] = {"v": VERSION, "broker": broker}
    for name, word in place.items():
        envelope[name] = text_or_base64(word.encode(errors="surrogateescape")) if isinstance(word, str) and not word.isascii() else word
    return envelope


def encode_head(record: Record) -> bytes:
    """Write everything up to the body's value; with that behind it, a closing brace is missing."""
    message = record.message
    envelope = _place(record.broker, record.place)
    envelope["time"] = None if record.time is None else format_time(record.time)
    envelope["key"] = text_or_base64(message.key)
    envelope["headers"] = encode_headers(message.headers)
    if message.properties:
        envelope["properties"] = {name: encode_value(value) for name, value in message.properties.items()}
    return orjson.dumps(envelope)[:-1] + b',"body":'


def decode_envelope(line: bytes, number: int) -> Message:
    """Read one envelope into the message it says.

    The time and partition of a stored record (one that says its offset or sequence) are where it lay, not where it
    should go, and are left out; without those they are instructions. Raises InputRefused with `number`, the line's.
    """
    return _decode(line, number, _message_of)


def decode_record(line: bytes, number: int) -> Record:
    """Read the envelope of a stored record, as it lay where it was stored; the inverse of `encode_record`. Raises as
    `decode_envelope`, and for one that does not say its broker."""
    return _decode(line, number, _record_of)


def _decode(line: bytes, number: int, read: Callable[[Mapping[str, Any]], _Read]) -> _Read:
    try:
        envelope = orjson.loads(line)
    except orjson.JSONDecodeError as problem:
        if line.strip() in _BEGUN:
            raise InputRefused(f"line {number} is not JSON but its beginning, and an envelope takes one line: jq -c prints them so", number,
                               hint=_AS_IT_IS) from None
        raise InputRefused(f"line {number} is not JSON: {problem.msg}, at character {problem.pos + 1}", number,
                           hint=_AS_IT_IS) from None
    if not isinstance(envelope, dict):
        raise InputRefused(f"line {number} is JSON, but not an object", number, hint=_AS_IT_IS)
    _check_names(envelope, line, number)
    bodiless = "body" not in envelope and "value" not in envelope
    if strange := envelope.keys() - _KEYS:
        name = next(name for name in envelope if name in strange)
        near = get_close_matches(name, MESSAGE_KEYS + PLACE_KEYS, 1)
        raise InputRefused(f"line {number} has the key {name[:80]!r}, which no envelope has" + (f"; did you mean {near[0]!r}?" if near else ""), number,
                           hint=_AS_IT_IS if bodiless else None)
    if envelope.get("v", VERSION) != VERSION:
        raise InputRefused(f"line {number} is an envelope of version {envelope['v']!r}; this brokercli reads version {VERSION}", number)
    if bodiless:
        raise InputRefused(f"line {number} has no body (an empty one is \"\", a tombstone is null)", number, hint=_AS_IT_IS)
    if isinstance(body := envelope.get("body"), (dict, list, int, float)) and "base64" not in (body if isinstance(body, dict) else ()):
        raise InputRefused(f'line {number}: body is neither a string nor {{"base64":…}} nor null', number, hint='JSON goes under "value" in place of "body"')
    try:
        return read(envelope)
    except (ValueError, TypeError, NotBase64, KeyError, OverflowError, RecursionError, UsageProblem) as problem:
        raise InputRefused(f"line {number}: {problem}", number) from None


def _check_names(envelope: dict[str, Any], line: bytes, number: int) -> None:
    """Refuse a line that has a name twice in one object: the parser keeps the last value, and the others would be lost without a word."""
    try:
        written = orjson.dumps(envelope)
        if written == line.strip() or _has_no_more_names(line, written):
            return
    except orjson.JSONEncodeError:
        pass
    import json

    def check(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputRefused(f"line {number} has {twice[:80]!r} twice in one object; one of its values would be lost", number)

    try:
        json.loads(line, object_pairs_hook=check)
    except RecursionError:
        raise InputRefused(f"line {number} is nested too deep", number) from None


def _has_no_more_names(line: bytes, written: bytes) -> bool:
    """Whether a line certainly has no more names than what was read of it, as we write that: behind each name, and behind nothing else that is not
    escaped, there are a quote and a colon. Where something may be between the two, or a name ends in a backslash, that is not certain."""
    if b'" :' in line or b"  :" in line or b"\t:" in line or b"\r:" in line or b"\n:" in line or b'\\\\":' in line or b'\\\\":' in written:
        return False
    return line.count(b'":') - line.count(b'\\":') == written.count(b'":') - written.count(b'\\":')


def _message_of(envelope: Mapping[str, Any]) -> Message:
    stored = envelope.get("offset") is not None or envelope.get("sequence") is not None
    origin = envelope.get("broker") or next((broker for name, broker in _BROKERS.items() if name in envelope), None)
    route = next((envelope[name] for name in ("routing_key", "subject", "topic") if envelope.get(name) is not None), None)
    body = bytes_of(envelope["body"], "body") if "body" in envelope else orjson.dumps(envelope["value"])
    partition, time = envelope.get("partition"), envelope.get("time")
    if partition is not None and (type(partition) is not int or not 0 <= partition < 2**31):
        raise ValueError(f"partition is {str(partition)[:40]!r}, not a number")
    if time is not None and not isinstance(time, str):
        raise ValueError("time is a string like 2026-11-23T10:00:00.123Z")
    identity = envelope.get("id")
    if identity is not None and not isinstance(identity, str):
        raise ValueError("id is a string")
    properties = envelope.get("properties") or {}
    if not isinstance(properties, dict):
        raise ValueError("properties is an object")
    return Message(
        body=body, key=bytes_of(envelope.get("key"), "key"), headers=decode_headers(envelope.get("headers") or []), id=identity,
        time=None if stored or time is None else parse_time(time), partition=None if stored else partition,
        route=None if route is None else (bytes_of(route, "route") or b"").decode(errors="surrogateescape"),
        properties={name: decode_value(value) for name, value in properties.items()}, origin=origin if isinstance(origin, str) else None)


def _record_of(envelope: Mapping[str, Any]) -> Record:
    message = _message_of(envelope)
    broker = envelope.get("broker")
    if not isinstance(broker, str):
        raise ValueError("it does not say which broker it was stored on")
    place: Place = {}
    for name in PLACE_KEYS:
        if name in envelope:
            word = envelope[name]
            if not isinstance(word, (str, int, dict, type(None))):
                raise ValueError(f"{name} is {str(word)[:40]!r}")
            place[name] = (bytes_of(word, name) or b"").decode(errors="surrogateescape") if isinstance(word, dict) else word
    number = next((place[name] for name in ("offset", "sequence") if isinstance(place.get(name), int)), None)
    position = "" if number is None else f"{place['partition']}:{number}" if place.get("partition") is not None else str(number)
    time = envelope.get("time")
    return Record(broker, place, position, None if time is None else read_time(time), message)
