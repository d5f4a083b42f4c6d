"""Partitions that answer, and of which nothing comes: their leader cannot read what it stores, or takes too long for it.

So it is where older segments lie in a remote storage (KIP-405) that fails or is slow. The client asks again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError

from brokercli.backends.kafka.failures import LOG_SAYS_WHY
from brokercli.model.errors import Failed

PATIENT_SECONDS = 25.0
"""How long a partition may be unreadable before a look is given up."""
SILENT_SECONDS = 15.0
"""How long nothing may come of what is stored before that is told."""


class Unreadable:
    """What a look is told of its partitions, and since when."""

    def __init__(self, topic: str, tell: Callable[[str], None]) -> None:
        """`tell` is told, once, what there is to tell while it lasts."""
        self._topic = topic
        self._tell = tell
        self._since: dict[int, float] = {}
        self._idle_since: float | None = None
        self._told = False

    def heard_of(self, partitions: Iterable[int]) -> None:
        """Take in that something came of these."""
        self._idle_since, self._told = None, False
        for partition in list(partitions) if self._since else ():
            self._since.pop(partition, None)

    def failed(self, partition: int, error: KafkaError, now: float) -> Failed | None:
        """Take in what the leader of a partition says in place of records; return what to raise where it has gone on for too long."""
        if (since := self._since.get(partition)) is None:
            self._since[partition] = now
            self._tell(f"partition {partition} of {self._topic} cannot be read now ({error.str().rstrip('.')}); it is asked again for {PATIENT_SECONDS:g} s")
        elif now - since >= PATIENT_SECONDS:
            return Failed(f"Partition {partition} of {self._topic} could not be read for {PATIENT_SECONDS:g} s: {error.str().rstrip('.')}.", hint=LOG_SAYS_WHY)
        return None

    def nothing_came(self, now: float) -> None:
        """Take in that nothing has come of what is stored, from leaders that answer."""
        if self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= SILENT_SECONDS and not self._told and not self._since:
            self._told = True
            self._tell(f"nothing of {self._topic} has come for {SILENT_SECONDS:g} s, though its leaders answer; one that keeps it in a remote storage sends "
                       "nothing that takes longer than its remote.fetch.max.wait.ms")
