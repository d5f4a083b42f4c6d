"""What the consumers of an interest stream want: a message that none of them does it confirms as well, and drops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.nats.streams import JetStream
from brokercli.backends.nats.unrecorded import Consumer, ask_consumers

KEEPS = "stream {} keeps a message only while a consumer wants it, and "


@dataclass(frozen=True, slots=True)
class Interest:
    """What is wanted at one moment."""

    consumers: Sequence[Consumer]
    rewrites: bool
    """Whether the stream changes subjects: what they become is what filters are compared with."""

    @property
    def everything(self) -> bool:
        """Whether some consumer wants whatever comes."""
        return any(not consumer.filters for consumer in self.consumers)

    def wants(self, subject: str) -> bool | None:
        """Whether some consumer wants what is published on a subject; None where that cannot be told."""
        if self.everything:
            return True
        if self.rewrites and self.consumers:
            return None
        return any(consumer.wants(subject) for consumer in self.consumers)

    def wanted_for(self, subject: str, nanoseconds: int) -> bool:
        """Whether a consumer that has been there for longer wants it."""
        return any(consumer.age > nanoseconds and consumer.wants(subject) for consumer in self.consumers)


async def ask_interest(jetstream: JetStream, stream: str) -> Interest:
    """Ask what consumers there are."""
    found = await ask_consumers(jetstream, stream)
    return Interest(found.all, bool(found.info["config"].get("subject_transform")))
