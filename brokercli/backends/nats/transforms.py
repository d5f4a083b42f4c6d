"""Whether a server can rewrite subjects as a stream says: JetStream has no other way to ask than to make the stream."""

from __future__ import annotations

import re

from brokercli.backends.nats.subjects import fault

# of subject_transform.go, nats-server 2.15
_FUNCTIONS = ("wildcard", "partition", "split", "left", "right", "splitfromleft", "splitfromright", "slicefromleft", "slicefromright", "random")
_FUNCTION = re.compile(r"\{\{\s*([A-Za-z]+)\s*\((.*)\)\s*\}\}")
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
    name = written[1].lower() if written is not None else ""
    if written is None or name not in _FUNCTIONS:
        return f"{token} in its dest is none of the functions that a server knows: {', '.join(_FUNCTIONS)}"
    arguments = [argument.strip() for argument in written[2].split(",")]
    indexes = arguments[1:] if name == "partition" else [] if name == "random" else arguments[:1]
    return next((problem for index in indexes if (problem := _fault_of_index(token, index, stars, source))), None)


def _fault_of_index(token: str, index: str, stars: int, source: str) -> str | None:
    if not re.fullmatch(r"[+-]?\d+", index):
        return f"{token} in its dest says no number of a * of src"
    return f"{token} in its dest is about a * that its src {source!r} has not" if int(index) > stars else None
