"""What was found when a broker, and the way to it, was looked over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from brokercli.model.exit_code import ExitCode


class Health(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something about it will matter sooner or later; or it could not be found out."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    """A few words, the same whatever was found: `advertised addresses`."""
    health: Health
    found: str
    """A sentence without its full stop, or a few words."""
    hint: str | None = None
    """What to do about it."""
    exit_code: ExitCode = ExitCode.FAILED
    """With what a command ends that fails because of this."""
