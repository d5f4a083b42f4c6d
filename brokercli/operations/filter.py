"""Which records to keep: --grep, --header, --where, compiled into one filter."""

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
from brokercli.backends.envelope_values import in_words
from brokercli.model.amount import amount
from brokercli.model.errors import Failed, UsageProblem
from brokercli.model.message import Record

if TYPE_CHECKING:
    from brokercli.operations.expression import Expression

# seconds a regular expression may take on one batch: the user owns the pattern, but strangers own the bodies
REGEX_SECONDS = 10.0
_REGEX = re.compile(r"/(.+)/(i?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the records that pass every condition given, in their order.

    `texts` and `patterns` look at bodies, as bytes and as text; `headers` are names, with the value one of the headers of
    that name has to have.
    """

    texts: tuple[bytes, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    headers: tuple[tuple[str, bytes | None], ...] = ()
    where: Expression | None = None

    @classmethod
    def compile(cls, *, grep: Sequence[str] = (), headers: Sequence[str] = (), where: str | None = None) -> Self:
        """Read the options as they were typed.

        `grep`: a text as it stands, or `/regex/` (`/regex/i` ignores case). `headers`: NAME or NAME=VALUE. Raises UsageProblem,
        before anything is read, for what cannot be compiled, Failed where `where` needs a library that is not installed.
        """
        expression = None
        if where is not None:
            if not where.strip():
                raise UsageProblem("--where needs an expression; an empty one would let everything through.", hint="brokercli help filters")
            from brokercli.operations.expression import Expression

            expression = Expression(where)
        found = [(text, _REGEX.fullmatch(text)) for text in grep]
        return cls(
            texts=tuple(_literal(text) for text, pattern in found if pattern is None),
            patterns=tuple(_compiled(pattern) for _, pattern in found if pattern is not None),
            headers=tuple(_header(text) for text in headers), where=expression)

    def indices(self, batch: Batch) -> Sequence[int]:
        """Return which records of a batch pass, in order.

        Bodies are looked at first, then objects, then envelopes, each only for what is left. Raises Failed where a regular
        expression does not come to an end (`REGEX_SECONDS`).
        """
        kept: Sequence[int] = range(len(batch))
        if self.texts or self.patterns:
            kept = self._search(batch.bodies())
        if kept and self.headers:
            kept = [index for index, record in zip(kept, left(batch, kept).records(), strict=True) if self._passes(record)]
        if kept and self.where is not None:
            matches = self.where.matches
            kept = [index for index, envelope in zip(kept, left(batch, kept).envelopes(), strict=True) if matches(envelope)]
        return kept

    @property
    def bodies_only(self) -> bool:
        """Whether nothing but bodies is looked at."""
        return not self.headers and self.where is None

    @property
    def note(self) -> str:
        """What the user should be told at the end: that `where` could not be evaluated for some records, and why."""
        if self.where is None or not self.where.problem:
            return ""
        unevaluated = amount(self.where.unevaluated, "record, which counts", "records, which count")
        return f"--where could not be evaluated for {unevaluated} as not matching: {self.where.problem}"

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
        headers = record.message.headers
        return all(any(name == wanted and (value is None or in_words(found) == value) for name, found in headers) for wanted, value in self.headers)


def left(batch: Batch, kept: Sequence[int]) -> Batch:
    """Return what `indices` left of a batch; the same one where that is all."""
    return batch if len(kept) == len(batch) else batch.select(kept)


def _literal(text: str) -> bytes:
    if not text:
        raise UsageProblem("--grep needs a text to look for.")
    return text.encode(errors="surrogateescape")


def _compiled(written: re.Match[str]) -> re.Pattern[str]:
    try:
        return re.compile(written[1], re.IGNORECASE if written[2] else 0)
    except (re.error, OverflowError, RecursionError) as problem:
        raise UsageProblem(f"--grep {written[0]} is no regular expression: {problem}.", hint="without slashes the text is looked for as it stands") from None


def _header(text: str) -> tuple[str, bytes | None]:
    name, separator, value = text.partition("=")
    if not name:
        raise UsageProblem(f"--header {text!r} names no header.", hint="--header NAME or --header NAME=VALUE")
    return name, value.encode(errors="surrogateescape") if separator else None


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
