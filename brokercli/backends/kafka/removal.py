"""What goes with topics that are deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.ends import held, led, offsets_in
from brokercli.backends.kafka.groups import Group, Place
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import HANDLED, total
from brokercli.backends.kafka.readers import kind_of, readers_of
from brokercli.backends.kafka.span import Range
from brokercli.model.amount import amount
from brokercli.model.consumption import Lag


def goes_with(topics: Sequence[str], metadata: Any, admin: AdminClient, seconds: float) -> dict[str, tuple[str, ...]]:
    """Return remarks about each topic: the messages it holds, the groups that read it. Asks every group once for all."""
    if not topics:
        return {}
    patience = Patience(seconds)
    ranges = patience.ask(lambda seconds: held(admin, led(metadata, topics), seconds))
    readers = readers_of(topics, metadata, admin, patience)
    unknown = [f"not known: {missing}" for missing in readers.missing]
    return {topic: (*_messages(topic, metadata, ranges), *(_reader(group, lags) for group, lags in readers.of(topic)), *unknown) for topic in topics}


def _messages(topic: str, metadata: Any, ranges: Mapping[Place, Range]) -> list[str]:
    count = offsets_in(topic, metadata, ranges)
    if count is None:
        return ["how many messages go with it is not known: not every partition answers"]
    # offsets are an upper bound of messages
    return [f"up to {amount(count, 'message')} go with it"] if count else []


def _reader(group: Group, lags: Sequence[Lag]) -> str:
    lag = total(lags)
    if kind_of(group) == HANDLED:
        return f"{group.name} keeps which of its letters were handled" + (f", {amount(lag, 'is', 'are')} pending" if lag else "")
    members = f"{amount(len(group.members), 'member')}"
    return f"the {group.kind} {group.name} reads it ({group.state}, {members}" + (f", lag {lag:,})" if lag is not None else ")")
