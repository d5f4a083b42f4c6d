"""How wide text is on a terminal: wide characters take two columns, combining marks none."""

from __future__ import annotations

import re

NARROWEST = 14
"""A column of text is not folded to less than this."""
_LEAST_PROSE = 20
_FIRST_COLUMN = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")


def width_of(text: str) -> int:
    """Return how many columns `text` takes."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def shortened(text: str, width: int) -> str:
    """Cut `text` to `width` columns, with `…` where something is missing."""
    if width_of(text) <= width:
        return text
    return f"{_head(text, width - 1)}…" if width > 0 else ""


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Fill `text` up to `width` columns, on its left where `right` aligns it."""
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def folded(text: str, width: int) -> list[str]:
    """Break `text` into lines of at most `width` columns: after a space where there is one, after a joint of a name (`.`, `/`,
    `-`) or inside a word where not."""
    lines: list[str] = []
    begin, ascii_only = 0, text.isascii()
    while (end := begin + width if ascii_only else _end(text, begin, width)) < len(text):
        end = max(end, begin + 1)
        head = text[begin:end]
        if text[end:end + 1] != " ":
            # a line that breaks in its first third says less than one that breaks a long word
            space, joint = head.rfind(" "), max(map(head.rfind, "./-_:,"))
            head = head[:space + 1] if space > width // 3 else head[:joint + 1] if joint > width // 2 else head
        lines.append(head.rstrip(" "))
        begin += len(head)
        while text.startswith(" ", begin):
            begin += 1
    return [*lines, text[begin:]]


def folded_words(text: str, width: int, following: int) -> list[str]:
    """Break prose into lines of at most `width` columns (`following`: all but the first) between words only: a path or an
    address that is longer stays whole, to be copied."""
    if width_of(text) <= width:
        return [text]
    margin = text[:len(text) - len(text.lstrip(" "))]
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else f"{margin}{word}" if not lines else word
        if line and width_of(longer) > (following if lines else width):
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def hanging(text: str, width: int) -> list[str]:
    """Break one line into lines of at most `width` columns between words; what hangs over begins where the line's second column
    does (two spaces begin it), or its text where that is too far to the right."""
    margin = len(text) - len(text.lstrip(" "))
    column = _FIRST_COLUMN.match(text)
    start = column.end() if column and width - column.end() >= _LEAST_PROSE else margin
    room = max(width - start, NARROWEST)
    first, *others = folded_words(text[start:], room, room)
    return [text[:start] + first, *(" " * start + other for other in others)]


def _head(text: str, width: int) -> str:
    return text[:width] if text.isascii() else text[:_end(text, 0, width)]


def _end(text: str, begin: int, width: int) -> int:
    """Return up to where a line of at most `width` columns goes that begins there."""
    used = 0
    for index in range(begin, len(text)):
        used += _cell(text[index])
        if used > width:
            return index
    return len(text)


def _cell(character: str) -> int:
    if character.isascii():
        return 1
    import unicodedata

    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
