"""Declarations of streams and consumers for one test, and what was planned about them."""

from __future__ import annotations

from typing import Any

from brokercli.backends.declaring import Declarer
from brokercli.model.declaration import Action, Change, Declaration
from tests.backends.nats_streams import Streams

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def a_stream(streams: Streams, **settings: Any) -> Declaration:
    """Declare a stream nobody else has; it is deleted at the end, whoever makes it."""
    name = streams.name()
    return Declaration("stream", name, {"subjects": [f"{name.lower()}.>"], **settings})


def a_consumer(stream: str, name: str = "worker", **settings: Any) -> Declaration:
    return Declaration("consumer", f"{stream}/{name}", settings)


def config(streams: Streams, stream: str, consumer: str | None = None) -> dict[str, Any]:
    operation = f"STREAM.INFO.{stream}" if consumer is None else f"CONSUMER.INFO.{stream}.{consumer}"
    found: dict[str, Any] = streams.api(operation)["config"]
    return found


def apply_all(declarer: Declarer, *wanted: Declaration) -> list[Change]:
    """Plan, apply what can be, and return what was planned."""
    planned = declarer.plan(wanted)
    for change in planned:
        assert change.action is not Action.CANNOT, change
        if change.action is not Action.UNCHANGED:
            declarer.apply(change)
    return planned


def only(planned: list[Change]) -> Change:
    assert len(planned) == 1, planned
    return planned[0]


def told(change: Change) -> str:
    return " / ".join([*change.remarks, *(difference.obstacle for difference in change.differences)])
