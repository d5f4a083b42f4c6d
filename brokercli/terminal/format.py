"""`-f FORMAT`: the verbs of kcl and kcat, compiled once, before anything is read."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from brokercli.backends.envelope_values import in_words, text_or_base64
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Header, HeaderValue, Record
from brokercli.model.position import NANOSECONDS, format_time
from brokercli.terminal.escape import visible_bytes

VERBS = {
    "t": "topic, subject, exchange or queue", "r": "routing key or subject", "p": "partition", "o": "offset or sequence",
    "k": "key", "v": "body", "s": "body", "K": "bytes of the key, -1 for null", "V": "bytes of the body, -1 for null", "S": "bytes of the body",
    "h": "headers as name=value,…; %h{%k=%v } for each", "H": "number of headers", "T": "time in milliseconds since 1970",
    "d": "time; %d{strftime[%F %T]}", "i": "how many records were printed, this one included",
}
"""Every verb and what it prints; for help."""
_TEXT_VERBS, _NUMBER_VERBS = "tkvsr", "poKVSHTi"
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}
_SECONDS = re.compile(r"(?<!%)((?:%%)*)%s")
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_BINARY = re.compile(r"(big|little)(64|32|16|8)")

Piece = Callable[[Record], bytes]
HeaderPiece = Callable[[Header], bytes]


class Format:
    """A compiled format. `terminal` makes what the fields hold visible; what the format itself says is left alone."""

    def __init__(self, text: str, *, terminal: bool = False) -> None:
        """Raises UsageProblem, with the place, for a verb, modifier or escape that does not exist."""
        self._text = text
        self._show: Callable[[bytes], bytes] = _shown if terminal else _untouched
        self._count = 0
        self._pieces = self._compile(text, 0)

    def render(self, record: Record) -> bytes:
        """Return one record, formatted."""
        self._count += 1
        return b"".join([piece(record) for piece in self._pieces])

    def _compile(self, text: str, offset: int) -> list[Piece]:
        pieces: list[Piece] = []
        for token in _tokens(text, offset):
            if isinstance(token, bytes):
                pieces.append(_constant(token))
            else:
                pieces.append(self._verb(*token))
        return pieces

    def _verb(self, verb: str, modifier: str | None, place: int) -> Piece:
        if verb in _TEXT_VERBS:
            encode, field = _text_modifier(modifier, place, self._show), _FIELDS[verb]
            return lambda record: encode(field(record))
        if verb == "i":
            number = _number_modifier(modifier, place)
            return lambda record: number(self._count)
        if verb in _NUMBER_VERBS:
            number, count = _number_modifier(modifier, place), _NUMBERS[verb]
            return lambda record: number(count(record))
        if verb == "d":
            write = _time_modifier(modifier, place)
            return lambda record: b"" if record.time is None else write(record.time)
        if verb == "h":
            return self._headers(modifier, place)
        raise UsageProblem(f"The format has %{verb} at character {place}, which is no verb.", hint=f"verbs: {' '.join(f'%{known}' for known in VERBS)}")

    def _headers(self, template: str | None, place: int) -> Piece:
        if template is None:
            show = self._show
            return lambda record: show(b",".join([_name(header) + b"=" + _value(header[1]) for header in record.message.headers]))
        pieces: list[HeaderPiece] = []
        for token in _tokens(template, place + 2):
            if isinstance(token, bytes):
                pieces.append(_constant_header(token))
            else:
                pieces.append(self._header_verb(*token))
        return lambda record: b"".join([piece(header) for header in record.message.headers for piece in pieces])

    def _header_verb(self, verb: str, modifier: str | None, place: int) -> HeaderPiece:
        if verb in ("k", "v"):
            encode = _text_modifier(modifier, place, self._show)
            return (lambda header: encode(_name(header))) if verb == "k" else (lambda header: encode(None if header[1] is None else _value(header[1])))
        if verb in ("K", "V"):
            number = _number_modifier(modifier, place)
            return (lambda header: number(len(_name(header)))) if verb == "K" else (lambda header: number(-1 if header[1] is None else len(_value(header[1]))))
        raise UsageProblem(f"The format has %{verb} at character {place}, inside %h{{…}}, where only %k %v %K %V are.", hint="for example: %h{%k=%v }")


Token = bytes | tuple[str, str | None, int]


def _tokens(text: str, offset: int) -> list[Token]:
    tokens: list[Token] = []
    literal = b""
    index = 0
    while index < len(text):
        character, place = text[index], offset + index + 1
        following = text[index + 1:index + 2]
        if character == "\\":
            constant, index = _escape(text, index, place)
            literal += constant
        elif character == "%" and following in ("%", "{", "}") and following:
            literal += following.encode()
            index += 2
        elif character == "%":
            if not following:
                raise UsageProblem(f"The format ends in a lone % at character {place}.", hint="%% prints a percent sign")
            modifier, index = _braces(text, index + 2, place)
            if literal:
                tokens.append(literal)
                literal = b""
            tokens.append((following, modifier, place))
        else:
            literal += character.encode(errors="surrogateescape")
            index += 1
    return [*tokens, literal] if literal else tokens


def _escape(text: str, index: int, place: int) -> tuple[bytes, int]:
    following = text[index + 1:index + 2]
    if following == "x" and re.fullmatch(r"[0-9A-Fa-f]{2}", text[index + 2:index + 4]):
        return bytes([int(text[index + 2:index + 4], 16)]), index + 4
    if following in _ESCAPES:
        return _ESCAPES[following], index + 2
    raise UsageProblem(f"The format has \\{following} at character {place}, which is no escape.", hint="escapes: \\n \\t \\r \\0 \\\\ \\xNN")


def _braces(text: str, index: int, place: int) -> tuple[str | None, int]:
    if text[index:index + 1] != "{":
        return None, index
    depth = 0
    for end in range(index, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[index + 1:end], end + 1
    raise UsageProblem(f"The format opens a brace after character {place} and never closes it.", hint="%{ prints a brace")


def _text_modifier(modifier: str | None, place: int, show: Callable[[bytes], bytes]) -> Callable[[bytes | None], bytes]:
    match modifier:
        case None:
            return lambda data: show(data or b"")
        case "hex":
            return lambda data: (data or b"").hex().encode()
        case "base64":
            return lambda data: b64encode(data or b"")
        case "base64raw":
            return lambda data: b64encode(data or b"").rstrip(b"=")
        case "json":
            return lambda data: show(orjson.dumps(text_or_base64(data)))
    raise UsageProblem(f"The format has {{{modifier}}} at character {place}, which is no way to write text.", hint="text: {hex} {base64} {base64raw} {json}")


def _number_modifier(modifier: str | None, place: int) -> Callable[[int | None], bytes]:
    if modifier in (None, "ascii", "number"):
        return lambda number: b"" if number is None else b"%d" % number
    if modifier == "hex":
        return lambda number: b"%x" % max(number or 0, 0)
    if modifier == "byte":
        modifier = "big8"
    if match := _BINARY.fullmatch(modifier or ""):
        size, order = int(match[2]) // 8, match[1]
        # sizes go before what they count: a null counts 0 bytes there
        return lambda number: (max(number or 0, 0) % (1 << size * 8)).to_bytes(size, "big" if order == "big" else "little")
    raise UsageProblem(f"The format has {{{modifier}}} at character {place}, which is no way to write a number.",
                       hint="numbers: {hex} {byte} {big64} {big32} {big16} {big8} {little64} {little32} {little16} {little8}")


def _time_modifier(modifier: str | None, place: int) -> Callable[[int], bytes]:
    if modifier is None:
        return lambda time: format_time(time).encode()
    for name, unit in (("s", NANOSECONDS), ("ms", 1_000_000), ("us", 1000), ("ns", 1)):
        if modifier == name:
            return lambda time: b"%d" % (time // unit)
    pattern = _delimited(modifier.removeprefix("strftime")) if modifier.startswith("strftime") else None
    if pattern is None:
        raise UsageProblem(f"The format has {{{modifier}}} at character {place}, which is no way to write a time.",
                           hint="times, in UTC: %d %d{s} %d{ms} %d{us} %d{ns} %d{strftime[%F %T]}")

    def write(time: int) -> bytes:
        try:
            moment = datetime.fromtimestamp(time // NANOSECONDS, UTC).replace(microsecond=time % NANOSECONDS // 1000)
            # the one that the C library reads in the time zone of the machine
            return moment.strftime(_SECONDS.sub(lambda found: found[1] + str(time // NANOSECONDS), pattern)).encode(errors="surrogateescape")
        except (ValueError, OverflowError, OSError):
            return format_time(time).encode()

    return write


def _delimited(text: str) -> str | None:
    opening = text[:1]
    run = len(text) - len(text.lstrip(opening)) if opening else 0
    closing = _CLOSING.get(opening, opening) * run
    return text[run:-run] if run and len(text) > 2 * run and text.endswith(closing) else None


def _topic(record: Record) -> bytes:
    place = record.place
    return next((_bytes(place[name]) for name in ("topic", "subject", "exchange", "queue", "stream") if place.get(name)), b"")


def _route(record: Record) -> bytes:
    return _bytes(record.place.get("routing_key") or record.place.get("subject"))


def _bytes(word: object) -> bytes:
    return b"" if word is None else str(word).encode(errors="surrogateescape")


def _number(record: Record, *names: str) -> int | None:
    return next((value for name in names if isinstance(value := record.place.get(name), int)), None)


_FIELDS: dict[str, Callable[[Record], bytes | None]] = {
    "t": _topic, "r": _route, "k": lambda record: record.message.key, "v": lambda record: record.message.body, "s": lambda record: record.message.body,
}
_NUMBERS: dict[str, Callable[[Record], int | None]] = {
    "p": lambda record: _number(record, "partition"), "o": lambda record: _number(record, "offset", "sequence"),
    "K": lambda record: _size(record.message.key), "V": lambda record: _size(record.message.body), "S": lambda record: _size(record.message.body),
    "H": lambda record: len(record.message.headers), "T": lambda record: None if record.time is None else record.time // 1_000_000,
}


def _size(data: bytes | None) -> int:
    return -1 if data is None else len(data)


def _name(header: Header) -> bytes:
    return header[0].encode(errors="surrogateescape")


def _value(value: HeaderValue) -> bytes:
    words = in_words(value)
    return b"NULL" if words is None else words


def _shown(data: bytes) -> bytes:
    return visible_bytes(data).encode()


def _untouched(data: bytes) -> bytes:
    return data


def _constant(data: bytes) -> Piece:
    return lambda record: data


def _constant_header(data: bytes) -> HeaderPiece:
    return lambda header: data
