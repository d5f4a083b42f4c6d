"""Which of the messages that were given up certainly never left this machine.

librdkafka gives up waiting messages as `_PURGE_QUEUE`, whether they never left or wait for another attempt after one
whose answer was lost. Its statistics count, for each partition, the messages put in (`msgs`) and the messages put into
requests, repeats included (`txmsgs`); a partition's messages leave in their order. So of those put in, at least
msgs - txmsgs never left, and of those given up the last ones are among them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from time import monotonic

import orjson
from confluent_kafka import Producer

from brokercli.model.receipt import Verdict

_PERHAPS = "given up before the broker confirmed it"


class Sent:
    """What one producer knows about the messages that left it."""

    INTERVAL_MILLISECONDS = 500

    def __init__(self) -> None:
        self.incomplete = False
        """Some message was sent a second time, out of its order, or it is not known here what became of one: nothing can be told any more."""
        self._latest: str | None = None
        self._given_up: dict[int | None, list[int]] = defaultdict(list)
        self._failed: Counter[int] = Counter()

    @property
    def unjudged(self) -> bool:
        """Whether messages were given up of which `never_sent` has not told."""
        return bool(self._given_up)

    def note(self, statistics: str) -> None:
        """Take in the client's statistics, unread."""
        self._latest = statistics

    def given_up(self, index: int, partition: int | None) -> None:
        """Take in a message that was given up while it waited; None is a message that no partition was chosen for yet."""
        self._given_up[partition].append(index)

    def failed(self, partition: int | None) -> None:
        """Count a message that failed before; it may have been one that never left."""
        if partition is not None:
            self._failed[partition] += 1


def never_sent(sent: Sent, producer: Producer, why: str) -> Iterator[tuple[int, Verdict, str]]:
    """Yield index, verdict and reason of each message that was given up; `why` is why it was. Waits for statistics newer than the giving up."""
    if not sent._given_up:
        return
    sent._latest = None
    deadline = monotonic() + 4 * Sent.INTERVAL_MILLISECONDS / 1000
    while sent._latest is None and monotonic() < deadline:
        producer.poll(0.1)
    unsent: dict[int, int] = _unsent(sent._latest) if sent._latest is not None and not sent.incomplete else {}
    for partition, indices in sent._given_up.items():
        certain = len(indices) if partition is None or partition < 0 else max(0, unsent.get(partition, 0) - sent._failed[partition])
        at = len(indices) - min(certain, len(indices))
        indices.sort()
        for index in indices[:at]:
            yield index, Verdict.UNKNOWN, _PERHAPS
        for index in indices[at:]:
            yield index, Verdict.REFUSED, f"it never left: {why}"
    sent._given_up.clear()


def _unsent(statistics: str) -> dict[int, int]:
    return {int(name): partition["msgs"] - partition["txmsgs"] for topic in orjson.loads(statistics)["topics"].values()
            for name, partition in topic["partitions"].items()}
