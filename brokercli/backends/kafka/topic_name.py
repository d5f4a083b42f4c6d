"""What a topic may be called."""

from __future__ import annotations

import re

from brokercli.model.errors import UsageProblem

LONGEST = 249
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check_topic_name(name: str) -> None:
    """Raise UsageProblem for what no topic can be called; Kafka's client would cut some of these off and take the rest for the name."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UsageProblem(f"{name[:300]!r} cannot be the name of a topic.", hint=f"up to {LONGEST} letters, digits, dots, underscores and hyphens")
