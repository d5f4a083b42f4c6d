"""Consumers that are done with.

librdkafka (2.16.0) looks the topic of a fetch's answer up in a list of its topics without a lock (rd_kafka_fetch_reply_handle), and
frees what is in that list when a consumer is closed: a replay that was over and done ended with SIGSEGV, once in some hundred thousand
commands, on a busy machine. So a consumer is closed only when no answer to a fetch can be on its way any more.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import Any

REST_SECONDS = 1.0
"""A broker answers a fetch within `fetch.wait.max.ms`, 10 ms here."""


class Retired:
    """Stops consumers fetching, and closes each when it has rested. A process that ends before needs none of them closed."""

    def __init__(self, seconds: float = REST_SECONDS) -> None:
        self._seconds = seconds
        self._resting: deque[tuple[float, Any]] = deque()
        self._lock = threading.Lock()

    def retire(self, consumer: Any) -> None:
        """Take over a consumer; nobody uses it any more. Those that came before and have rested are closed. Waits for no broker."""
        now = monotonic()
        consumer.pause(consumer.assignment())
        with self._lock:
            rested = [self._resting.popleft()[1] for since, _ in list(self._resting) if since + self._seconds <= now]
            self._resting.append((now, consumer))
        for one in rested:
            one.close()


_retired = Retired()
retire = _retired.retire
