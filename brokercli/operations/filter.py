"""Which records to keep: --grep, --header, --where, --since, --until-time, compiled into one filter."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Self

from brokercli.backends.contract import Batch
from brokercli.model.errors import Failed, UsageProblem
from brokercli.model.message import HeaderValue, Record, Typed
from brokercli.model.position import Moment, parse_position

if TYPE_CHECKING:
    from brokercli.operations.expression import Expression

# seconds a regular expression may take on one batch: the user owns the pattern, but strangers own the bodies
REGEX_SECONDS = 10.0
_REGEX = re.compile(r"/(.+)/(i?)", re.DOTALL)
_DURATION = re.compile(r"(\d+(\.\d+)?(ms|[smhdw]))+")


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the records that pass every condition given, in their order.

    `texts` and `patterns` look at bodies, as bytes and as text; `headers` are names, with the value one of the headers of
    that name has to have; `since` (included) and `until` (not included) are nanoseconds since 1970, and a record without a
    time passes neither.
    """

    texts: tuple[bytes, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    headers: tuple[tuple[str, bytes | None], ...] = ()
    since: int | None = None
    until: int | None = None
    where: Expression | None = None

    @classmethod
    def compile(cls, *, grep: Sequence[str] = (), regex: bool = False, headers: Sequence[str] = (), where: str | None = None,
                since: str | None = None, until: str | None = None, now: int | None = None) -> Self:
        """Read the options as they were typed.

        `grep`: a text as it stands, or `/regex/` (`/regex/i` ignores case); with `regex` all are regular expressions.
        `headers`: NAME or NAME=VALUE. `since`, `until`: a time, or a duration before `now` (`1h`). Raises UsageProblem,
        before anything is read, for what cannot be compiled, Failed where `where` needs a library that is not installed.
        """
        expression = None
        if where is not None:
            from brokercli.operations.expression import Expression

            expression = Expression(where)
        found = [(text, *_regex(text, regex)) for text in grep]
        return cls(
            texts=tuple(_literal(text) for text, source, _ in found if source is None),
            patterns=tuple(_compiled(text, source, flags) for text, source, flags in found if source is not None),
            headers=tuple(_header(text) for text in headers), since=_moment("--since", since, now), until=_moment("--until-time", until, now), where=expression)

    def apply(self, batch: Batch) -> Batch:
        """Return the batch of the records that pass; the same one where all do. Raises as `indices`."""
        return _left(batch, self.indices(batch))

    def indices(self, batch: Batch) -> Sequence[int]:
        """Return which records of a batch pass, in order.

        Bodies are looked at first, then objects, then envelopes, each only for what is left. Raises Failed where a regular
        expression does not come to an end (`REGEX_SECONDS`).
        """
        kept: Sequence[int] = range(len(batch))
        if self.texts or self.patterns:
            kept = self._search(batch.bodies())
        if kept and (self.headers or self.since is not None or self.until is not None):
            left = _left(batch, kept)
            kept = [index for index, record in zip(kept, left.records(), strict=True) if self._passes(record)]
        if kept and self.where is not None:
            matches = self.where.matches
            kept = [index for index, envelope in zip(kept, _left(batch, kept).envelopes(), strict=True) if matches(envelope)]
        return kept

    @property
    def note(self) -> str:
        """What the user should be told at the end: that `where` could not be evaluated for some records, and why."""
        if self.where is None or not self.where.problem:
            return ""
        return f"--where could not be evaluated for {self.where.unevaluated:,} records, which count as not matching: {self.where.problem}"

    def _search(self, bodies: list[bytes]) -> list[int]:
        kept = list(range(len(bodies)))
        for text in self.texts:
            kept = [index for index in kept if text in bodies[index]]
        if self.patterns:
            with _bounded_time():
                for pattern in self.patterns:
                    search = pattern.search
                    kept = [index for index in kept if search(bodies[index].decode(errors="surrogateescape"))]
        return kept

    def _passes(self, record: Record) -> bool:
        if self.since is not None and (record.time is None or record.time < self.since):
            return False
        if self.until is not None and (record.time is None or record.time >= self.until):
            return False
        headers = record.message.headers
        return all(any(name == wanted and (value is None or _text(found) == value) for name, found in headers) for wanted, value in self.headers)


def _left(batch: Batch, kept: Sequence[int]) -> Batch:
    return batch if len(kept) == len(batch) else batch.select(kept)


def _regex(text: str, regex: bool) -> tuple[str | None, int]:
    if regex:
        return text, 0
    match = _REGEX.fullmatch(text)
    return (None, 0) if match is None else (match[1], re.IGNORECASE if match[2] else 0)


def _literal(text: str) -> bytes:
    if not text:
        raise UsageProblem("--grep needs a text to look for.")
    return text.encode(errors="surrogateescape")


def _compiled(text: str, source: str, flags: int) -> re.Pattern[str]:
    try:
        return re.compile(source, flags)
    except (re.error, OverflowError, RecursionError) as problem:
        raise UsageProblem(f"--grep {text} is no regular expression: {problem}.", hint="without slashes the text is looked for as it stands") from None


def _header(text: str) -> tuple[str, bytes | None]:
    name, separator, value = text.partition("=")
    if not name:
        raise UsageProblem(f"--header {text!r} names no header.", hint="--header NAME or --header NAME=VALUE")
    return name, value.encode(errors="surrogateescape") if separator else None


def _text(value: HeaderValue) -> bytes | None:
    match value:
        case None | bytes():
            return value
        case bool():
            return b"true" if value else b"false"
        case Typed(_, bytes() as inner):
            return inner
        case Typed(_, inner):
            return str(inner).encode()
    return str(value).encode()


def _moment(option: str, text: str | None, now: int | None) -> int | None:
    if text is None:
        return None
    spelled = text.removeprefix("@")
    position = parse_position(f"@-{spelled}" if _DURATION.fullmatch(spelled) else f"@{spelled}", now=now)
    if not isinstance(position, Moment):
        raise UsageProblem(f"{option} {text} is no time.")
    return position.nanoseconds


@contextmanager
def _bounded_time() -> Iterator[None]:
    # `re` looks for signals while it backtracks, so an alarm ends a search that would take years; only the main thread
    # can set one, and operations are called there
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, REGEX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise Failed(f"The regular expression of --grep did not come to an end on one of the bodies within {REGEX_SECONDS:g} s.",
                 hint="repeats inside repeats, like (a+)+, do that; --where 'body.matches(\"…\")' always comes to an end")
