"""How far consumers are, once or again and again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from threading import Timer

from brokercli.backends.consumers import Consumers
from brokercli.model.consumption import Lag
from brokercli.model.errors import NotAuthorised, NotFound, Unreachable

PATIENCE = 2.0
"""Seconds an answer may take before a watch says that none comes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One consumer at one moment."""

    name: str
    time: int
    """Nanoseconds since 1970."""
    lags: tuple[Lag, ...]

    @property
    def lag(self) -> int | None:
        """How many messages it has not finished, of all sources and partitions that say; None: none says."""
        return _sum([lag.lag for lag in self.lags])

    @property
    def in_hand(self) -> int | None:
        """How many of these were delivered and are not acknowledged."""
        return _sum([lag.in_hand for lag in self.lags])

    @property
    def unknown(self) -> list[Lag]:
        """Sources and partitions where something may wait and nobody can tell how much, or not whole."""
        return [lag for lag in self.lags if lag.is_untold]


@dataclass(frozen=True, slots=True)
class Tick:
    """All consumers at one moment, and what went wrong then."""

    measured: list[Measured] = field(default_factory=list)
    problem: Unreachable | None = None
    """The broker was away: nothing was measured."""
    gone: list[str] = field(default_factory=list)
    """Consumers named in full that are not there any more."""
    unseen: list[str] = field(default_factory=list)
    """Why there may be more consumers of a pattern than could be seen."""


def is_pattern(name: str) -> bool:
    """Whether a name stands for several."""
    return "*" in name or "?" in name


def select(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match a pattern. Only * and ? are special in one, so a pattern that is a whole name matches that name, whatever
    other characters it has."""
    ways = [re.compile("".join(".*" if part == "*" else "." if part == "?" else re.escape(part) for part in pattern), re.DOTALL) for pattern in patterns]
    return [name for name in names if any(way.fullmatch(name) for way in ways)]


def measure(consumers: Consumers, patterns: Sequence[str]) -> Tick:
    """Ask how far the consumers are that `patterns` (or full names) name; those by full name that are not there are `gone`."""
    names: dict[str, bool] = {}
    known: list[str] | None = None
    tick = Tick()
    for pattern in patterns:
        if is_pattern(pattern):
            if known is None:
                known = consumers.names()
                tick.unseen.extend(consumers.notes)
            selected = select(known, [pattern])
            if not selected and (why := consumers.not_shown()) and why not in tick.unseen:
                tick.unseen.append(why)
            for name in selected:
                names.setdefault(name, False)
        else:
            names[pattern] = True
    for name, said in names.items():
        try:
            lags = tuple(consumers.lag(name))
            tick.measured.append(Measured(name, time.time_ns(), lags))
        except NotFound:
            if said:
                tick.gone.append(name)
        except NotAuthorised as problem:
            if said:
                raise
            # of a pattern, one that may not be asked about hides no other
            tick.unseen.append(f"{name}: {problem}")
    return tick


class Watch:
    """An endless iteration over ticks, `interval` seconds apart.

    `open_` opens the broker, and opens it anew each time it was away; `patterns` are as somebody types them. A broker that is away at the
    first tick is raised; later that is part of the tick. `wait` sleeps, and may raise to end it. `on_silence` is called, on another thread,
    where an answer takes longer than PATIENCE seconds: clients wait for a broker to come back in their own ways, and it is told before they
    give up.
    """

    def __init__(self, open_: Callable[[], AbstractContextManager[Consumers]], patterns: Sequence[str], interval: float, wait: Callable[[float], None],
                 on_silence: Callable[[], None] = lambda: None) -> None:
        self._open = open_
        self._patterns = patterns
        self._interval = interval
        self._wait = wait
        self._on_silence = on_silence

    def __iter__(self) -> Iterator[Tick]:
        first = True
        due = time.monotonic()
        while True:
            with ExitStack() as opened:
                consumers: Consumers | None = None
                while True:
                    silence = Timer(PATIENCE, self._on_silence)
                    silence.daemon = True
                    silence.start()
                    try:
                        consumers = consumers or opened.enter_context(self._open())
                        tick = measure(consumers, [consumers.name_of(pattern) for pattern in self._patterns])
                    except Unreachable as problem:
                        if first:
                            raise
                        tick = Tick(problem=problem)
                    finally:
                        silence.cancel()
                    yield tick
                    first = False
                    # a tick that took longer than the interval is not made up for
                    due = max(due + self._interval, time.monotonic())
                    self._wait(max(0.0, due - time.monotonic()))
                    if tick.problem is not None:
                        break


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
