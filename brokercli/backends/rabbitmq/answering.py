"""Whether the broker answers at all, where something on it does not."""

from __future__ import annotations

from brokercli.backends.contract import ANSWER_SECONDS
from brokercli.backends.rabbitmq.link import Link


def require_answer(link: Link) -> None:
    """Open a channel and close it again. Raises as `Link.ask` where that is not done within `ANSWER_SECONDS`."""
    link.ask("being asked for nothing but an answer", timeout=ANSWER_SECONDS)
