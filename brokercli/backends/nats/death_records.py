"""Whether somebody records what dies in a stream: which stream captures JetStream's advisories about it."""

from __future__ import annotations

from brokercli.backends.nats.dead_letter_names import ADVISORIES
from brokercli.backends.nats.streams import JetStream

DEATH_KINDS = ("MAX_DELIVERIES", "MSG_TERMINATED")


async def recorders(jetstream: JetStream, stream: str, consumer: str | None = None) -> dict[str, list[str]]:
    """Return the streams that record deaths → the kinds they record, of a stream or of one of its consumers."""
    found: dict[str, list[str]] = {}
    for kind in DEATH_KINDS:
        for name in await jetstream.capturing(f"{ADVISORIES}.{kind}.{stream}.{consumer or '>'}"):
            found.setdefault(name, []).append(kind)
    return found


def record_words(found: dict[str, list[str]], stream: str) -> str:
    """Say where deaths are recorded, or how to have them recorded."""
    if not found:
        return f"not recorded: brokercli dlq capture stream:{stream} has them recorded from then on"
    lacking = [kind for kind in DEATH_KINDS if not any(kind in kinds for kinds in found.values())]
    words = f"recorded in stream {', '.join(sorted(found))}"
    return words + (f", but for {' and '.join(lacking)}" if lacking else "")


def cap_words(max_deliver: int, ack_policy: str) -> str:
    """Say what caps the tries of one consumer."""
    if ack_policy == "none":
        return "delivered once, and never waited for"
    return f"given up after {max_deliver} deliveries" if max_deliver > 0 else "no limit: a message that always fails comes for ever"
