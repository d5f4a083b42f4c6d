"""Whether a server can rewrite subjects as a stream says: JetStream has no other way to ask than to make the stream."""

from __future__ import annotations

import re

from brokercli.backends.nats.subjects import fault, has_wildcards
from brokercli.model.amount import amount

# of subject_transform.go, nats-server 2.15: each with its arguments; capitals may be written small
_FUNCTIONS = {"Wildcard": ("index",), "Partition": ("number",), "Split": ("index", "text"), "Random": ("number",),
              **dict.fromkeys(("SplitFromLeft", "SplitFromRight", "SliceFromLeft", "SliceFromRight", "Left", "Right"), ("index", "number"))}
_MEANT = {"index": "which * of src", "number": "a whole number", "text": "what to split at"}
_MORE = {"Partition": "index"}
"""Functions that go on with any number of such arguments."""
_FUNCTION = re.compile(r"\{\{\s*([A-Za-z]+)\s*\((.*)\)\s*\}\}")
_WHOLE = re.compile(r"[+-]?\d+")
_LARGEST = 2**31 - 1
_OLD_STYLE = re.compile(r"\$(\d+)")


def fault_of_transform(source: str, destination: str) -> str | None:
    """Return why subjects cannot be rewritten from `source` to `destination`, None where they can. Nothing to rewrite to is no rewriting."""
    if not destination:
        return None
    source = source or ">"
    if problem := fault(source):
        return f"its src {source!r} is no subject: {problem}"
    tokens, stars = destination.split("."), source.split(".").count("*")
    if "" in tokens or ">" in tokens[:-1]:
        return f"its dest {destination!r} is no subject"
    if "*" in tokens:
        return f"its dest {destination!r} has a *: what a * of src stood for is written {{{{wildcard(1)}}}} there"
    if (tokens[-1] == ">") != (source.split(".")[-1] == ">"):
        return f"> is the last token of src and of dest, or of neither, and not of one of {source!r} and {destination!r}"
    return next((problem for token in tokens if (problem := _fault_of_token(token, stars, source))), None)


def _fault_of_token(token: str, stars: int, source: str) -> str | None:
    if not (len(token) > 4 and token.startswith("{{") and token.endswith("}}")):
        old = _OLD_STYLE.fullmatch(token)
        if old is not None:
            return _fault_of_index(token, old[1], stars, source)
        return f"{token!r} in its dest holds a space" if any(character.isspace() for character in token) else None
    written = _FUNCTION.fullmatch(token)
    name = next((name for name in _FUNCTIONS if written is not None and _is_called(name, written[1])), None)
    if written is None or name is None:
        known = ", ".join(name[0].lower() + name[1:] for name in _FUNCTIONS)
        return f"{token} in its dest is none of the functions that a server knows: {known}"
    return _fault_of_arguments(token, name, re.split(r",\s*", written[2]), stars, source)


def _is_called(name: str, written: str) -> bool:
    return len(name) == len(written) and all(letter in (known, known.lower()) for known, letter in zip(name, written, strict=True))


def _fault_of_arguments(token: str, name: str, arguments: list[str], stars: int, source: str) -> str | None:
    takes = _FUNCTIONS[name]
    if name in _MORE:
        takes += (_MORE[name],) * (len(arguments) - len(takes))
    if len(arguments) != len(takes):
        return f"{token} in its dest wants {amount(len(takes), 'argument')} ({', '.join(_MEANT[one] for one in takes)}) and has {len(arguments)}"
    for kind, argument in zip(takes, arguments, strict=True):
        number = argument.strip(" ")
        if kind == "index" and (problem := _fault_of_index(token, number, stars, source)):
            return problem
        if kind == "number" and not (_WHOLE.fullmatch(number) and int(number) <= _LARGEST):
            return f"{token} in its dest wants a whole number up to {_LARGEST:,}, and {number!r} is none"
        if kind == "text" and " " in argument:
            return f"{token} in its dest cannot split at what holds a space"
    return None


def _fault_of_index(token: str, index: str, stars: int, source: str) -> str | None:
    if not _WHOLE.fullmatch(index):
        return f"{token} in its dest says no number of a * of src"
    return f"{token} in its dest is about a * that its src {source!r} has not" if int(index) > stars or not has_wildcards(source) else None
