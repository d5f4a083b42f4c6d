"""The grammar of subjects and stream names. Rules: docs.nats.io, "Subject-Based Messaging", and nats-server 2.15."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import takewhile

from brokercli.model.errors import UsageProblem

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
_FORBIDDEN_IN_STREAM = re.compile(r"[\x00-\x20\x7f.*>/\\]")
# the server's limit for one protocol line is 4 KiB, and the reply subject needs its part
LONGEST = 3000


def check_subject(subject: str) -> None:
    """Raise UsageProblem for what no subject can be. Wildcards are let through."""
    problem = fault(subject)
    if problem:
        raise UsageProblem(f"{subject[:200]!r} is no NATS subject: {problem}.", hint="a subject is tokens with dots between them: orders.created")


@lru_cache(maxsize=1024)
def fault(subject: str) -> str | None:
    """Return why a text is no subject, None where it is one."""
    if not subject:
        return "it is empty"
    if _FORBIDDEN.search(subject):
        return "it holds a space or a control character"
    tokens = subject.split(".")
    if "" in tokens:
        return "it has an empty token (a dot too many)"
    if ">" in tokens[:-1]:
        return "> may only be its last token"
    if len(subject.encode(errors="surrogateescape")) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return None


def check_stream_name(name: str) -> None:
    """Raise UsageProblem for what no stream can be called."""
    if not name or len(name) > 255 or _FORBIDDEN_IN_STREAM.search(name):
        raise UsageProblem(f"{name[:200]!r} is no stream name: dots, spaces, wildcards and slashes cannot be in one.",
                           hint=f"a subject is written subject:{name[:200]}")


def has_wildcards(subject: str) -> bool:
    """Whether a subject stands for many; a star inside a token does not."""
    tokens = subject.split(".")
    return "*" in tokens or tokens[-1] == ">"


@lru_cache(maxsize=4096)
def covers(pattern: str, subject: str) -> bool:
    """Whether everything that `subject` stands for matches `pattern`."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">" and index == len(wanted) - 1:
            return len(given) > index
        if index >= len(given) or given[index] == ">":
            return False
        if token != "*" and token != given[index]:
            return False
    return len(wanted) == len(given)


def overlap(first: str, second: str) -> bool:
    """Whether some subject matches both patterns."""
    one, other = first.split("."), second.split(".")
    for left, right in zip(one, other, strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return len(one) == len(other)


def overlaps(subjects: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the places of two patterns that overlap, the earlier one first; a pair may come twice.

    Of two that do, the tokens before the first wildcard of one are where the other begins: so those are found without comparing all with all.
    """
    beginnings = [tuple(takewhile(lambda token: token not in ("*", ">"), subject.split("."))) for subject in subjects]
    beginning_so: dict[tuple[str, ...], list[int]] = {}
    for place, beginning in enumerate(beginnings):
        beginning_so.setdefault(beginning, []).append(place)
    for place, beginning in enumerate(beginnings):
        for length in range(len(beginning) + 1):
            for other in beginning_so.get(beginning[:length], ()):
                if other != place and overlap(subjects[place], subjects[other]):
                    yield min(place, other), max(place, other)
