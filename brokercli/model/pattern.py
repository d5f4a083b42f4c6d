"""Names as somebody asks for them: with * and ?."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Whether a name is like a pattern: * is any text, ? one character, and everything else itself: `orders[1]` is that name, and not `orders1`."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))
