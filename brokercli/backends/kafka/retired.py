"""Consumers that are done with.

librdkafka (2.16.0) looks the topic of a fetch's answer up in a list of its topics without a lock (rd_kafka_fetch_reply_handle), and
frees what is in that list when a consumer is closed: a replay that was over and done ended with SIGSEGV there, once, on a busy machine;
28,000 looks that were closed on purpose at that moment did not bring it again. So a consumer is closed when no answer to a fetch can be on
its way any more.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from time import sleep
from typing import Any

REST_SECONDS = 0.1
"""A broker answers a fetch within `fetch.wait.max.ms`, 10 ms here."""


def retire(consumer: Any) -> None:
    """Take over a consumer that nobody uses any more: it stops fetching, and is closed soon, on a thread of its own. Waits for nothing. A
    process that ends before leaves its sockets to the system, which costs a consumer without a group nothing."""
    consumer.pause(consumer.assignment())
    with suppress(RuntimeError):  # no memory for another thread: what the run itself has to tell must not be lost for this
        threading.Thread(target=_close, args=(consumer,), name="retired consumer", daemon=True).start()


def _close(consumer: Any) -> None:
    sleep(REST_SECONDS)
    consumer.close()
