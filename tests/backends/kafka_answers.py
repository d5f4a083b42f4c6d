"""What Kafka's administrative client returns, where a test says what it is."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any


def answered(said: object) -> Future[Any]:
    """Return an answer that is there: this, or what it raises where it is an exception."""
    future: Future[Any] = Future()
    if isinstance(said, Exception):
        future.set_exception(said)
    else:
        future.set_result(said)
    return future
