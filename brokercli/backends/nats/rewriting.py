"""Streams that store messages under other subjects than they were published on (`subject_transform`): which ones those are.

Rules: docs.nats.io, "Subject Mapping and Partitioning"; what they leave open was seen on nats-server 2.15.1. A subject that the source of a
transform does not match is stored as it is. `$1` and `{{wildcard(1)}}` stand for what the first star of the source matches where they are a
whole token, and are taken literally inside one; `$0` and `$-1` stand for the first token. Without a source everything is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from brokercli.backends.nats.streams import Json
from brokercli.backends.nats.subjects import covers, overlap

EVERYTHING = ">"
_WILDCARD = re.compile(r"\$0*([1-9][0-9]*)|\{\{\s*[wW]ildcard\s*\(\s*([1-9][0-9]*)\s*\)\s*\}\}")
_FUNCTION = re.compile(r"\{\{.*\}\}|\$[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Rewriting:
    """One transform."""

    source: str
    destination: str

    def __str__(self) -> str:
        return f"{self.source} becomes {self.destination}"

    def stored_as(self, subject: str) -> str | None:
        """Return the subject, or the pattern, under which the messages on `subject` (wildcards work) are stored, and no others that are
        rewritten; the same where they are not rewritten. None where that cannot be told: where only a part of them is rewritten, and
        where the transform is more than other tokens around or between the same ones."""
        if not overlap(self.source, subject):
            return subject
        source, given, parts = self.source.split("."), subject.split("."), self._parts()
        stars = [index for index, token in enumerate(source) if token == "*"]
        # where each star is there once, different subjects stay different
        same_tokens = None not in parts and sorted(part for part in parts if isinstance(part, int)) == list(range(1, len(stars) + 1))
        if not same_tokens or not covers(self.source, subject):
            return None
        tokens: list[str] = []
        for part in parts:
            if isinstance(part, int):
                tokens.append(given[stars[part - 1]])
            elif part == ">":
                tokens += given[len(source) - 1:]
            else:
                tokens.append(str(part))
        return ".".join(tokens)

    @property
    def exact(self) -> bool:
        """Whether `pattern` is no wider than it must be."""
        return None not in self._parts()

    @property
    def pattern(self) -> str:
        """Return a pattern that matches everything that is rewritten, as it is stored."""
        tokens: list[str] = []
        for part in self._parts():
            if part is None:
                return ".".join([*tokens, EVERYTHING])
            tokens.append("*" if isinstance(part, int) else part)
        return ".".join(tokens)

    def _parts(self) -> list[int | str | None]:
        """Return the tokens of the destination: numbers of stars, words, and None for functions whose result we do not work out."""
        found: list[int | str | None] = []
        for token in self.destination.split("."):
            wildcard = _WILDCARD.fullmatch(token)
            if wildcard is not None:
                found.append(int(wildcard[1] or wildcard[2]))
            else:
                found.append(None if _FUNCTION.fullmatch(token) else token)
        return found


def rewriting_of(config: Json) -> Rewriting | None:
    """Return what a stream does to the subjects it captures; None where it stores them as they are."""
    return _rewriting(config.get("subject_transform"))


def brought_in(config: Json) -> Iterator[tuple[str, bool]]:
    """Yield patterns that match everything a stream holds without capturing it: what it rewrites, and what it takes from other streams; with
    each, whether such messages certainly come under all of its subjects."""
    origins = [origin for origin in (config.get("mirror"), *(config.get("sources") or ())) if origin]
    transforms = [config.get("subject_transform"), *(one for origin in origins for one in origin.get("subject_transforms") or ())]
    for rewriting in filter(None, map(_rewriting, transforms)):
        yield rewriting.pattern, rewriting.exact
    for origin in origins:
        if not origin.get("subject_transforms"):
            chosen = origin.get("filter_subject")
            yield str(chosen or EVERYTHING), bool(chosen)


def _rewriting(transform: Json | None) -> Rewriting | None:
    if not transform or not transform.get("dest"):
        return None
    return Rewriting(str(transform.get("src") or EVERYTHING), str(transform["dest"]))


def stored_as(config: Json, subject: str) -> str | None:
    """Return the subject or pattern to filter a stream by for what is published on a subject; None where that cannot be told."""
    rewriting = rewriting_of(config)
    if rewriting is None:
        return subject
    captured = [str(one) for one in config.get("subjects") or ()]
    if captured and not config.get("sources") and all(covers(subject, one) for one in captured):
        return EVERYTHING
    return rewriting.stored_as(subject)
