"""What marks a stream as one of dead letters: the advisories it records, its name, its subjects, its messages' headers."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from brokercli.backends.nats.rewriting import stored_as
from brokercli.backends.nats.streams import Json
from brokercli.backends.nats.subjects import covers, overlap
from brokercli.model.pattern import matches

ADVISORIES = "$JS.EVENT.ADVISORY.CONSUMER"
"""Under it JetStream says once, to whoever listens, that a message will not be delivered any more (docs.nats.io, "Monitoring
JetStream"; subjects seen on 2.15.1)."""
DEATHS = (f"{ADVISORIES}.MAX_DELIVERIES.>", f"{ADVISORIES}.MSG_TERMINATED.>")
"""MSG_NAKED is not among them: a message that was refused once may still be worked on."""

# of a whole name or subject token; dead* as well
_WORD = re.compile(r"(?i)^(?:.*[._-])?(?:dlq|dlt|dead[._-]?letters?)(?:[._-].*)?$|^dead(?:[._-].*|letters?.*)?$|.*(?-i:DLQ|Dlq)$")
_HEADERS = frozenset({"nats-failure-description", "x-nats-dlq-reason", "x-error-message", "x-failure-reason", "x-death"})
_HEADER_PREFIXES = ("nats-original-", "x-nats-original-", "x-original-", "x-exception-", "x-dead-letter-", "x-dlq-", "dlq-", "dlq.", "dlq_")
_SUFFIX = re.compile(r"(?i)^(.+?)[._-](?:dlq|dlt|dead[._-]?letters?)$")
_PREFIX = re.compile(r"(?i)^(?:dlq|dlt|dead[._-]?letters?)[._-](.+)$")


@dataclass(frozen=True, slots=True)
class Marks:
    """Why a stream holds dead letters, and which of its messages are some."""

    why: str
    advisories: bool = False
    """Whether its letters only point at the messages that died."""
    subjects: tuple[str, ...] = ()
    """Only messages on these are letters; empty: all of them."""

    def holds(self, subject: str) -> bool:
        """Whether a message on that subject is a letter."""
        return not self.subjects or any(covers(pattern, subject) for pattern in self.subjects)


def marks_of(config: Json, patterns: Sequence[str] = ()) -> Marks | None:
    """Return what a stream's configuration says; None where it says nothing, and where it rewrites the subjects that say so to what cannot be
    told. `patterns` are names with * and ?."""
    subjects = [str(subject) for subject in config.get("subjects") or []]
    deaths = tuple(death for death in DEATHS if any(overlap(subject, death) for subject in subjects))
    if deaths:
        whole = all(any(covers(death, subject) for death in DEATHS) for subject in subjects)
        return Marks("records JetStream's advisories", advisories=True, subjects=() if whole else deaths)
    name = str(config["name"])
    for pattern in patterns:
        if matches(name, pattern):
            return Marks(f"name matches {pattern}")
    if _WORD.match(name):
        return Marks("name is that of dead letters")
    speaking = _speaking(subjects, patterns)
    if not speaking:
        return None
    why = _why(speaking)
    if len(speaking) == len(subjects):
        return Marks(why)
    if rewritten_letters(config, patterns) is not None:
        return None
    # what came before a subject was rewritten is there under that one
    wanted = list(dict.fromkeys([*speaking, *(stored for subject in speaking if (stored := stored_as(config, subject)) is not None)]))
    narrow = tuple(one for one in wanted if not any(covers(other, one) for other in wanted if other != one))
    return Marks(why, subjects=narrow)


def marks_among(subjects: Collection[str], patterns: Sequence[str] = ()) -> Marks | None:
    """Return what the subjects say that a stream holds messages of, where its configuration says nothing; None where they say nothing either.
    Each is found again by its shape: what stands before the word that speaks may be several, what follows it anything."""
    speaking = _speaking(sorted(subjects), patterns)
    shapes: dict[tuple[int, str, bool], list[list[str]]] = {}
    narrow: list[str] = []
    for subject in speaking:
        tokens = subject.split(".")
        place = next((index for index, token in enumerate(tokens) if _WORD.match(token)), None)
        if place is None:
            narrow.append(subject)
        else:
            shapes.setdefault((place, tokens[place], len(tokens) > place + 1), []).append(tokens[:place + 1])
    for (_, _, longer), prefixes in shapes.items():
        tokens = [token if len({prefix[index] for prefix in prefixes}) == 1 else "*" for index, token in enumerate(prefixes[0])]
        narrow.append(".".join([*tokens, ">"] if longer else tokens))
    return Marks(_why(speaking), subjects=tuple(narrow)) if speaking else None


def _why(speaking: Sequence[str]) -> str:
    return f"subject {speaking[0]}" + (f" and {len(speaking) - 1} more" if len(speaking) > 1 else "")


def rewritten_letters(config: Json, patterns: Sequence[str] = ()) -> str | None:
    """Return a subject that says it is of dead letters and whose messages a stream stores under others that cannot be told; None where
    there is none. `patterns` as for `marks_of`."""
    subjects = [str(subject) for subject in config.get("subjects") or []]
    return next((subject for subject in _speaking(subjects, patterns) if stored_as(config, subject) is None), None)


def _speaking(subjects: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the subjects that say they are of dead letters."""
    return tuple(subject for subject in subjects if any(matches(subject, pattern) for pattern in patterns)
                 or any(_WORD.match(token) for token in subject.split(".")))


def recorded_streams(config: Json) -> tuple[str, ...] | None:
    """Return the streams whose deaths a stream records; None where it records every stream's."""
    names: list[str] = []
    for subject in config.get("subjects") or []:
        if any(overlap(subject, death) for death in DEATHS):
            tokens = subject.split(".")
            if len(tokens) <= 5 or tokens[5] in ("*", ">"):
                return None
            names.append(tokens[5])
    return tuple(dict.fromkeys(names))


def look_like_letters(samples: Sequence[Collection[str]]) -> bool:
    """Whether more than half of some messages carry a header that speaks of a death."""
    signs = [any(name.lower() in _HEADERS or name.lower().startswith(_HEADER_PREFIXES) for name in names) for names in samples]
    return 2 * sum(signs) > len(signs)


def fed_by(name: str, exists: Collection[str]) -> str | None:
    """Return the stream whose letters these are, where the name says so and there is such a stream."""
    found = [match[1] for match in (_SUFFIX.match(name), _PREFIX.match(name)) if match]
    return next((candidate for candidate in found if candidate in exists), None)
