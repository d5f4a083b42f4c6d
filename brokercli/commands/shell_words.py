"""A command line as a shell has it: split into words, and candidates spelled so that the shell reads them as text."""

from __future__ import annotations

import re

_NEEDS_ESCAPE = re.compile(r"""[\s"'\\$`!&|;<>(){}\[\]*?#~^]""")
_NEEDS_ESCAPE_IN_QUOTES = re.compile(r"""["\\$`]""")

Candidate = tuple[str, str]
"""A word, and what it is."""


def split_line(line: str, shell: str = "bash") -> tuple[list[str], str, str]:
    """Split a command line up to the cursor into whole words and the one being typed, the quotes of a shell removed, and
    the quote that is open at the end. PowerShell escapes with a backtick, and a quote inside its like by writing it twice."""
    escape, doubled = ("`", True) if shell == "powershell" else ("\\", False)
    words: list[str] = []
    word, quote, begun, escaped = "", "", False, False
    for place, character in enumerate(line):
        if escaped:
            word, escaped = word + character, False
        elif character == escape and quote != "'":
            begun = escaped = True
        elif quote:
            if character == quote:
                if doubled and line[place + 1:place + 2] == quote:
                    escaped = True
                else:
                    quote = ""
            else:
                word += character
        elif character in "'\"":
            quote, begun = character, True
        elif character.isspace():
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + character, True
    return words, word, quote


def spell(found: list[Candidate], files: bool, shell: str, incomplete: str, replaced: str, quote: str) -> str:
    """Return the answer as the shell's script reads it."""
    if files and not found:
        return "files\n"
    words = dict.fromkeys(found)
    if shell == "bash":
        # bash breaks words at : and = and at a quote that is open, replaces only what is behind, and takes what it gets as it would be typed
        behind = split_line(quote + replaced)[1]
        kept = len(incomplete) - len(behind) if incomplete.endswith(behind) else 0
        return "words\n" + "".join(f"{typed}\t{what}\n" for word, what in words if (typed := _typed(word[kept:], quote)) is not None)
    return "words\n" + "".join(f"{word}\t{what}\n" if what else f"{word}\n" for word, what in words)


def _typed(word: str, quote: str) -> str | None:
    """Spell a word so that bash reads it as nothing but text, inside the quote that is open."""
    if quote == "'":
        return None if "'" in word else word
    if quote and "!" in word:  # an interactive bash looks for history there, and nothing can be written against it
        return None
    return (_NEEDS_ESCAPE_IN_QUOTES if quote else _NEEDS_ESCAPE).sub(r"\\\g<0>", word)
