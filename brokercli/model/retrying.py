"""Retries as they are asked for: delays, attempts, and settings for all that is made."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.model.amount import amount
from brokercli.model.declaration import RetrySpecification, Setting, Settings
from brokercli.model.errors import UsageProblem
from brokercli.model.position import parse_duration

_KINDS = ("topic", "stream", "queue", "consumer")


def retry_specification(source: str, delays: Sequence[str], attempts: int | None, *, dead_letter: str | None = None, consumer: str | None = None,
                        native: bool = False) -> RetrySpecification:
    """Read delays (`5s`). Without `attempts` every delay is waited once. Raises UsageProblem for no delays, for fewer attempts than the delays
    need, and for a name that is empty."""
    if "" in (dead_letter, consumer):
        raise UsageProblem("A consumer, and what dead letters go to, cannot have an empty name.", hint="leave it out for the default")
    if not delays:
        raise UsageProblem("Retries need delays: how long to wait before the second, third, … try.", hint="for example: --delays 5s,30s,5m")
    read = tuple(parse_duration(delay.strip()) for delay in delays)
    if any(delay <= 0 for delay in read):
        raise UsageProblem("A delay of nothing delays nothing.", hint="for example: --delays 5s,30s,5m")
    tries = len(read) + 1 if attempts is None else attempts
    if tries < 2:
        raise UsageProblem("One attempt is no retry.", hint=f"--attempts {len(read) + 1} waits every delay once")
    if tries <= len(read):
        raise UsageProblem(f"{tries} attempts wait {amount(tries - 1, 'time')}, and {amount(len(read), 'delay is', 'delays are')} given.",
                           hint=f"--attempts {len(read) + 1} waits every delay once")
    return RetrySpecification(source, read, tries, dead_letter, consumer, native)


def retry_settings(settings: Settings) -> tuple[Setting, ...]:
    """Return, from all settings of a broker, those that can be said for everything that retries make."""
    known: dict[str, Setting] = {}
    for kind in _KINDS:
        for setting in settings.get(kind, ()):
            known.setdefault(setting.name, setting)
    return tuple(known.values())
