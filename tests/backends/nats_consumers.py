"""Consumers of JetStream for the tests of consumers: filled streams with a worker, and what it has finished."""

from __future__ import annotations

from typing import Any

from tests.backends.nats_letters import wait_for
from tests.backends.nats_streams import Streams


def filled(streams: Streams, retention: str = "limits", count: int = 10, **consumer: Any) -> str:
    """Make a stream with messages 1 to `count` on `<name>.a` and a worker; return its name."""
    name = streams.make(retention)
    streams.worker(name, **consumer)
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(1, count + 1)])
    if "filter_subject" not in consumer:
        wait_for(lambda: state(streams, name)["num_pending"] == count)  # counted a moment after it is stored
    return name


def state(streams: Streams, name: str) -> dict[str, object]:
    info = streams.api(f"CONSUMER.INFO.{name}.worker")
    return {part: info.get(part) for part in ("delivered", "ack_floor", "num_pending", "num_ack_pending", "paused")}


def finish(streams: Streams, name: str, count: int) -> None:
    """Acknowledge the first messages; returns once they are gone, where they go: the consumer answers, and then the stream removes."""
    held, retention = streams.state(name)["messages"], streams.api(f"STREAM.INFO.{name}")["config"]["retention"]
    streams.wire.ask_all([(reply, b"+ACK", b"") for reply in streams.wire.take(name, "worker", count)])
    if retention != "limits":
        wait_for(lambda: streams.state(name)["messages"] == held - count)
