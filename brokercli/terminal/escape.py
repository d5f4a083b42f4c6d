"""Makes what could steer a terminal visible. Bodies, keys, headers, names and brokers' error texts pass through here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

# C0, DEL and C1; lone surrogates; what reorders text (bidi), hides in it (zero width, fillers, tags, soft hyphen) or ends its line
_STEERING = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_LOWEST = "\x00-\x1f"
_BUT_LINE_FEED_AND_TAB = "\x00-\x08\x0b-\x1f"
_ASCII_CLEAN = re.compile(rb"[\x20-\x7e]*")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


@cache
def _steering(lowest: str = _LOWEST) -> re.Pattern[str]:
    """Return what finds them; of those below the space only what is said. Compiled when it is needed: text is mostly clean."""
    return re.compile(f"[{_STEERING}]".replace(_LOWEST, lowest))


def visible(text: str, *, newlines: bool = False) -> str:
    """Return `text` with every character that steers a terminal, reorders or hides text written as an escape.

    `newlines` leaves line feeds and tabs as they are. A byte that is not UTF-8, carried as a lone surrogate
    (surrogateescape), becomes `\\xNN`; a control character `\\x1b`, another character `\\u202e` or `\\U000e0041`.
    """
    if text.isascii() and text.isprintable():
        return text
    return _steering(_BUT_LINE_FEED_AND_TAB if newlines else _LOWEST).sub(_escape, text)


def visible_bytes(data: bytes, *, newlines: bool = False) -> str:
    """The same for bytes: UTF-8 is shown as text, every byte that is not as `\\xNN`."""
    if _ASCII_CLEAN.fullmatch(data):
        return data.decode("ascii")
    return visible(data.decode(errors="surrogateescape"), newlines=newlines)


def visible_json(line: bytes) -> bytes:
    """Return a line of JSON that says the same, with the characters JSON lets through raw written `\\u009b`."""
    if line.isascii() and b"\x7f" not in line:
        return line
    return _steering("").sub(_escape_json, line.decode(errors="surrogateescape")).encode()


def json_of(value: object, option: int | None = None) -> bytes:
    """Write a value as JSON, times and the like as text. Bytes that are not UTF-8 (lone surrogates, as in a file's name) have no place in it and
    become what they are in words, `\\xff`."""
    import orjson

    try:
        return orjson.dumps(value, default=str, option=option)
    except TypeError:
        return orjson.dumps(_in_words(value), default=str, option=option)


def _in_words(value: object) -> object:
    match value:
        case str():
            return _SURROGATES.sub(_escape, value)
        case Mapping():
            return {_in_words(name): _in_words(held) for name, held in value.items()}
        case list() | tuple():
            return [_in_words(held) for held in value]
    return value


def visible_toml(text: str) -> str:
    """The same for TOML, where such a character can only stand within quotes."""
    return text if text.isascii() and "\x7f" not in text else _steering("").sub(_escape_toml, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_toml(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
